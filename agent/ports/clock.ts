import type { EpochMs } from "#shared/lib/time.ts";

/** Time as the agent sees it. The wall clock is for stamps only; waiting and ages use the monotonic one. */
export interface Clock {
  /** Wall-clock time; may jump. */
  now(): EpochMs;
  /** Milliseconds from an arbitrary start, never going back. */
  monotonicMs(): number;
  /** Resolves after that many milliseconds, or rejects with the signal's reason. Keeps no process alive by itself. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back every so many milliseconds until stopped. Keeps no process alive by itself. */
  every(ms: number, callback: () => void): Disposable;
}
