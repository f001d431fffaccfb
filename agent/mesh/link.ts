import type { Connection, Stream } from "@libp2p/interface";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Hello, StreamClass, Wire } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Handlers } from "./handlers.ts";
import type { ByeReason, Envelope, WireHello } from "./wire.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { MESH_FRAME_BYTES_MAX, MESH_REQUESTS_MAX } from "#shared/lib/limits.ts";
import { Calls } from "./calls.ts";
import { Lane } from "./lane.ts";
import { toHello } from "./wire.ts";

/** Longest from the connection to both hellos. Milliseconds. */
const HANDSHAKE_MS_MAX = 5000;
/** Longest that the other side may take to close a connection after a bye. Milliseconds. */
const CLOSE_MS_MAX = 1000;
/**
 * How often each side says something. Well below what firewalls call idle. On the control stream only: both are on one
 * connection, streams may be idle for a day, and what beats cost grows with the number of peers. Milliseconds.
 */
const BEAT_MS = 10_000;
/**
 * Beats without a byte from the peer after which the connection is given up, so that a healed network is not waited for
 * through TCP's own back-off. Counted in beats of our own timer, not in time: after a pause of this process it must first read.
 */
const SILENT_BEATS_MAX = 3;

export interface LinkOwner {
  /** The peer's hello has come: accept the link or end it. */
  heard(link: Link, hello: WireHello): void;
  /** Both hellos are through and both streams are open. */
  up(link: Link): void;
  /** The link is gone, whether it was up or not. `told`: the peer said so. Called once. */
  ended(link: Link, reason: string, told: boolean): void;
}

/** How a link came to be, and what it needs to know of it. */
interface LinkOptions {
  readonly peer: MemberId;
  /** Whether this side dialled; the dialer opens the streams and speaks first. */
  readonly dialed: boolean;
  /** Whether this side decides which of several links to this peer stays. Then its hello is the acceptance. */
  readonly judge: boolean;
}

/**
 * One connection to one member: a control and a bulk stream. The dialer says hello, the other side answers hello, the
 * dialer says go. Until then nothing but the handshake is read, so a link that is refused never carried anything.
 */
export class Link {
  readonly peer: MemberId;
  readonly dialed: boolean;
  readonly remoteAddr: string;
  readonly #judge: boolean;
  readonly #connection: Connection;
  readonly #owner: LinkOwner;
  readonly #handlers: Handlers;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #calls: Calls;
  readonly #serving = new Map<number, AbortController>();
  readonly #probes = new Map<number, (alive: boolean) => void>();
  readonly #deadline: NodeJS.Timeout;
  #lanes: { control: Lane | null; bulk: Lane | null } = { control: null, bulk: null };
  #state: "handshake" | "accepted" | "up" | "ended" = "handshake";
  #goHeard = false;
  /** What the peer, which is through with the handshake, sent before this side is. */
  #early: Envelope[] = [];
  #hello: { readonly wire: WireHello; readonly hello: Hello } | null = null;
  #beat: Disposable | null = null;
  #silentBeats = 0;
  #lastProbe = 0;
  readonly #settled = Promise.withResolvers<string | null>();

  constructor(
    deps: {
      readonly connection: Connection;
      readonly owner: LinkOwner;
      readonly handlers: Handlers;
      readonly clock: Clock;
      readonly log: Log;
    },
    options: LinkOptions,
  ) {
    this.peer = options.peer;
    this.dialed = options.dialed;
    this.#judge = options.judge;
    this.#connection = deps.connection;
    this.remoteAddr = deps.connection.remoteAddr.toString();
    this.#owner = deps.owner;
    this.#handlers = deps.handlers;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#calls = new Calls({ peer: options.peer });
    this.#deadline = setTimeout(() => this.abort("no hello in time"), HANDSHAKE_MS_MAX);
    this.#deadline.unref();
    this.#connection.addEventListener("close", () => this.abort("connection lost"));
  }

  /** What the peer said of itself; null before. */
  get hello(): Hello | null {
    return this.#hello?.hello ?? null;
  }

  /** Which start of the peer's agent this link talks to; null before its hello. */
  get boot(): string | null {
    return this.#hello?.wire.boot ?? null;
  }

  /** Resolves once the handshake is over: null when the link is up, else why it is not. */
  get settled(): Promise<string | null> {
    return this.#settled.promise;
  }

  /** Takes a stream that was opened on the connection. A second one of the same class breaks the protocol. */
  attach(kind: StreamClass, stream: Stream): void {
    if (this.#state === "ended" || this.#lanes[kind] !== null) {
      stream.abort(new Error("this link has that stream already"));
      return;
    }
    const lane = new Lane({
      stream,
      events: {
        onEnvelope: (envelope) => this.#receive(kind, lane, envelope),
        onHeard: () => {
          this.#silentBeats = 0;
        },
        onEnd: ({ violation }) => this.#laneEnded(kind, violation),
      },
    });
    this.#lanes[kind] = lane;
    if (kind === "control") lane.open();
    if (stream.status === "open") this.#maybeUp();
    else this.abort("connection lost"); // It ended while it was being opened; its event has passed.
  }

  /** Says hello: the dialer at once, the other side when it accepts. */
  greet(hello: WireHello): void {
    this.#lanes.control?.send({ hello });
  }

  /** The owner takes this link. `hello` is this side's own. */
  accept(hello: WireHello): void {
    if (this.#state !== "handshake") return;
    if (this.dialed) this.#lanes.control?.send({ go: 1 });
    else this.greet(hello);
    this.#state = "accepted";
    this.#maybeUp();
  }

  /** False: dropped. */
  send(kind: StreamClass, topic: string, body: Wire): boolean {
    const lane = this.#lanes[kind];
    if (this.#state !== "up" || lane === null) return false;
    try {
      return lane.send({ t: topic, b: body }) !== null;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#log.error({ peer: this.peer, topic }, "message is too large for a frame");
      return false;
    }
  }

  /** As Transport.request. */
  async request(
    kind: StreamClass,
    method: string,
    body: Wire,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Wire> {
    const lane = this.#lanes[kind];
    if (this.#state !== "up" || lane === null) throw new AppError("peer_unreachable", { peer: this.peer });
    return this.#calls.start(lane, method, body, options);
  }

  /** Whether the agent at the other end answers within that time: the proof that an old link is alive. */
  async probe(timeoutMs: number): Promise<boolean> {
    if (this.#state === "ended") return false;
    const id = (this.#lastProbe += 1);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#probes.set(id, resolve);
    const timer = setTimeout(() => resolve(false), timeoutMs);
    timer.unref();
    this.#lanes.control?.send({ ping: id });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#probes.delete(id);
    }
  }

  /** Says why and closes. */
  end(reason: ByeReason): void {
    if (this.#state === "ended") return;
    const { control } = this.#lanes;
    control?.send({ bye: reason });
    control?.flush();
    this.#finish(reason, false);
    const connection = this.#connection;
    connection.close({ signal: AbortSignal.timeout(CLOSE_MS_MAX) }).catch((error: unknown) => {
      connection.abort(error instanceof Error ? error : new Error("close failed"));
    });
  }

  /** Cuts the connection without a word. */
  abort(reason: string): void {
    if (this.#state === "ended") return;
    this.#finish(reason, false);
    this.#connection.abort(new Error(reason));
  }

  #maybeUp(): void {
    if (this.#state !== "accepted" || this.#lanes.bulk === null) return;
    if (!this.dialed && !this.#judge && !this.#goHeard) return;
    this.#state = "up";
    clearTimeout(this.#deadline);
    this.#beat = this.#clock.every(BEAT_MS, () => this.#onBeat());
    this.#owner.up(this);
    this.#settled.resolve(null);
    const early = this.#early;
    this.#early = [];
    const { control, bulk } = this.#lanes;
    for (const envelope of early) if (control !== null) this.#receive("control", control, envelope);
    if (early.length > 0) control?.resume();
    bulk.open();
  }

  #onBeat(): void {
    this.#silentBeats += 1;
    if (this.#silentBeats > SILENT_BEATS_MAX) {
      this.abort("silent");
      return;
    }
    this.#lanes.control?.beat();
  }

  #receive(kind: StreamClass, lane: Lane, envelope: Envelope): void {
    if (this.#state === "ended") return;
    if (this.#state === "up") {
      if ("t" in envelope) return this.#handlers.deliver(this.peer, envelope.t, envelope.b);
      if ("q" in envelope) return void this.#serve(lane, envelope);
      if ("a" in envelope) return this.#calls.settle(envelope);
      if ("c" in envelope) return this.#serving.get(envelope.c)?.abort();
    }
    if (kind === "control") return this.#handshake(lane, envelope);
    this.#violated(kind, "this frame does not belong here");
  }

  /**
   * Whether the peer may be up already: it has said hello and all that this side must hear before that. Then what it sends
   * is in order, and waits until this side has admitted it and has both streams.
   */
  get #peerMayBeUp(): boolean {
    return this.#state !== "up" && this.#hello !== null && (this.dialed || this.#goHeard);
  }

  #handshake(lane: Lane, envelope: Envelope): void {
    if ("hello" in envelope && this.#hello === null) {
      const heardAt = this.#clock.now();
      this.#hello = { wire: envelope.hello, hello: toHello(envelope.hello, heardAt) };
      this.#owner.heard(this, envelope.hello);
    } else if ("go" in envelope && !this.dialed && this.#state !== "handshake") {
      this.#goHeard = true;
      this.#maybeUp();
    } else if ("bye" in envelope) {
      this.#finish(envelope.bye, true);
      this.#connection.close({ signal: AbortSignal.timeout(CLOSE_MS_MAX) }).catch(() => {
        this.#connection.abort(new Error("close failed"));
      });
    } else if ("ping" in envelope) {
      lane.send({ pong: envelope.ping });
    } else if ("pong" in envelope) {
      this.#probes.get(envelope.pong)?.(true);
    } else if (this.#peerMayBeUp && isTraffic(envelope)) {
      this.#early.push(envelope);
      lane.pause();
    } else {
      this.#violated("control", "this frame does not belong here");
    }
  }

  async #serve(
    lane: Lane,
    request: { readonly q: number; readonly m: string; readonly b: Wire },
  ): Promise<void> {
    const { q: id, m: method, b: body } = request;
    if (this.#serving.size >= MESH_REQUESTS_MAX || this.#serving.has(id)) {
      lane.send({ a: id, e: new AppError("overloaded", { what: "the number of requests" }).toRefusal() });
      return;
    }
    const controller = new AbortController();
    this.#serving.set(id, controller);
    const answer = await this.#handlers.answer(this.peer, method, body, controller.signal);
    this.#serving.delete(id);
    if (controller.signal.aborted) return;
    try {
      if (lane.send({ a: id, ...answer }) === null) {
        this.#log.warn({ peer: this.peer, method }, "answer dropped: the peer does not read");
      }
    } catch (error) {
      this.#log.error({ peer: this.peer, method, err: error }, "answer does not fit a frame");
      const what = "the answer";
      const refusal = new AppError("too_large", { what, limit_bytes: MESH_FRAME_BYTES_MAX }).toRefusal();
      lane.send({ a: id, e: refusal });
    }
  }

  #laneEnded(kind: StreamClass, violation: string | null): void {
    if (violation === null) this.abort("connection lost");
    else this.#violated(kind, violation);
  }

  #violated(kind: StreamClass, rule: string): void {
    this.#log.warn(
      { peer: this.peer, remote: this.remoteAddr, stream: kind, rule },
      "peer broke the protocol",
    );
    this.end("violation");
  }

  #finish(reason: string, told: boolean): void {
    this.#state = "ended";
    clearTimeout(this.#deadline);
    this.#beat?.[Symbol.dispose]();
    this.#calls.close();
    this.#lanes.control?.close();
    this.#lanes.bulk?.close();
    for (const resolve of this.#probes.values()) resolve(false);
    for (const controller of this.#serving.values()) controller.abort(new Error(reason));
    this.#settled.resolve(reason);
    this.#owner.ended(this, reason, told);
  }
}

/** Whether it belongs to a link that is up, not to the handshake. */
function isTraffic(envelope: Envelope): boolean {
  return "t" in envelope || "q" in envelope || "a" in envelope || "c" in envelope;
}
