import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Prng } from "#shared/lib/prng.ts";

/** How soon it is noticed that somebody is missing. Milliseconds. */
const WATCH_MS = 500;
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
  #watching: Disposable | null = null;
  #searching = false;

  constructor(deps: Deps, options: { readonly searches: readonly Search[] }) {
    this.#deps = deps;
    this.#searches = options.searches;
  }

  start(): void {
    this.#watching = this.#deps.clock.every(WATCH_MS, () => {
      if (this.#searching || !this.#deps.isAnybodyMissing()) return;
      this.#searching = true;
      void this.#search().finally(() => {
        this.#searching = false;
      });
    });
  }

  [Symbol.dispose](): void {
    this.#watching?.[Symbol.dispose]();
    this.#stop.abort();
    for (const search of this.#searches) search.rest();
  }

  /** Until nobody is missing. Never rejects. */
  async #search(): Promise<void> {
    const { clock, prng, isAnybodyMissing } = this.#deps;
    const { signal } = this.#stop;
    // Jitter keeps a rack that got its power back from speaking in chorus.
    await clock.sleep(prng.next() * WATCH_MS, signal).catch(() => undefined);
    for (let waitMs = FIRST_MS; isAnybodyMissing();) {
      if (signal.aborted) return;
      for (const search of this.#searches) await this.#look(search);
      waitMs = Math.min(2 * waitMs, LONGEST_MS);
      await clock.sleep(waitMs / 2 + (prng.next() * waitMs) / 2, signal).catch(() => undefined);
    }
    for (const search of this.#searches) search.rest();
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
