import { randomUUID } from "node:crypto";

import type { Clock } from "#agent/ports/clock.ts";
import type {
  Hello,
  PeerAddresses,
  PeerEvent,
  StreamClass,
  Transport,
  Wire,
} from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

type ClusterLife = NonNullable<Parameters<Transport["setCluster"]>[0]>;

interface Frame {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly name: string;
  /** Which lives of the two the link was between. */
  readonly lives: string;
  readonly deliver: (node: FakeTransport) => void;
}

/** What a link carries, for tests that look at or drop single messages. */
export interface Passing {
  readonly from: MemberId;
  readonly to: MemberId;
  /** Topic or method; answers to requests are called `answer`. */
  readonly name: string;
  readonly body: Wire;
}

/**
 * A mesh in memory between any number of agents. Everything is delivered in order of sending, in a later turn of the
 * event loop (after `latencyMs` of the clock, when set). Links are cut and healed per direction; both ends hear of it.
 */
export class FakeMesh {
  readonly #clock: Clock;
  readonly #nodes = new Map<MemberId, FakeTransport>();
  readonly #cut = new Set<string>();
  #queue: Frame[] = [];
  #scheduled = false;
  /** One-way delay of every message. */
  latencyMs = 0;
  /** Looked at for every message when set; false drops it silently, as a full buffer would. */
  filter: ((passing: Passing) => boolean) | null = null;
  /** Messages delivered so far. */
  delivered = 0;

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** Adds an agent; it is connected to all others at once. A second one of the same name takes the first one's place. */
  join(id: MemberId): FakeTransport {
    this.leave(id);
    const node = new FakeTransport(id, this, this.#clock);
    for (const other of this.#nodes.values()) {
      if (!this.linked(id, other.self)) continue;
      node.emit({ type: "up", peer: other.self, hello: this.#hello(other) });
      other.emit({ type: "up", peer: id, hello: this.#hello(node) });
    }
    this.#nodes.set(id, node);
    return node;
  }

  /** The agent is gone, as by kill -9: what it had sent still arrives, what is sent to it does not. */
  leave(id: MemberId): void {
    const gone = this.#nodes.get(id);
    if (gone === undefined) return;
    this.#nodes.delete(id);
    for (const other of this.#nodes.values()) {
      if (this.linked(id, other.self)) other.emit({ type: "down", peer: id, reason: "closed" });
    }
    gone.close();
  }

  /** Nothing passes from any of `from` to any of `to`, and back unless `oneWay`. */
  cut(from: readonly MemberId[], to: readonly MemberId[], options: { readonly oneWay?: boolean } = {}): void {
    for (const [a, b] of pairs(from, to)) {
      const before = this.linked(a, b);
      this.#cut.add(`${a}>${b}`);
      if (options.oneWay !== true) this.#cut.add(`${b}>${a}`);
      if (before && !this.linked(a, b)) this.#tell(a, b, "down");
    }
  }

  /** Undoes all cuts between the two groups; without arguments all there are. */
  heal(from?: readonly MemberId[], to?: readonly MemberId[]): void {
    const all = [...this.#nodes.keys()];
    for (const [a, b] of pairs(from ?? all, to ?? all)) {
      const before = this.linked(a, b);
      this.#cut.delete(`${a}>${b}`);
      this.#cut.delete(`${b}>${a}`);
      if (!before && this.linked(a, b)) this.#tell(a, b, "up");
      else if (!before) this.#introduce(a, b);
    }
    if (from === undefined) this.#cut.clear();
  }

  /** Whether messages pass in both directions. */
  linked(a: MemberId, b: MemberId): boolean {
    return this.#passes(a, b) && this.#passes(b, a);
  }

  /** An agent enters another cluster, or another life of it: its links to all who are not in that end, others come up. */
  move(node: FakeTransport, enter: () => void): void {
    const { self } = node;
    const others = [...this.#nodes.keys()].filter((id) => id !== self && this.#nodes.get(self) === node);
    const before = new Map(others.map((id) => [id, this.linked(self, id)]));
    enter();
    for (const id of others) {
      const now = this.linked(self, id);
      if (now !== before.get(id)) this.#tell(self, id, now ? "up" : "down");
      if (!now) this.#introduce(self, id);
    }
  }

  #passes(from: MemberId, to: MemberId): boolean {
    return (
      !this.#cut.has(`${from}>${to}`) &&
      areOne(this.#nodes.get(from)?.cluster ?? null, this.#nodes.get(to)?.cluster ?? null)
    );
  }

  #lives(from: MemberId, to: MemberId): string {
    return `${this.#nodes.get(from)?.life ?? 0} ${this.#nodes.get(to)?.life ?? 0}`;
  }

  /** Two who are not let in by each other say hello all the same, if anything passes between them. */
  #introduce(a: MemberId, b: MemberId): void {
    if (this.#cut.has(`${a}>${b}`) || this.#cut.has(`${b}>${a}`)) return;
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const ours = this.#nodes.get(self)?.cluster ?? null;
      const theirs = this.#nodes.get(peer)?.cluster ?? null;
      if (ours === null || theirs === null || ours.clusterId !== theirs.clusterId) continue;
      const { incarnation } = theirs;
      if (incarnation > ours.incarnation)
        this.#nodes.get(self)?.emit({ type: "outlived", peer, incarnation });
    }
  }

  peersOf(id: MemberId): MemberId[] {
    return [...this.#nodes.keys()].filter((other) => other !== id && this.linked(id, other));
  }

  /** False when there is no link, as a transport without a connection. */
  post(passing: Passing, deliver: (node: FakeTransport, body: Wire) => void): boolean {
    const { from, to, name } = passing;
    if (!this.#nodes.has(to) || !this.#passes(from, to)) return false;
    if (this.filter !== null && !this.filter(passing)) return true;
    const text = JSON.stringify(passing.body); // What arrives shares nothing with what was sent.
    const frame: Frame = {
      from,
      to,
      name,
      lives: this.#lives(from, to),
      deliver: (node) => deliver(node, JSON.parse(text) as Wire),
    };
    if (this.latencyMs > 0) void this.#clock.sleep(this.latencyMs).then(() => this.#deliver(frame));
    else this.#enqueue(frame);
    return true;
  }

  #enqueue(frame: Frame): void {
    this.#queue.push(frame);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const frames = this.#queue;
      this.#queue = [];
      for (const each of frames) this.#deliver(each);
    });
  }

  #deliver(frame: Frame): void {
    const node = this.#nodes.get(frame.to);
    if (node === undefined || !this.#passes(frame.from, frame.to)) return;
    if (this.#lives(frame.from, frame.to) !== frame.lives) return;
    this.delivered += 1;
    frame.deliver(node);
  }

  #tell(a: MemberId, b: MemberId, type: "up" | "down"): void {
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const other = this.#nodes.get(peer);
      if (other === undefined) continue;
      const event: PeerEvent =
        type === "up" ? { type, peer, hello: this.#hello(other) } : { type, peer, reason: "cut" };
      this.#nodes.get(self)?.emit(event);
    }
  }

  #hello({ cluster }: FakeTransport): Hello {
    return {
      ...(cluster ?? { clusterId: "fake", incarnation: 1 }),
      protocol: 1,
      software: "test",
      clockMs: this.#clock.now(),
      heardAtMs: this.#clock.now(),
      meshAddrs: [],
    };
  }
}

/** One agent's end of a FakeMesh. */
export class FakeTransport implements Transport {
  readonly self: MemberId;
  readonly #mesh: FakeMesh;
  readonly #clock: Clock;
  readonly #messages = new Map<string, (from: MemberId, body: Wire) => void>();
  readonly #methods = new Map<string, (from: MemberId, body: Wire, signal: AbortSignal) => Promise<Wire>>();
  readonly #listeners = new Set<(event: PeerEvent) => void>();
  readonly #closed = new AbortController();
  /** Peers asked, by what fails the request when the peer is gone. */
  readonly #asked = new Map<() => void, MemberId>();
  members: readonly PeerAddresses[] = [];
  cluster: ClusterLife | null = null;
  /** How often it has left a cluster, or a life of one. */
  life = 0;

  constructor(self: MemberId, mesh: FakeMesh, clock: Clock) {
    this.self = self;
    this.#mesh = mesh;
    this.#clock = clock;
  }

  send(to: MemberId, _stream: StreamClass, topic: string, body: Wire): boolean {
    if (this.#closed.signal.aborted) return false;
    const { self } = this;
    return this.#mesh.post({ from: self, to, name: topic, body }, (node, received) => {
      node.#messages.get(topic)?.(self, received);
    });
  }

  onMessage(topic: string, handler: (from: MemberId, body: Wire) => void): void {
    if (this.#messages.has(topic)) throw new Error(`two handlers for ${topic}`);
    this.#messages.set(topic, handler);
  }

  async request(
    to: MemberId,
    _stream: StreamClass,
    method: string,
    body: Wire,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Wire> {
    options.signal?.throwIfAborted();
    const answer = Promise.withResolvers<Wire>();
    const ended = new AbortController();
    const sent =
      !this.#closed.signal.aborted &&
      this.#mesh.post({ from: this.self, to, name: method, body }, (node, received) => {
        void node.#answer(this.self, method, received, answer, ended.signal);
      });
    if (!sent) throw new AppError("peer_unreachable", { peer: to });
    const stop = (): void => answer.reject(options.signal?.reason);
    const gone = (): void => answer.reject(new AppError("peer_timeout", { peer: to }));
    this.#asked.set(gone, to);
    options.signal?.addEventListener("abort", stop, { once: true });
    void this.#clock.sleep(options.timeoutMs, ended.signal).then(
      () => answer.reject(new AppError("peer_timeout", { peer: to })),
      () => undefined,
    );
    try {
      return await answer.promise;
    } finally {
      options.signal?.removeEventListener("abort", stop);
      this.#asked.delete(gone);
      ended.abort();
    }
  }

  onRequest(
    method: string,
    handler: (from: MemberId, body: Wire, signal: AbortSignal) => Promise<Wire>,
  ): void {
    if (this.#methods.has(method)) throw new Error(`two handlers for ${method}`);
    this.#methods.set(method, handler);
  }

  connected(): readonly MemberId[] {
    return this.#closed.signal.aborted ? [] : this.#mesh.peersOf(this.self);
  }

  onPeer(listener: (event: PeerEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  setMembers(members: readonly PeerAddresses[]): void {
    this.members = members;
  }

  setCluster(cluster: ClusterLife | null): void {
    this.#mesh.move(this, () => {
      if (!areOne(this.cluster, cluster)) this.life += 1;
      this.cluster = cluster;
    });
  }

  emit(event: PeerEvent): void {
    if (event.type === "down") {
      for (const [gone, peer] of this.#asked) if (peer === event.peer) gone();
    }
    for (const listener of this.#listeners) listener(event);
  }

  close(): void {
    this.#closed.abort(new Error("the transport is closed"));
  }

  async #answer(
    from: MemberId,
    method: string,
    body: Wire,
    answer: PromiseWithResolvers<Wire>,
    givenUp: AbortSignal,
  ): Promise<void> {
    const { self } = this;
    const back = (outcome: Wire, settle: (received: Wire) => void): void => {
      if (this.#closed.signal.aborted) return;
      this.#mesh.post({ from: self, to: from, name: "answer", body: outcome }, (_node, received) =>
        settle(received),
      );
    };
    const handler = this.#methods.get(method);
    try {
      if (handler === undefined) throw new AppError("peer_refused", { peer: self, reason: "no such method" });
      const result = await handler(from, body, AbortSignal.any([this.#closed.signal, givenUp]));
      back(result, answer.resolve);
    } catch (error) {
      const refusal = (
        error instanceof AppError ? error : new AppError("internal_error", { incident: randomUUID() })
      ).toRefusal();
      back(refusal as unknown as Wire, () => answer.reject(AppError.of(refusal)));
    }
  }
}

/** Who was told of no cluster speaks to everybody: most tests have but one. */
function areOne(a: ClusterLife | null, b: ClusterLife | null): boolean {
  if (a === null || b === null) return true;
  return a.clusterId === b.clusterId && a.incarnation === b.incarnation && a.lineage === b.lineage;
}

function pairs(from: readonly MemberId[], to: readonly MemberId[]): [MemberId, MemberId][] {
  return from.flatMap((a) => to.filter((b) => b !== a).map((b): [MemberId, MemberId] => [a, b]));
}
