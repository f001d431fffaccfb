import type { Beat, Clock } from "#agent/ports/clock.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";

interface Timer {
  readonly order: number;
  due: number;
  /** Null: fires once. */
  readonly everyMs: number | null;
  readonly fire: () => void;
}

/**
 * Time that passes only when a test says so. Timers fire in the order in which they are due; ties in the order in which
 * they were set. Starts at 2026-01-01T00:00:00Z unless told otherwise.
 */
export class FakeClock implements Clock {
  #elapsed = 0;
  #wall: number;
  #order = 0;
  #fired = 0;
  readonly #timers = new Set<Timer>();

  constructor(wallMs: number = Date.UTC(2026, 0, 1)) {
    this.#wall = wallMs;
  }

  now(): EpochMs {
    return epochMs(this.#wall);
  }

  monotonicMs(): number {
    return this.#elapsed;
  }

  /** The wall clock is set to another time, as by an operator; nothing else moves. */
  jumpWall(byMs: number): void {
    this.#wall += byMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const stop = (): void => {
        this.#timers.delete(timer);
        reject(signal?.reason as Error);
      };
      const timer = this.#add(ms, null, () => {
        signal?.removeEventListener("abort", stop);
        resolve();
      });
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  every(ms: number, callback: (lateMs: number) => void): Beat {
    const timer = this.#add(ms, ms, () => callback(0));
    /** The first of its moments that is not before this one, and to come. */
    const firstFrom = (moment: number): number => {
      const periods = Math.ceil((Math.max(moment, this.#elapsed + 1) - timer.due) / ms);
      return timer.due + periods * ms;
    };
    return {
      rest: (restMs, slackMs = 0) => {
        timer.due = firstFrom(this.#elapsed + restMs - slackMs);
      },
      rouse: () => {
        timer.due = Math.min(timer.due, firstFrom(this.#elapsed));
      },
      [Symbol.dispose]: () => this.#timers.delete(timer),
    };
  }

  /** Sleeps and intervals that are set now; zero after everything was closed. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Timers that have fired so far. */
  get fired(): number {
    return this.#fired;
  }

  /** Lets that much time pass; what a timer sets off may run (promises and immediates) before the next one fires. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms;
    for (let timer = this.#next(end); timer !== null; timer = this.#next(end)) {
      this.#fire(timer);
      await turn();
    }
    this.#moveTo(end);
    await turn();
  }

  /** The same at once: only the callbacks themselves run in between, no promise. */
  advanceSync(ms: number): void {
    const end = this.#elapsed + ms;
    for (let timer = this.#next(end); timer !== null; timer = this.#next(end)) this.#fire(timer);
    this.#moveTo(end);
  }

  /** Lets time pass in small steps until the condition holds; throws when it does not within `limitMs` of this clock. */
  async until(condition: () => boolean, limitMs = 60_000, stepMs = 10): Promise<void> {
    const end = this.#elapsed + limitMs;
    await turn();
    while (!condition()) {
      if (this.#elapsed >= end)
        throw new Error(`not so within ${limitMs} ms of virtual time: ${String(condition)}`);
      await this.advance(stepMs);
    }
  }

  #add(ms: number, everyMs: number | null, fire: () => void): Timer {
    this.#order += 1;
    const timer = { order: this.#order, due: this.#elapsed + Math.max(0, ms), everyMs, fire };
    this.#timers.add(timer);
    return timer;
  }

  #next(end: number): Timer | null {
    let first: Timer | null = null;
    for (const timer of this.#timers) {
      if (timer.due > end) continue;
      if (first === null || timer.due < first.due || (timer.due === first.due && timer.order < first.order)) {
        first = timer;
      }
    }
    return first;
  }

  #fire(timer: Timer): void {
    this.#moveTo(timer.due);
    this.#fired += 1;
    if (timer.everyMs === null) this.#timers.delete(timer);
    else timer.due += Math.max(1, timer.everyMs);
    timer.fire();
  }

  #moveTo(elapsed: number): void {
    if (elapsed <= this.#elapsed) return;
    this.#wall += elapsed - this.#elapsed;
    this.#elapsed = elapsed;
  }
}

/** Everything that is ready to run runs: promise jobs, then immediates, twice so that one may set off another. */
async function turn(): Promise<void> {
  for (let i = 0; i < 2; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
