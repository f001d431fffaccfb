/** How long a late timer is remembered at least; twice that at most. Milliseconds. */
const REMEMBERED_MS = 10_000;

/** How late this agent's event loop is, seen from a timer. */
export class LoopDelay {
  #windowEndMs = 0;
  #worstMs = 0;
  #worstBeforeMs = 0;

  /** The timer came, and so much later than it should have. */
  ticked(nowMs: number, lateMs: number): void {
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
