import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Prng } from "#shared/lib/prng.ts";

/** First wait between two attempts to find somebody, and the longest; doubles in between. Milliseconds. */
const FIRST_MS = 1000;
const LONGEST_MS = 30_000;

/** One way to find members at addresses that nobody told. */
export interface Search {
  /** Looks once. What it finds it tells by itself, now or later. */
  look(): Promise<void>;
  /** Everybody is there: nothing is held open until the next look. */
  rest(): void;
}

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly prng: Prng;
  /** Whether there is a member that this agent has no link to. */
  readonly isAnybodyMissing: () => boolean;
}

/**
 * Looks for missing members as long as there are any: for hosts that came back at addresses nobody knows. Whoever has just
 * started looks often; whoever has missed somebody for long looks seldom, since it is found by those that start.
 */
export class Finder implements Disposable {
  readonly #deps: Deps;
  readonly #searches: readonly Search[];
  readonly #stop = new AbortController();

  constructor(deps: Deps, options: { readonly searches: readonly Search[] }) {
    this.#deps = deps;
    this.#searches = options.searches;
  }

  start(): void {
    void this.#run();
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    for (const search of this.#searches) search.rest();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, prng, isAnybodyMissing } = this.#deps;
    const { signal } = this.#stop;
    let waitMs = FIRST_MS;
    for (;;) {
      // Jitter keeps a rack that got its power back from speaking in chorus.
      await clock.sleep(waitMs / 2 + (prng.next() * waitMs) / 2, signal).catch(() => undefined);
      if (signal.aborted) return;
      if (isAnybodyMissing()) {
        waitMs = Math.min(2 * waitMs, LONGEST_MS);
        for (const search of this.#searches) await this.#look(search);
      } else {
        waitMs = FIRST_MS;
        for (const search of this.#searches) search.rest();
      }
    }
  }

  async #look(search: Search): Promise<void> {
    try {
      await search.look();
    } catch (error) {
      this.#deps.log.debug({ err: error }, "looking for missing members failed");
    }
    if (this.#stop.signal.aborted) search.rest();
  }
}
