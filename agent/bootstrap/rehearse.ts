import { rehearseJoin } from "./actions/join.ts";
import { lookAtFolder } from "./check-folder.ts";
import { rehearseRecovery } from "./actions/recover.ts";
import type { Contact } from "./contact.ts";
import type { BootstrapDeps } from "./deps.ts";
import { preflight } from "./preflight.ts";
import { AttemptFailed, failureOf } from "./refusal.ts";
import { unrecorded } from "./steps.ts";
import type { Validation } from "#agent/ports/bootstrap.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";

/** Longest a rehearsal may take: somebody waits for the answer. Milliseconds. */
const REHEARSAL_MS_MAX = 60_000;

const TOO_LONG = {
  code: "connect_error",
  details: {
    message: `the agents that were asked gave no answer within ${REHEARSAL_MS_MAX / 1000} s; name fewer of them, or others`,
  },
} as const;

/** Every check that the action would make, on this host and elsewhere. Changes nothing. Rejects with the signal's reason alone. */
export async function rehearse(
  given: Omit<BootstrapDeps, "step"> & { readonly contact: Contact },
  action: BootstrapAction,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<Validation> {
  const deps = { ...given, checkFolder: given.checkFolder ?? lookAtFolder, step: unrecorded };
  const late = new AbortController();
  const until = AbortSignal.any([signal, late.signal]);
  const over = new AbortController();
  deps.clock.sleep(REHEARSAL_MS_MAX, AbortSignal.any([signal, over.signal])).then(
    () => late.abort(new AttemptFailed(TOO_LONG)),
    () => undefined,
  );
  try {
    switch (action) {
      case "create_cluster":
        await preflight(deps, request, until);
        return { ok: true };
      case "join_cluster":
        await rehearseJoin(deps, request, until);
        return { ok: true };
      case "recover_cluster":
        return { ok: true, recovery: await rehearseRecovery(deps, request, until) };
    }
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, failure: failureOf(late.signal.aborted ? late.signal.reason : error, deps.log) };
  } finally {
    over.abort();
  }
}
