import type { Clock } from "#agent/ports/clock.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** How many wrong proofs are forgiven, and how fast. */
export interface ProofLimits {
  /** One remote peer: enough for an operator who mistypes. */
  readonly perPeer: number;
  /** All together: peer ids cost nothing, so that this is what bounds guessing. */
  readonly overall: number;
  /** After this time without a further one, all are forgotten. Milliseconds. */
  readonly windowMs: number;
}

const DEFAULT_LIMITS: ProofLimits = { perPeer: 10, overall: 120, windowMs: 60_000 };
/** Peers remembered at most; the overall limit holds whatever is forgotten here. */
const PEERS_MAX = 1024;

/** Counts within a window that starts with the first. */
interface Count {
  since: number;
  failures: number;
}

/** Counts wrong proofs of strangers, so that nobody guesses passwords at the speed of the network. */
export class FailedProofs {
  readonly #clock: Clock;
  readonly #limits: ProofLimits;
  readonly #peers = new Map<MemberId, Count>();
  readonly #overall: Count = { since: 0, failures: 0 };

  constructor(deps: { readonly clock: Clock }, limits: ProofLimits = DEFAULT_LIMITS) {
    this.#clock = deps.clock;
    this.#limits = limits;
  }

  /** Throws too_many_attempts while this peer may not try. */
  refuse(peer: MemberId): void {
    const retry_after_s = this.waitS(peer);
    if (retry_after_s > 0) throw new AppError("too_many_attempts", { retry_after_s });
  }

  /** Seconds until this peer may try again; 0 when it may now. */
  waitS(peer: MemberId): number {
    const own = this.#peers.get(peer);
    const waits = [
      own === undefined ? 0 : this.#waitMs(own, this.#limits.perPeer),
      this.#waitMs(this.#overall, this.#limits.overall),
    ];
    return Math.ceil(Math.max(...waits) / 1000);
  }

  /** This peer's proof was wrong. */
  add(peer: MemberId): void {
    const own = this.#peers.get(peer) ?? { since: 0, failures: 0 };
    this.#count(own);
    this.#count(this.#overall);
    // The one that failed last goes last; the oldest is forgotten first.
    this.#peers.delete(peer);
    this.#peers.set(peer, own);
    const [oldest] = this.#peers.keys();
    if (this.#peers.size > PEERS_MAX && oldest !== undefined) this.#peers.delete(oldest);
  }

  #count(count: Count): void {
    const now = this.#clock.monotonicMs();
    if (count.failures === 0 || now - count.since >= this.#limits.windowMs) {
      count.since = now;
      count.failures = 0;
    }
    count.failures += 1;
  }

  #waitMs({ since, failures }: Count, limit: number): number {
    return failures < limit ? 0 : Math.max(0, since + this.#limits.windowMs - this.#clock.monotonicMs());
  }
}
