/** A difference that lasts as long is no news on its way, which takes about a second to reach everybody. Milliseconds. */
const LASTING_MS = 2000;
/** Least time between exchanges that lasting differences set off: bounds their cost while members come and go all the time. */
const PERIOD_MS = 5000;
/** Least time between exchanges with members that return: one of them brings the news of all. Milliseconds. */
const RETURN_PERIOD_MS = 1000;

/**
 * Decides when a difference between one's own table and others' is worth an exchange. Every probe shows whether tables
 * are the same; while they are, nothing else is sent.
 */
export class Disagreement {
  #sinceMs: number | null = null;
  #exchangedMs = Number.NEGATIVE_INFINITY;

  /** A peer's table was seen to be the same or another one; true: compare it with this peer in full now. */
  seen(same: boolean, nowMs: number): boolean {
    if (same) {
      this.#sinceMs = null;
      return false;
    }
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs < LASTING_MS) return false;
    return this.#begin(nowMs, PERIOD_MS);
  }

  /** Somebody came back from wherever he was, so that news is likely; true: compare in full now. */
  returned(nowMs: number): boolean {
    return this.#begin(nowMs, RETURN_PERIOD_MS);
  }

  #begin(nowMs: number, periodMs: number): boolean {
    if (nowMs - this.#exchangedMs < periodMs) return false;
    this.#exchangedMs = nowMs;
    return true;
  }
}
