const realImmediate = globalThis.setImmediate;

/**
 * Virtual time for a whole world, in whole milliseconds. Between two moments everything runs that can run without time
 * passing: a turn of the real event loop empties the queue of promise jobs, and immediates are this schedule's own, so that it
 * knows when none is left. With no real I/O in the world, the world is then at rest, and the order of all is fixed.
 */
export class Schedule implements Disposable {
  readonly #due = new Map<number, (() => void)[]>();
  #immediates: (() => void)[] = [];
  #nowMs = 0;

  constructor() {
    globalThis.setImmediate = ((run: (...args: unknown[]) => void, ...args: unknown[]) => {
      this.#immediates.push(() => run(...args));
    }) as unknown as typeof setImmediate;
  }

  [Symbol.dispose](): void {
    globalThis.setImmediate = realImmediate;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** At least one millisecond from now. */
  after(ms: number, run: () => void): void {
    const at = this.#nowMs + Math.max(1, Math.round(ms));
    const others = this.#due.get(at);
    if (others === undefined) this.#due.set(at, [run]);
    else others.push(run);
  }

  /** Lets that much time pass, or less when `done` says so; it is asked at every moment at which something happened. */
  async run(ms: number, done: () => boolean = () => false): Promise<void> {
    await this.#rest();
    for (const endMs = this.#nowMs + ms; this.#nowMs < endMs;) {
      this.#nowMs += 1;
      const due = this.#due.get(this.#nowMs);
      if (due === undefined) continue;
      this.#due.delete(this.#nowMs);
      for (const run of due) run();
      await this.#rest();
      if (done()) return;
    }
  }

  async #rest(): Promise<void> {
    for (;;) {
      await new Promise<void>((resolve) => realImmediate(resolve));
      if (this.#immediates.length === 0) return;
      const immediates = this.#immediates;
      this.#immediates = [];
      for (const run of immediates) run();
    }
  }
}
