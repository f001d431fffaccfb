import type { Life } from "./cluster-life.ts";
import type { Link, SimNet } from "./cluster-net.ts";
import type { Strangers } from "./cluster-strangers.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type {
  Hello,
  PeerAddresses,
  PeerEvent,
  StrangerChannel,
  StrangerTransport,
  StreamClass,
  Transport,
  Wire,
} from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { Refusal } from "#shared/errors/kinds.ts";
import type { MemberId } from "#shared/lib/ids.ts";

interface Asked {
  readonly to: MemberId;
  readonly resolve: (body: Wire) => void;
  readonly reject: (error: Error) => void;
}

type Answer = { readonly id: number } & ({ readonly b: Wire } | { readonly e: Refusal });

type ClusterLife = NonNullable<Parameters<Transport["setCluster"]>[0]>;

interface Deps {
  readonly net: SimNet;
  readonly strangers: Strangers;
  readonly life: Life;
  readonly clock: Clock;
}

/** One process's end of the simulated network; as the mesh, it lets in members of the same cluster and incarnation only. */
export class SimTransport implements Transport, StrangerTransport {
  readonly self: MemberId;
  readonly life: Life;
  readonly #deps: Deps;
  readonly #address: string;
  readonly #up = new Map<MemberId, Link>();
  readonly #topics = new Map<string, (from: MemberId, body: Wire) => void>();
  readonly #methods = new Map<string, (from: MemberId, body: Wire, signal: AbortSignal) => Promise<Wire>>();
  readonly #listeners = new Set<(event: PeerEvent) => void>();
  readonly #asked = new Map<number, Asked>();
  readonly #serving = new Map<AbortController, MemberId>();
  #members: ReadonlySet<MemberId> = new Set();
  #cluster: ClusterLife | null = null;
  #requests = 0;

  constructor(deps: Deps, options: { readonly self: MemberId; readonly address: string }) {
    this.#deps = deps;
    this.life = deps.life;
    this.self = options.self;
    this.#address = options.address;
  }

  send(to: MemberId, stream: StreamClass, topic: string, body: Wire): boolean {
    if (this.life.dies("network") || !this.#up.has(to)) return false;
    const { self } = this;
    this.#deps.net.carry(self, to, stream, topic, body, (node, received) => {
      node.#topics.get(topic)?.(self, received);
    });
    return true;
  }

  onMessage(topic: string, handler: (from: MemberId, body: Wire) => void): void {
    if (this.#topics.has(topic)) throw new Error(`broken: two handlers for ${topic}`);
    this.#topics.set(topic, handler);
  }

  async request(
    to: MemberId,
    stream: StreamClass,
    method: string,
    body: Wire,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Wire> {
    const { signal, timeoutMs } = options;
    signal?.throwIfAborted();
    if (!this.#up.has(to)) throw new AppError("peer_unreachable", { peer: to });
    this.#requests += 1;
    const id = this.#requests;
    const { self } = this;
    const { promise, resolve, reject } = Promise.withResolvers<Wire>();
    this.#asked.set(id, { to, resolve, reject });
    const stop = (): void => reject(signal?.reason as Error);
    signal?.addEventListener("abort", stop, { once: true });
    this.life.after(timeoutMs, () => reject(new AppError("peer_timeout", { peer: to })));
    if (!this.life.dies("network")) {
      this.#deps.net.carry(self, to, stream, method, body, (node, received) => {
        void node.#answer(self, stream, method, id, received);
      });
    }
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", stop);
      this.#asked.delete(id);
    }
  }

  onRequest(
    method: string,
    handler: (from: MemberId, body: Wire, signal: AbortSignal) => Promise<Wire>,
  ): void {
    if (this.#methods.has(method)) throw new Error(`broken: two handlers for ${method}`);
    this.#methods.set(method, handler);
  }

  connected(): readonly MemberId[] {
    return [...this.#up.keys()];
  }

  onPeer(listener: (event: PeerEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  setMembers(members: readonly PeerAddresses[]): void {
    this.#members = new Set(members.map(({ peer }) => peer));
  }

  setCluster(cluster: ClusterLife | null): void {
    this.#cluster = cluster;
  }

  openJoin({ peer }: PeerAddresses, signal: AbortSignal): Promise<StrangerChannel> {
    return this.#deps.strangers.open(this, peer, signal);
  }

  onJoin(handler: (channel: StrangerChannel) => Promise<void>): void {
    this.#deps.strangers.listen(this, handler);
  }

  listenAddrs(): readonly string[] {
    return [`/ip4/${this.#address}/tcp/9444`];
  }

  // ---- what the network asks

  /** Whether frames of that peer are let in. */
  admits(peer: MemberId): boolean {
    const other = this.#deps.net.node(peer);
    if (other === null || this.#cluster === null || other.#cluster === null) return false;
    const { clusterId, incarnation, lineage } = this.#cluster;
    const same =
      other.#cluster.clusterId === clusterId &&
      other.#cluster.incarnation === incarnation &&
      other.#cluster.lineage === lineage;
    return same && this.#members.has(peer);
  }

  /** Whether that one lives in a later incarnation of the cluster that this one believes to share with it. */
  outlivedBy(other: SimTransport): boolean {
    if (other.#cluster === null || this.#cluster?.clusterId !== other.#cluster.clusterId) return false;
    return other.#cluster.incarnation > this.#cluster.incarnation && this.#members.has(other.self);
  }

  /** It dials that one, hears its hello, and is refused. */
  refusedBy(other: SimTransport): void {
    if (!this.outlivedBy(other)) return;
    const { incarnation } = other.hello();
    this.#tell({ type: "outlived", peer: other.self, incarnation });
  }

  hello(): Hello {
    const clockMs = this.#deps.clock.now();
    const { clusterId = "", incarnation = 0, lineage } = this.#cluster ?? {};
    return {
      clusterId,
      incarnation,
      ...(lineage === undefined ? {} : { lineage }),
      protocol: 1,
      software: "simulation",
      clockMs,
      heardAtMs: clockMs,
      meshAddrs: this.listenAddrs(),
    };
  }

  /** A connection is there; it takes the place of an older one that nobody has missed yet. */
  up(other: SimTransport, link: Link): void {
    const peer = other.self;
    const before = this.#up.get(peer);
    if (before !== undefined) this.down(peer, before, "replaced");
    this.#up.set(peer, link);
    this.#tell({ type: "up", peer, hello: other.hello() });
  }

  down(peer: MemberId, link: Link, reason: string): void {
    if (this.#up.get(peer) !== link) return;
    this.#up.delete(peer);
    for (const { to, reject } of this.#asked.values()) {
      if (to === peer) reject(new AppError("peer_timeout", { peer }));
    }
    for (const [served, asker] of this.#serving) if (asker === peer) served.abort(new Error("gone"));
    this.#tell({ type: "down", peer, reason });
  }

  #tell(event: PeerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  async #answer(from: MemberId, stream: StreamClass, method: string, id: number, body: Wire): Promise<void> {
    const serving = new AbortController();
    this.#serving.set(serving, from);
    let answer: Answer;
    try {
      const handler = this.#methods.get(method);
      if (handler === undefined)
        throw new AppError("peer_refused", { peer: this.self, reason: "no such method" });
      answer = { id, b: await handler(from, body, serving.signal) };
    } catch (error) {
      const told =
        error instanceof AppError ? error : new AppError("internal_error", { incident: "simulated" });
      answer = { id, e: told.toRefusal() };
    } finally {
      this.#serving.delete(serving);
    }
    if (this.life.dies("network")) return;
    this.#deps.net.carry(this.self, from, stream, `${method} answer`, answer as Wire, (node, received) => {
      node.#answered(received as unknown as Answer);
    });
  }

  #answered(answer: Answer): void {
    const asked = this.#asked.get(answer.id);
    if ("e" in answer) asked?.reject(AppError.of(answer.e));
    else asked?.resolve(answer.b);
  }
}
