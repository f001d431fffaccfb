import type { Schedule } from "./cluster-schedule.ts";
import type { Beat, Clock } from "#agent/ports/clock.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";

/** Where a process hands something to the world and waits, and may die. */
export type Boundary = "disk" | "network" | "join";

/**
 * One process from its start to its end. Whatever the world gives it comes through here: after the end nothing does, so
 * that its promises never settle; while it is frozen (SIGSTOP) everything waits, and then comes in order.
 */
export class Life {
  readonly #schedule: Schedule;
  readonly #mayDie: (at: Boundary) => boolean;
  #alive = true;
  #frozen = false;
  #held: (() => void)[] = [];

  constructor(deps: { readonly schedule: Schedule; readonly mayDie: (at: Boundary) => boolean }) {
    this.#schedule = deps.schedule;
    this.#mayDie = deps.mayDie;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  end(): void {
    this.#alive = false;
    this.#held = [];
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.enter(run);
  }

  enter(run: () => void): void {
    if (!this.#alive) return;
    if (this.#frozen) this.#held.push(run);
    else run();
  }

  after(ms: number, run: () => void): void {
    this.#schedule.after(ms, () => this.enter(run));
  }

  /** True when the process has died at this point, or before. */
  dies(at: Boundary): boolean {
    return !this.#alive || this.#mayDie(at);
  }
}

/** The clocks of a host: they may run at another speed than the world's, and the wall clock may be set. */
export interface HostTime {
  readonly rate: number;
  wallOffsetMs: number;
}

const EPOCH_MS = Date.UTC(2026, 0, 1);

/** A host's clocks as one process of it sees them. */
export class LifeClock implements Clock {
  readonly #schedule: Schedule;
  readonly #life: Life;
  readonly #time: HostTime;

  constructor(deps: { readonly schedule: Schedule; readonly life: Life; readonly time: HostTime }) {
    this.#schedule = deps.schedule;
    this.#life = deps.life;
    this.#time = deps.time;
  }

  now(): EpochMs {
    const { rate, wallOffsetMs } = this.#time;
    return epochMs(Math.round(EPOCH_MS + this.#schedule.nowMs * rate + wallOffsetMs));
  }

  monotonicMs(): number {
    return this.#schedule.nowMs * this.#time.rate;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const stop = (): void => reject(signal?.reason as Error);
      signal?.addEventListener("abort", stop, { once: true });
      this.#life.after(ms / this.#time.rate, () => {
        signal?.removeEventListener("abort", stop);
        resolve();
      });
    });
  }

  /** As an interval of Node: what was missed is not made up for. */
  every(ms: number, callback: (lateMs: number) => void): Beat {
    let [setMs, dueMs, turn, stopped] = [this.monotonicMs(), 0, 0, false];
    const at = (due: number): void => {
      dueMs = due;
      turn += 1;
      const mine = turn;
      this.#life.after(Math.max(0, dueMs - this.monotonicMs()) / this.#time.rate, () => {
        if (stopped || turn !== mine) return;
        setMs = this.monotonicMs();
        const lateMs = Math.max(0, setMs - dueMs);
        at(setMs + ms);
        callback(lateMs);
      });
    };
    /** The first of its moments that is not before this one, and to come. */
    const firstFrom = (momentMs: number): number => {
      const from = Math.max(momentMs, this.monotonicMs() + 1);
      return setMs + Math.max(1, Math.ceil((from - setMs) / ms)) * ms;
    };
    at(setMs + ms);
    return {
      rest: (restMs, slackMs = 0) => at(firstFrom(this.monotonicMs() + restMs - slackMs)),
      rouse: () => {
        const due = firstFrom(this.monotonicMs());
        if (due < dueMs) at(due);
      },
      [Symbol.dispose]: () => {
        stopped = true;
      },
    };
  }
}
