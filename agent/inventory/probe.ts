import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";

/**
 * One thing that is read again and again, with a deadline, remembering the last good answer.
 *
 * Invariant: never two readings at once. A reading that hangs in the kernel holds a thread of the pool for good, and the
 * log and the password checks share that pool; a second one would only take another thread.
 */
export class Probe<T> {
  readonly name: string;
  readonly #deps: { readonly clock: Clock; readonly log: Log };
  readonly #read: () => Promise<T>;
  #value: T;
  #stale = true;
  readonly #onLate: () => void;
  #current: Promise<void> | null = null;

  /** `fallback` is the answer until the first reading succeeds. */
  constructor(
    deps: { readonly clock: Clock; readonly log: Log },
    options: {
      readonly name: string;
      readonly fallback: T;
      readonly read: () => Promise<T>;
      /** Called when an answer comes after its deadline. */
      readonly onLate?: () => void;
    },
  ) {
    this.#deps = deps;
    this.name = options.name;
    this.#value = options.fallback;
    this.#read = options.read;
    this.#onLate = options.onLate ?? (() => undefined);
  }

  /** The last good answer. */
  get value(): T {
    return this.#value;
  }

  /** Whether the last reading failed or is late; the value is then an older one. */
  get stale(): boolean {
    return this.#stale;
  }

  /** Whether a reading is under way; a hung one is for ever. */
  get running(): boolean {
    return this.#current !== null;
  }

  /**
   * Reads anew, or joins the reading under way. Resolves when it is read, has failed, or its deadline has passed (at once
   * while an overdue one hangs), and never rejects. A late answer still counts when it comes.
   */
  run(deadlineMs: number): Promise<void> {
    this.#current ??= this.#start(deadlineMs);
    return this.#current;
  }

  async #start(deadlineMs: number): Promise<void> {
    const done = new AbortController();
    const reading = this.#once();
    const deadline = this.#deps.clock.sleep(deadlineMs, done.signal);
    const inTime = await Promise.race([
      reading.then(() => true),
      deadline.then(
        () => false,
        () => true,
      ),
    ]);
    done.abort();
    if (inTime) {
      this.#current = null;
      return;
    }
    this.#stale = true;
    this.#deps.log.warn({ probe: this.name, deadlineMs }, "inventory probe is late");
    void this.#waitForLate(reading);
  }

  async #waitForLate(reading: Promise<void>): Promise<void> {
    await reading;
    this.#current = null;
    this.#onLate();
  }

  async #once(): Promise<void> {
    try {
      this.#value = await this.#read();
      this.#stale = false;
    } catch (error) {
      this.#stale = true;
      this.#deps.log.warn({ probe: this.name, err: error }, "inventory probe failed");
    }
  }
}
