import { REFUSAL_NAMES_MAX } from "#shared/lib/limits.ts";
import { canonicalJson } from "#shared/lib/order.ts";
import { plainMember } from "#shared/registry/command.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import { done, refuse, type Reducer } from "#shared/registry/reducers/outcome.ts";
import {
  POLICY_DEFAULT,
  SETTINGS_DEFAULT,
  type ClusterInfo,
  type RegistryState,
} from "#shared/registry/state.ts";

/** The first command of a cluster: before any member. Its founder holds the registry already, so it is active at once. Answers `{ uid }`. */
export const createCluster: Reducer<"cluster.create"> = (state, command, { at }) => {
  if (state.cluster !== null || state.members.size > 0) return refuse("cluster_exists", {});
  const { member, admin } = command;
  if (command.rack_aware && member.rack_id === null) {
    return refuse("rack_id_required", { current_rack_ids: [] });
  }
  const uid = state.nextUid;
  const userUid = state.nextUserUid;
  state.cluster = {
    id: command.cluster_id,
    name: command.name,
    rackAware: command.rack_aware,
    createdAt: at,
    settings: SETTINGS_DEFAULT,
    incarnation: 1,
    recoveredAt: null,
    policy: command.policy ?? POLICY_DEFAULT,
    license: command.license ?? "",
    dnsSuffixes: command.dns_suffixes ?? [],
    trustedCa: "",
  };
  state.nextUid += 1;
  state.members.set(member.peer, {
    ...plainMember(member),
    uid,
    status: "active",
    addedAt: at,
    failedAt: null,
  });
  state.nextUserUid += 1;
  state.users.set(admin.name, {
    uid: userUid,
    name: admin.name,
    role: "admin",
    verifier: admin.verifier,
    createdAt: at,
    passwordAt: at,
    displayName: "Administrator",
    emailAlerts: false,
  });
  return done(
    [
      { topic: "cluster", op: "set", id: "" },
      { topic: "members", op: "set", id: member.peer },
      { topic: "users", op: "set", id: admin.name },
    ],
    { uid },
  );
};

/** Replaces what is passed; nothing has changed when nothing differs. */
export const configureCluster: Reducer<"cluster.configure"> = (state, command) => {
  const { cluster } = state;
  if (cluster === null) return refuse("not_in_cluster", {});
  const rackAware = command.rack_aware ?? cluster.rackAware;
  if (rackAware !== cluster.rackAware) {
    const reason = whyNotRackAware(state, rackAware);
    if (reason !== null) return refuse("change_refused", { what: "change rack awareness", reason });
  }
  const { candidatePoolSize, failedAfterMs, repairPolicy } = cluster.settings;
  const changed: ClusterInfo = {
    ...cluster,
    rackAware,
    settings: {
      candidatePoolSize: command.candidate_pool_size ?? candidatePoolSize,
      failedAfterMs: command.failed_after_ms ?? failedAfterMs,
      repairPolicy: command.repair_policy ?? repairPolicy,
    },
    policy: { ...cluster.policy, ...command.policy },
    license: command.license ?? cluster.license,
    dnsSuffixes: command.dns_suffixes ?? cluster.dnsSuffixes,
    trustedCa: command.trusted_ca ?? cluster.trustedCa,
  };
  if (canonicalJson(changed) === canonicalJson(cluster)) return done([]);
  state.cluster = changed;
  return done([{ topic: "cluster", op: "set", id: "" }]);
};

/** Racks say where copies of data are; a member without one would make that a guess. Source: seed 003's documentation. */
function whyNotRackAware(state: RegistryState, wanted: boolean): string | null {
  if (!wanted) return "it cannot be switched off again";
  const without = membersByUid(state).filter(({ rack_id }) => rack_id === null);
  const names = without.slice(0, REFUSAL_NAMES_MAX).map(({ name }) => name);
  return names.length === 0 ? null : `these members have no rack_id: ${names.join(", ")}`;
}
