import type { EpochMs } from "#shared/lib/time.ts";

/** Time as the agent sees it. The wall clock is for stamps only; waiting and ages use the monotonic one. */
export interface Clock {
  /** Wall-clock time; may jump. */
  now(): EpochMs;
  /** Milliseconds from an arbitrary start, never going back. */
  monotonicMs(): number;
  /** Resolves after that many milliseconds, or rejects with the signal's reason. Keeps no process alive by itself. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back every so many milliseconds until disposed of, and says how late it is. Keeps no process alive by itself. */
  every(ms: number, callback: (lateMs: number) => void): Beat;
}

/** An interval under way. An idle agent costs what it costs to wake it up, so whoever knows that nothing is to be done asks for rest. */
export interface Beat extends Disposable {
  /**
   * Does not call back for that many milliseconds, rounded up to its period, unless it is roused. It may come by `slackMs` earlier
   * when the process is awake then for something else.
   */
  rest(ms: number, slackMs?: number): void;
  /** Ends the rest: it calls back when it would have without. */
  rouse(): void;
}
