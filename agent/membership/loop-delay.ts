/** How long a late timer is remembered at least; twice that at most. Milliseconds. */
const REMEMBERED_MS = 10_000;

/** How late this agent's event loop is, seen from a timer that should come regularly. */
export class LoopDelay {
  readonly #periodMs: number;
  #lastMs: number | null = null;
  #windowEndMs = 0;
  #worstMs = 0;
  #worstBeforeMs = 0;

  /** `periodMs`: how often the timer should come. */
  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  ticked(nowMs: number): void {
    const lateMs = this.#lastMs === null ? 0 : Math.max(0, nowMs - this.#lastMs - this.#periodMs);
    this.#lastMs = nowMs;
    if (nowMs >= this.#windowEndMs) {
      this.#windowEndMs = nowMs + REMEMBERED_MS;
      this.#worstBeforeMs = this.#worstMs;
      this.#worstMs = 0;
    }
    this.#worstMs = Math.max(this.#worstMs, lateMs);
  }

  /** The latest that the timer came within the last ten to twenty seconds. Milliseconds. */
  get worstMs(): number {
    return Math.max(this.#worstMs, this.#worstBeforeMs);
  }
}
