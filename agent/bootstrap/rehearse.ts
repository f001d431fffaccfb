import { rehearseJoin } from "./actions/join.ts";
import { lookAtFolder } from "./check-folder.ts";
import { rehearseRecovery } from "./actions/recover.ts";
import type { Contact } from "./contact.ts";
import type { BootstrapDeps } from "./deps.ts";
import { preflight } from "./preflight.ts";
import { failureOf } from "./refusal.ts";
import { unrecorded } from "./steps.ts";
import type { Validation } from "#agent/ports/bootstrap.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";

/** Every check that the action would make, on this host and elsewhere. Changes nothing. Rejects with the signal's reason alone. */
export async function rehearse(
  given: Omit<BootstrapDeps, "step"> & { readonly contact: Contact },
  action: BootstrapAction,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<Validation> {
  const deps = { ...given, checkFolder: given.checkFolder ?? lookAtFolder, step: unrecorded };
  try {
    switch (action) {
      case "create_cluster":
        await preflight(deps, request, signal);
        return { ok: true };
      case "join_cluster":
        await rehearseJoin(deps, request, signal);
        return { ok: true };
      case "recover_cluster":
        return { ok: true, recovery: await rehearseRecovery(deps, request, signal) };
    }
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, failure: failureOf(error, deps.log) };
  }
}
