import type { MemberId } from "#shared/lib/ids.ts";

import { LocalHealth } from "./health.ts";
import type { SwimBody } from "./messages.ts";
import { PROBE_PERIOD_MS } from "./suspicion.ts";

/** How long a direct answer may take, before others are asked to try. Milliseconds, to be stretched by local health. */
const DIRECT_TIMEOUT_MS = 500;
/**
 * When the same is asked once more, to be stretched likewise; and a last time when helpers are asked. Where 10 % of all
 * messages are lost a single question fails in 19 % of all cases, three and three helpers that ask twice in 0.01 %: each
 * suspicion that comes of loss alone is told to all members. Milliseconds.
 */
const AGAIN_MS = 250;
/** When a helper asks once more: early enough to be answered in time. Milliseconds. */
const HELPER_AGAIN_MS = 200;
/** Members asked to try in one's place. Source: SWIM, section 4.1; memberlist `IndirectChecks`. */
const HELPERS = 3;
/** When a helper says that it got no answer either: early enough to be heard in time. Source: Lifeguard, 80 % of the timeout. */
const NACK_AFTER_MS = 400;

/** What a prober asks of the one that owns it. */
export interface ProberHost {
  send(to: MemberId, body: SwimBody): void;
  ping(to: MemberId, seq: number): void;
  /** Up to `count` members at random to whom messages can be expected to get; never `except`. */
  pick(count: number, except: MemberId): readonly MemberId[];
  /** Whether the connection to it is known to be gone, so that nothing sent arrives. */
  isLost(peer: MemberId): boolean;
  /** Neither it nor any helper has answered in time. */
  onSilent(peer: MemberId): void;
}

interface Probe {
  readonly target: MemberId;
  endMs: number;
  /** Null once it was asked again. */
  againMs: number | null;
  /** Null once helpers were asked. */
  directUntilMs: number | null;
  helpers: readonly MemberId[];
  readonly nacks: Set<MemberId>;
}

/** A probe made for somebody else. */
interface Errand {
  readonly target: MemberId;
  readonly origin: MemberId;
  readonly originSeq: number;
  /** Null once it was asked again. */
  againMs: number | null;
  nackAtMs: number | null;
  endMs: number;
}

/**
 * Probes in flight: direct first, then through helpers (SWIM, section 4.1); and those made for others. Learns from them how
 * well this agent itself is.
 */
export class Prober {
  readonly #host: ProberHost;
  readonly health = new LocalHealth();
  readonly #probes = new Map<number, Probe>();
  readonly #errands = new Map<number, Errand>();
  #seq = 0;

  constructor(host: ProberHost) {
    this.#host = host;
  }

  /** Whether an answer is waited for. */
  get busy(): boolean {
    return this.#probes.size > 0 || this.#errands.size > 0;
  }

  /** Starts a probe, unless one of this member is under way. Without a connection, helpers are asked at once. */
  start(target: MemberId, nowMs: number): void {
    for (const probe of this.#probes.values()) if (probe.target === target) return;
    const { stretch } = this.health;
    const probe: Probe = {
      target,
      endMs: nowMs + PROBE_PERIOD_MS * stretch,
      againMs: nowMs + AGAIN_MS * stretch,
      directUntilMs: nowMs + DIRECT_TIMEOUT_MS * stretch,
      helpers: [],
      nacks: new Set(),
    };
    const seq = this.#nextSeq();
    this.#probes.set(seq, probe);
    this.#host.ping(target, seq);
    if (this.#host.isLost(target)) this.#askHelpers(seq, probe);
  }

  /** Another agent asks this one to ping a member in its place. */
  runErrand(origin: MemberId, originSeq: number, target: MemberId, nowMs: number): void {
    if (this.#host.isLost(target)) {
      this.#host.send(origin, { type: "nack", seq: originSeq });
      return;
    }
    const seq = this.#nextSeq();
    const endMs = nowMs + 2 * DIRECT_TIMEOUT_MS;
    const againMs = nowMs + HELPER_AGAIN_MS;
    this.#errands.set(seq, { target, origin, originSeq, againMs, nackAtMs: nowMs + NACK_AFTER_MS, endMs });
    this.#host.ping(target, seq);
  }

  /** Returns the member that the answer proves to be alive, or null when nobody waits for it. */
  acked(from: MemberId, seq: number): MemberId | null {
    const errand = this.#errands.get(seq);
    if (errand !== undefined && errand.target === from) {
      this.#errands.delete(seq);
      this.#host.send(errand.origin, { type: "ack", seq: errand.originSeq });
      return from;
    }
    const probe = this.#probes.get(seq);
    if (probe === undefined || (from !== probe.target && !probe.helpers.includes(from))) return null;
    this.#probes.delete(seq);
    this.health.better();
    return probe.target;
  }

  nacked(from: MemberId, seq: number): void {
    const probe = this.#probes.get(seq);
    if (probe === undefined || !probe.helpers.includes(from)) return;
    probe.nacks.add(from);
    // Without a connection there is nothing left to wait for.
    if (probe.nacks.size === probe.helpers.length && this.#host.isLost(probe.target)) this.#fail(seq, probe);
  }

  tick(nowMs: number): void {
    for (const [seq, probe] of this.#probes) {
      if (nowMs >= probe.endMs) this.#fail(seq, probe);
      else if (probe.directUntilMs !== null && nowMs >= probe.directUntilMs) this.#askHelpers(seq, probe);
      else if (probe.againMs !== null && nowMs >= probe.againMs) {
        probe.againMs = null;
        this.#host.ping(probe.target, seq);
      }
    }
    for (const [seq, errand] of this.#errands) {
      if (errand.againMs !== null && nowMs >= errand.againMs) {
        errand.againMs = null;
        this.#host.ping(errand.target, seq);
      }
      if (errand.nackAtMs !== null && nowMs >= errand.nackAtMs) this.#nack(errand);
      if (nowMs >= errand.endMs) this.#errands.delete(seq);
    }
  }

  /** The connection to this member is gone: nobody who asked it, or asked this agent to, need wait for the time-out. */
  lost(peer: MemberId): void {
    for (const [seq, probe] of this.#probes) {
      if (probe.target === peer && probe.directUntilMs !== null) this.#askHelpers(seq, probe);
    }
    for (const errand of this.#errands.values()) {
      if (errand.target === peer && errand.nackAtMs !== null) this.#nack(errand);
    }
  }

  /** This agent stood still for that long: answers may wait unread, so everything under way gets that much longer. */
  postpone(byMs: number): void {
    for (const probe of this.#probes.values()) {
      probe.endMs += byMs;
      if (probe.againMs !== null) probe.againMs += byMs;
      if (probe.directUntilMs !== null) probe.directUntilMs += byMs;
    }
    for (const errand of this.#errands.values()) errand.endMs += byMs;
  }

  /** The member has just spoken up at a new incarnation: a probe from before that proves nothing. */
  acquit(peer: MemberId): void {
    for (const [seq, { target }] of this.#probes) if (target === peer) this.#probes.delete(seq);
  }

  /** Everything about this member is dropped without a verdict. */
  forget(peer: MemberId): void {
    this.acquit(peer);
    for (const [seq, { target, origin }] of this.#errands) {
      if (target === peer || origin === peer) this.#errands.delete(seq);
    }
  }

  #nack(errand: Errand): void {
    errand.againMs = null;
    errand.nackAtMs = null;
    this.#host.send(errand.origin, { type: "nack", seq: errand.originSeq });
  }

  #askHelpers(seq: number, probe: Probe): void {
    probe.againMs = null;
    probe.directUntilMs = null;
    probe.helpers = this.#host.pick(HELPERS, probe.target);
    if (!this.#host.isLost(probe.target)) this.#host.ping(probe.target, seq);
    for (const helper of probe.helpers)
      this.#host.send(helper, { type: "ping_req", seq, target: probe.target });
  }

  /** A helper that sent not even a nack shows that this agent is the slow one (Lifeguard, section IV-A). */
  #fail(seq: number, probe: Probe): void {
    this.#probes.delete(seq);
    const mute = probe.helpers.length - probe.nacks.size;
    this.health.worse(probe.helpers.length === 0 ? 1 : mute);
    this.#host.onSilent(probe.target);
  }

  #nextSeq(): number {
    this.#seq += 1;
    return this.#seq;
  }
}
