import type { DestinationStream } from "pino";

/** Longest that a line waits for others. Milliseconds. */
const COMPANY_MS = 50;
/** Characters that are written without waiting any longer. */
const CHARS_MAX = 32 * 1024;
/** Asks pino to note the level of each line before it writes it. */
const WITH_LEVEL: unique symbol = Symbol.for("pino.metadata");
/** From pino's level 40 (warn) on, a line is written at once, and what waits before it. */
const URGENT = 40;

/**
 * Lines of the log on their way out, several in one write: each write wakes the journal, and a busy agent has a line for every
 * request that changed something. What is urgent does not wait.
 */
export class Lines implements DestinationStream {
  readonly [WITH_LEVEL] = true;
  lastLevel = 0;
  readonly #out: DestinationStream;
  #waiting = "";
  #timer: NodeJS.Timeout | null = null;

  constructor(out: DestinationStream) {
    this.#out = out;
  }

  write(line: string): void {
    this.#waiting += line;
    if (this.lastLevel >= URGENT || this.#waiting.length >= CHARS_MAX) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), COMPANY_MS).unref();
  }

  /** Writes what waits. To be called when the process ends. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const text = this.#waiting;
    this.#waiting = "";
    if (text !== "") this.#out.write(text);
  }
}
