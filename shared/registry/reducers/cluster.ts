import { done, refuse, type Reducer } from "#shared/registry/reducers/outcome.ts";
import { SETTINGS_DEFAULT } from "#shared/registry/state.ts";

/** The first command of a cluster: before any member. Its founder holds the registry already, so it is active at once. Answers `{ uid }`. */
export const createCluster: Reducer<"cluster.create"> = (state, command, { at }) => {
  if (state.cluster !== null || state.members.size > 0) return refuse("cluster_exists", {});
  const { member, admin } = command;
  const uid = state.nextUid;
  const userUid = state.nextUserUid;
  state.cluster = {
    id: command.cluster_id,
    name: command.name,
    rackAware: command.rack_aware,
    createdAt: at,
    settings: SETTINGS_DEFAULT,
  };
  state.nextUid += 1;
  state.members.set(member.peer, { ...member, uid, status: "active", addedAt: at, failedAt: null });
  state.nextUserUid += 1;
  state.users.set(admin.name, {
    uid: userUid,
    name: admin.name,
    role: "admin",
    verifier: admin.verifier,
    createdAt: at,
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
  const { candidatePoolSize, failedAfterMs } = cluster.settings;
  const settings = {
    candidatePoolSize: command.candidate_pool_size ?? candidatePoolSize,
    failedAfterMs: command.failed_after_ms ?? failedAfterMs,
  };
  if (settings.candidatePoolSize === candidatePoolSize && settings.failedAfterMs === failedAfterMs) {
    return done([]);
  }
  state.cluster = { ...cluster, settings };
  return done([{ topic: "cluster", op: "set", id: "" }]);
};
