import { rehearseRecovery } from "./actions/recover.ts";
import type { Contact } from "./contact.ts";
import type { BootstrapDeps } from "./deps.ts";
import { preflight } from "./preflight.ts";
import { failureOf } from "./refusal.ts";
import type { Validation } from "#agent/ports/bootstrap.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";

/** Every check that the action would make, on this host and elsewhere. Changes nothing. Rejects with the signal's reason alone. */
export async function rehearse(
  deps: BootstrapDeps & { readonly contact: Contact },
  action: BootstrapAction,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<Validation> {
  try {
    switch (action) {
      case "create_cluster":
      case "join_cluster":
        await preflight(deps, request, signal);
        return { ok: true };
      case "recover_cluster":
        return { ok: true, recovery: await rehearseRecovery(deps, request, signal) };
    }
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, failure: failureOf(error, deps.log) };
  }
}
