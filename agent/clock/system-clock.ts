import { performance } from "node:perf_hooks";

import type { Beat, Clock } from "#agent/ports/clock.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";
import { Metronome } from "./metronome.ts";

/** The machine's own clocks. Its timers never keep the process alive. */
export class SystemClock implements Clock {
  readonly #metronome = new Metronome({ nowMs: () => this.monotonicMs() });

  now(): EpochMs {
    return epochMs(Date.now());
  }

  monotonicMs(): number {
    return performance.now();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const stop = (): void => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(
        () => {
          signal?.removeEventListener("abort", stop);
          resolve();
        },
        Math.max(0, ms),
      );
      timer.unref();
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  every(ms: number, callback: (lateMs: number) => void): Beat {
    return this.#metronome.every(ms, callback);
  }
}
