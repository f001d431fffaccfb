import type { BootstrapDeps } from "./deps.ts";

/**
 * Undoes what an attempt did on this host. Never rejects: what could not be undone is undone before the next attempt, or at
 * the next start.
 */
export async function takeBack({ runtime, log }: Pick<BootstrapDeps, "runtime" | "log">): Promise<void> {
  try {
    await runtime.forget();
  } catch (error) {
    log.error({ err: error }, "a failed bootstrap could not be undone yet");
  }
}
