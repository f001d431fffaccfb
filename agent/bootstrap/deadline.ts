import type { Clock } from "#agent/ports/clock.ts";

/**
 * The outcome of work that cannot be stopped (a file call on a hung mount), or a rejection with what `late` makes after that
 * many milliseconds or with the signal's reason. The work goes on unheard.
 */
export async function within<T>(
  work: Promise<T>,
  options: {
    readonly clock: Clock;
    readonly ms: number;
    readonly signal: AbortSignal;
    readonly late: () => Error;
  },
): Promise<T> {
  const { clock, ms, signal, late } = options;
  const over = new AbortController();
  const timer = clock.sleep(ms, AbortSignal.any([signal, over.signal])).then(() => {
    throw late();
  });
  timer.catch(() => undefined);
  work.catch(() => undefined);
  try {
    return await Promise.race([work, timer]);
  } finally {
    over.abort();
  }
}
