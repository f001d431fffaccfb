import type { Beat } from "#agent/ports/clock.ts";

interface Interval {
  readonly ms: number;
  readonly callback: (lateMs: number) => void;
  dueMs: number;
}

/** A timer of the system may fire this much early by the monotonic clock, which counts finer. Milliseconds. */
const GRAIN_MS = 1;
/** Whoever can wait comes at multiples of this, together. */
const SHARED_MS = 500;

/**
 * Intervals on one grid: each is due at whole multiples of its period, so that periods that divide each other come due
 * together. An idle agent costs what it costs to wake it up, and one wake-up for all of them is a fraction of one for each.
 * What was missed while the process stood still is called once.
 */
export class Metronome {
  readonly #nowMs: () => number;
  readonly #beats = new Set<Interval>();
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Infinity;

  constructor(deps: { readonly nowMs: () => number }) {
    this.#nowMs = deps.nowMs;
  }

  /** Calls back every so many milliseconds until disposed of; for the first time after half a period to one and a half. */
  every(ms: number, callback: (lateMs: number) => void): Beat {
    const beat: Interval = { ms, callback, dueMs: Math.round(this.#nowMs() / ms + 1) * ms };
    this.#beats.add(beat);
    this.#arm();
    return {
      rest: (restMs, slackMs = 0) => {
        const now = this.#nowMs();
        const latestMs = Math.ceil((now + restMs - GRAIN_MS) / ms) * ms;
        const sharedMs = Math.floor(latestMs / SHARED_MS) * SHARED_MS;
        const wishedMs = latestMs - sharedMs <= slackMs && sharedMs % ms === 0 ? sharedMs : latestMs;
        beat.dueMs = Math.max(nextMultiple(ms, now), wishedMs);
        this.#arm();
      },
      rouse: () => {
        const dueMs = nextMultiple(ms, this.#nowMs());
        if (dueMs >= beat.dueMs) return;
        beat.dueMs = dueMs;
        this.#arm();
      },
      [Symbol.dispose]: () => {
        this.#beats.delete(beat);
        if (this.#beats.size === 0) this.#disarm();
      },
    };
  }

  #arm(): void {
    let next = Infinity;
    for (const { dueMs } of this.#beats) next = Math.min(next, dueMs);
    if (next === Infinity || (this.#timer !== null && this.#timerAtMs === next)) return;
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
    const now = this.#nowMs();
    try {
      for (const beat of this.#beats) {
        if (beat.dueMs > now + GRAIN_MS) continue;
        const lateMs = Math.max(0, now - beat.dueMs);
        beat.dueMs = nextMultiple(beat.ms, now);
        beat.callback(lateMs);
      }
    } finally {
      this.#arm();
    }
  }
}

/** One that comes a grain early has come. */
function nextMultiple(ms: number, nowMs: number): number {
  return (Math.floor((nowMs + GRAIN_MS) / ms) + 1) * ms;
}
