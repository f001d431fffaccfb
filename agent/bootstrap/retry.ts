import { AttemptFailed, failureOf } from "./refusal.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { mayPass } from "#shared/bootstrap/failure.ts";

/** Wait before the second try; doubles, up to the caller's `retry_time`. Milliseconds. */
const FIRST_WAIT_MS = 1000;

/**
 * The outcome of work that may be tried `max_retries` times again when it fails for something that may pass by itself, and at once
 * rejects for anything else. Between tries it waits ever longer, but never longer than `retry_time`. Work that failed must have left
 * nothing behind. Rejects with AttemptFailed, or with the signal's reason.
 */
export async function retrying<T>(
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  { maxRetries, retryTimeS }: Pick<BootstrapRequest, "maxRetries" | "retryTimeS">,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      const failure = failureOf(error, log);
      if (!mayPass(failure) || tries >= maxRetries) throw new AttemptFailed(failure);
      const { code, details } = failure;
      log.warn({ code, details, tries: tries + 1 }, "the bootstrap failed; trying again");
    }
    await clock.sleep(Math.min(retryTimeS * 1000, FIRST_WAIT_MS * 2 ** tries), signal);
  }
}
