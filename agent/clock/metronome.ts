interface Beat {
  readonly ms: number;
  readonly callback: () => void;
  dueMs: number;
}

/** A timer of the system may fire this much early by the monotonic clock, which counts finer. Milliseconds. */
const GRAIN_MS = 1;

/**
 * Intervals on one grid: each is due at whole multiples of its period, so that periods that divide each other come due
 * together. An idle agent costs what it costs to wake it up, and one wake-up for all of them is a fraction of one for each.
 * What was missed while the process stood still is called once.
 */
export class Metronome {
  readonly #nowMs: () => number;
  readonly #beats = new Set<Beat>();
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Infinity;

  constructor(deps: { readonly nowMs: () => number }) {
    this.#nowMs = deps.nowMs;
  }

  /** Calls back every so many milliseconds until disposed of; for the first time after half a period to one and a half. */
  every(ms: number, callback: () => void): Disposable {
    const beat: Beat = { ms, callback, dueMs: Math.round(this.#nowMs() / ms + 1) * ms };
    this.#beats.add(beat);
    this.#arm();
    return {
      [Symbol.dispose]: () => {
        this.#beats.delete(beat);
        if (this.#beats.size === 0) this.#disarm();
      },
    };
  }

  #arm(): void {
    let next = Infinity;
    for (const { dueMs } of this.#beats) next = Math.min(next, dueMs);
    if (next === Infinity || (this.#timer !== null && this.#timerAtMs <= next)) return;
    this.#disarm();
    this.#timerAtMs = next;
    // Callbacks may have taken longer than it was until the next one; the system complains of timers in the past.
    this.#timer = setTimeout(() => this.#turn(), Math.max(0, Math.ceil(next - this.#nowMs())));
    this.#timer.unref();
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAtMs = Infinity;
  }

  #turn(): void {
    this.#disarm();
    const now = this.#nowMs() + GRAIN_MS;
    try {
      for (const beat of this.#beats) {
        if (beat.dueMs > now) continue;
        beat.dueMs = (Math.floor(now / beat.ms) + 1) * beat.ms;
        beat.callback();
      }
    } finally {
      this.#arm();
    }
  }
}
