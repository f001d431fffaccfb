import { randomUUID } from "node:crypto";

import type { Contact } from "#agent/bootstrap/contact.ts";
import type { BootstrapDeps } from "#agent/bootstrap/deps.ts";
import { preflight, type Preflight } from "#agent/bootstrap/preflight.ts";
import { survey, type Found } from "#agent/bootstrap/survey.ts";
import type { HeldCopy } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { planOf, type RecoveryPlan } from "#shared/bootstrap/recovery.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { recovered } from "#shared/registry/recovery.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** Longest the recovered registry may take to answer; the only voter is this agent. Milliseconds. */
const START_MS_MAX = 15_000;

type RecoveryDeps = BootstrapDeps & { readonly contact: Contact };

/** A recovery as far as it changes nothing. */
interface Rehearsed extends Found {
  readonly plan: RecoveryPlan;
  /** The registry afterwards. */
  readonly after: RegistryState;
  readonly chosen: Preflight["chosen"];
}

/**
 * Carries a cluster that has lost its majority on from the best copy of its registry that is left, with this host as its only
 * voter, as a new incarnation. Resolves once that is on the disk; until then this host is what it was before.
 *
 * Rejects as the survey does, with path_error when the own copy could not be backed up first, and with access_denied when credentials
 * were given that are not an administrator's of that cluster.
 */
export async function recoverCluster(
  deps: RecoveryDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<ClusterIdentity> {
  const { runtime, step, log } = deps;
  const rehearsed = await rehearse(deps, request, signal);
  const { own, plan, after, chosen } = rehearsed;
  await step("backup", () => backUp(deps, rehearsed));
  signal.throwIfAborted();
  await refuseIfItGoesOn(deps, rehearsed);
  const identity: ClusterIdentity = {
    clusterId: plan.chosen.clusterId,
    incarnation: plan.incarnation,
    lineage: randomUUID(),
    uid: plan.uid,
    contacts: [],
    ...(own?.identity.paths === undefined ? {} : { paths: own.identity.paths }),
    ...chosen,
  };
  const { clusterId, incarnation, uid } = identity;
  const { where, index } = plan.chosen;
  log.warn(
    { clusterId, incarnation, uid, from: where, index, losses: plan.losses },
    "the cluster is recovered",
  );
  try {
    await step("write", () => runtime.recover(identity, after));
  } catch (error) {
    // This host stays what it was, or is what it wanted to be: the disk says which.
    const held = await deps.identity.cluster().catch(() => null);
    if (held?.lineage !== identity.lineage) throw error;
    log.warn({ err: error }, "the recovery is on the disk, but did not go on from there at once");
  }
  // There is no way back any more, so nothing from here on makes the attempt fail.
  try {
    await step("start", () => runtime.registry.readBarrier({ timeoutMs: START_MS_MAX, signal }));
  } catch (error) {
    log.warn({ err: error }, "the recovered registry does not answer yet");
  }
  return identity;
}

/** What a recovery would do. Asks everybody whom the recovery would ask, and changes nothing. Rejects as it would. */
export async function rehearseRecovery(
  deps: RecoveryDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<RecoveryPlan> {
  const { plan } = await rehearse(deps, request, signal);
  return plan;
}

async function rehearse(
  deps: RecoveryDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<Rehearsed> {
  const { step, clock } = deps;
  const { uid = null, overrideRackId = false } = request.identity;
  const { member, chosen } = await step("preflight", () => preflight(deps, request, signal));
  const found = await step("survey", () => survey(deps, request, signal));
  await refuseWrongCredentials(deps, request, found.state);
  const { choice, state, unseen } = found;
  const { incarnation } = choice;
  const after = recovered(state, { member, uid, overrideRackId, at: clock.now(), incarnation });
  refuseLivingPlace(found, after, member.peer);
  const plan = planOf(choice, after, { self: member.peer, unseen });
  return { ...found, plan, after, chosen };
}

/** Who may start a bootstrap needs no password to recover what this host holds; but one that is given must be right. */
async function refuseWrongCredentials(
  { passwords }: Pick<BootstrapDeps, "passwords">,
  { credentials: { username, password } }: BootstrapRequest,
  { users }: Readonly<RegistryState>,
): Promise<void> {
  if (username === "") return;
  const user = users.get(username) ?? null;
  if ((await passwords.verify(password, user?.verifier ?? null)) && user?.role === "admin") return;
  const text = "the credentials are not those of an administrator in the copy that would be recovered from";
  throw new AppError("access_denied", {}, text);
}

/** A node that answers is not lost: to take its place would throw out a host that could carry the cluster on itself. */
function refuseLivingPlace({ answered, state }: Found, after: Readonly<RegistryState>, self: string): void {
  const uid = after.members.get(self)?.uid;
  const former = [...state.members.values()].find((member) => member.uid === uid);
  const where = former === undefined ? undefined : answered.get(former.peer);
  if (former === undefined || former.peer === self || where === undefined) return;
  const rule = `the node ${uid} (${former.name}) answers at ${where}; recover the cluster on that host, or name a node that is lost`;
  throw new AppError("config_error", { field: "node.identity.uid", rule });
}

/** What is about to be replaced here is never the only thing left of it. */
async function backUp(
  { backups, log }: Pick<BootstrapDeps, "backups" | "log">,
  { own, choice, state }: Found,
): Promise<void> {
  if (own !== null) {
    const { path } = await backups.save(own.state, own.identity);
    log.info({ path }, "what this host held was backed up");
  }
  const { source, clusterId, incarnation, lineage } = choice.chosen;
  if (source !== "agent") return; // The own copy was backed up; a file is one already.
  const history = lineage === undefined ? {} : { lineage };
  try {
    const { path } = await backups.save(state, { clusterId, incarnation, ...history, uid: 1, contacts: [] });
    log.info({ path }, "the copy that is recovered from was backed up");
  } catch (error) {
    // Its holder keeps it.
    log.warn({ err: error }, "the copy that is recovered from could not be backed up here");
  }
}

/**
 * A last look: the cluster may have had a leader meanwhile, and have one still. What it acknowledged then must not be lost. That the
 * own log has grown by what the chosen copy has as well is no sign of it: members without a leader still pull from each other.
 */
async function refuseIfItGoesOn(
  { runtime }: Pick<BootstrapDeps, "runtime">,
  { own, choice, state }: Found,
): Promise<void> {
  const now = own === null ? null : ((await runtime.copy())?.state ?? null);
  const kept = own === null || (now !== null && isKept(now, own, { choice, state }));
  if (kept && runtime.registry.status().leader === null) return;
  const rule = "this host's own cluster has gone on meanwhile; it is not lost";
  throw new AppError("config_error", { field: "action", rule });
}

function isKept(
  { term, index }: Readonly<RegistryState>,
  own: HeldCopy,
  { choice: { chosen }, state }: Pick<Found, "choice" | "state">,
): boolean {
  if (term === own.state.term && index === own.state.index) return true;
  const { clusterId, incarnation } = own.identity;
  const ofOneLife = chosen.clusterId === clusterId && chosen.incarnation === incarnation;
  return ofOneLife && (term < state.term || (term === state.term && index <= state.index));
}
