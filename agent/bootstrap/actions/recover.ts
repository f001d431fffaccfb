import type { Contact } from "#agent/bootstrap/contact.ts";
import type { BootstrapDeps } from "#agent/bootstrap/deps.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { RecoveryPlan } from "#shared/bootstrap/recovery.ts";
import { AppError } from "#shared/errors/app-error.ts";

type RecoveryDeps = BootstrapDeps & { readonly contact: Contact };

/** Puts a new incarnation of a lost cluster in the place of what this host holds. */
export async function recoverCluster(
  deps: RecoveryDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<ClusterIdentity> {
  await rehearseRecovery(deps, request, signal);
  throw new AppError("config_error", { field: "action", rule: "is not offered by this version" });
}

/** What a recovery would do. */
export async function rehearseRecovery(
  _deps: RecoveryDeps,
  _request: BootstrapRequest,
  _signal: AbortSignal,
): Promise<RecoveryPlan> {
  throw new AppError("config_error", { field: "action", rule: "is not offered by this version" });
}
