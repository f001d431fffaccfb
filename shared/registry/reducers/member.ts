import { MEMBERS_MAX } from "#shared/lib/limits.ts";
import type { NewMember } from "#shared/registry/command.ts";
import { done, refuse, type Outcome, type Reducer, type Touched } from "#shared/registry/reducers/outcome.ts";
import type { Member, RegistryState } from "#shared/registry/state.ts";

/** A peer that joins again (its first attempt broke off) keeps its uid and is `joining` once more. Answers `{ uid }`. */
export const addMember: Reducer<"member.add"> = (state, { member }, { at }) => {
  const { peer } = member;
  if (state.tombstones.has(peer)) return refuse("member_removed", { peer });
  const twin = twinOf(state, member);
  if (twin !== undefined) return refuse("member_name_exists", { name: twin.name });
  const known = state.members.get(peer);
  if (known === undefined && state.members.size >= MEMBERS_MAX) {
    return refuse("limit_reached", { what: "members", limit: MEMBERS_MAX });
  }
  const uid = known?.uid ?? state.nextUid;
  if (known === undefined) state.nextUid += 1;
  state.members.set(peer, {
    ...member,
    uid,
    status: "joining",
    addedAt: known?.addedAt ?? at,
    failedAt: null,
  });
  return done([set(peer)], { uid });
};

export const activateMember: Reducer<"member.activate"> = (state, { peer }) => {
  const known = state.members.get(peer);
  if (known === undefined) return refuseAbsent(state, peer);
  if (known.status === "active") return done([]);
  state.members.set(peer, { ...known, status: "active", failedAt: null });
  return done([set(peer)]);
};

/** A member that joins still is not failed: a join that broke off is removed, not repaired. Repeating changes nothing. */
export const setFailed: Reducer<"member.set_failed"> = (state, { peer, failed }, { at }) => {
  const known = state.members.get(peer);
  if (known === undefined) return refuseAbsent(state, peer);
  if ((known.failedAt !== null) === failed || known.status === "joining") return done([]);
  state.members.set(peer, { ...known, failedAt: failed ? at : null });
  return done([set(peer)]);
};

export const updateMember: Reducer<"member.update"> = (state, command) => {
  const { peer, mesh_addrs, api_urls, software_version } = command;
  const known = state.members.get(peer);
  if (known === undefined) return refuseAbsent(state, peer);
  state.members.set(peer, {
    ...known,
    mesh_addrs: mesh_addrs ?? known.mesh_addrs,
    api_urls: api_urls ?? known.api_urls,
    software_version: software_version ?? known.software_version,
  });
  return done([set(peer)]);
};

/** Registered nodes of the host stay: what the operator configured is not lost with a host that may be replaced. */
export const removeMember: Reducer<"member.remove"> = (state, { peer }, { index }) => {
  if (!state.members.has(peer)) return refuseAbsent(state, peer);
  if (state.members.size === 1) {
    return refuse("bad_request", { field: "peer", rule: "the last member of a cluster cannot be removed" });
  }
  state.members.delete(peer);
  state.tombstones.set(peer, index);
  return done([{ topic: "members", op: "delete", id: peer }]);
};

/**
 * Another peer with this name or uuid: a second host of the same name, or a host that runs from a copied disk. The oldest is
 * named: members stand in the order of their uids, after a snapshot too.
 */
function twinOf(state: RegistryState, { peer, name, uuid }: NewMember): Member | undefined {
  return state.members
    .values()
    .find((other) => other.peer !== peer && (other.name === name || other.uuid === uuid));
}

function refuseAbsent(state: RegistryState, peer: string): Outcome {
  return state.tombstones.has(peer)
    ? refuse("member_removed", { peer })
    : refuse("member_not_found", { peer });
}

function set(peer: string): Touched {
  return { topic: "members", op: "set", id: peer };
}
