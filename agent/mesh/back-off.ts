import type { Prng } from "#shared/lib/prng.ts";

/** First wait after a failed dial, and the longest. Milliseconds. */
const FIRST_MS = 50;
const LONGEST_MS = 30_000;

/**
 * Waits between dials to one member: doubling, with jitter in the upper half so that a thousand agents that lost the same
 * peer do not call it in step. It never gives up: a member is dialled for life.
 */
export class BackOff {
  readonly #prng: Prng;
  #failures = 0;

  constructor(deps: { readonly prng: Prng }) {
    this.#prng = deps.prng;
  }

  /** Milliseconds to wait after one more failure. */
  next(): number {
    const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    return this.#jitter(full);
  }

  /** Milliseconds to wait when the peer refused for a reason that seldom passes by itself. */
  longest(): number {
    return this.#jitter(LONGEST_MS);
  }

  /** The peer was heard of: the next failure counts as the first. */
  reset(): void {
    this.#failures = 0;
  }

  #jitter(full: number): number {
    return full / 2 + (this.#prng.next() * full) / 2;
  }
}
