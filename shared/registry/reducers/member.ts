import { canonicalJson } from "#shared/lib/order.ts";
import { plainMember } from "#shared/registry/command.ts";
import { hasPlace } from "#shared/registry/queries/members.ts";
import { isSameRack, spellingInUse } from "#shared/registry/queries/racks.ts";
import { admission } from "#shared/registry/reducers/admission.ts";
import { done, refuse, type Outcome, type Reducer, type Touched } from "#shared/registry/reducers/outcome.ts";
import { clearPlace } from "#shared/registry/reducers/replacement.ts";
import type { Member, RegistryState } from "#shared/registry/state.ts";

/**
 * A peer that joins again keeps its uid and is `joining` once more: its first attempt broke off, or it has lost its store. One that
 * asks for the uid of a failed member takes its place: see admission.ts. Answers `{ uid }`.
 */
export const addMember: Reducer<"member.add"> = (state, command, { index, at }) => {
  const { peer } = command.member;
  const admitted = admission(state, command, at);
  if (!admitted.ok) return admitted;
  const { replaced, settled } = admitted;
  const known = state.members.get(peer);
  const uid = replaced?.uid ?? known?.uid ?? state.nextUid;
  if (uid === state.nextUid) state.nextUid += 1;
  const touched: Touched[] = replaced === null ? [] : clearPlace(state, replaced, command.member, index);
  // Who takes part loses nothing by joining again: should that break off, its place is kept like that of one it replaces.
  const tookOverAt = replaced !== null || known?.status === "active" ? at : known?.tookOverAt;
  state.members.set(peer, {
    ...plainMember(command.member),
    ...settled,
    uid,
    status: "joining",
    addedAt: known?.addedAt ?? at,
    failedAt: null,
    ...(tookOverAt === undefined ? {} : { tookOverAt }),
  });
  touched.push(set(peer));
  const token = command.token === undefined ? undefined : state.tokens.get(command.token);
  if (token?.usedBy === null) {
    state.tokens.set(token.id, { ...token, usedBy: peer, usedAt: at });
    touched.push({ topic: "tokens", op: "set", id: token.id });
  }
  return done(touched, { uid });
};

export const activateMember: Reducer<"member.activate"> = (state, { peer }) => {
  const known = state.members.get(peer);
  if (known === undefined) return refuseAbsent(state, peer);
  if (known.status === "active") return done([]);
  state.members.set(peer, { ...known, status: "active", failedAt: null });
  return done([set(peer)]);
};

/** A first join that broke off is removed, not repaired: it does not fail. Repeating changes nothing. */
export const setFailed: Reducer<"member.set_failed"> = (state, { peer, failed }, { at }) => {
  const known = state.members.get(peer);
  if (known === undefined) return refuseAbsent(state, peer);
  if ((known.failedAt !== null) === failed || !hasPlace(known)) return done([]);
  state.members.set(peer, { ...known, failedAt: failed ? at : null });
  return done([set(peer)]);
};

export const updateMember: Reducer<"member.update"> = (state, command) => {
  const { peer, mesh_addrs, api_urls, software_version, memory_bytes, flash_bytes } = command;
  const known = state.members.get(peer);
  if (known === undefined) return refuseAbsent(state, peer);
  const { socket_directory: before, ...others } = known;
  const folder = command.socket_directory ?? before ?? "";
  state.members.set(peer, {
    ...others,
    ...(folder === "" ? {} : { socket_directory: folder }),
    mesh_addrs: mesh_addrs ?? known.mesh_addrs,
    api_urls: api_urls ?? known.api_urls,
    software_version: software_version ?? known.software_version,
    ...(memory_bytes === undefined ? {} : { memory_bytes }),
    ...(flash_bytes === undefined ? {} : { flash_bytes }),
  });
  return done([set(peer)]);
};

/** A rack is given once: what was placed by it would be in the wrong place otherwise. Source: seed 003's documentation. */
export const configureMember: Reducer<"member.configure"> = (state, command) => {
  const { peer, addr, rack_id, external_addrs, second_rack_id, accept_servers } = command;
  const { max_listeners, max_redis_servers } = command;
  const known = state.members.get(peer);
  if (known === undefined) return refuseAbsent(state, peer);
  if (rack_id !== undefined && known.rack_id !== null && !isSameRack(rack_id, known.rack_id)) {
    return refuse("member_has_rack", { name: known.name, rack_id: known.rack_id });
  }
  const changed: Member = {
    ...known,
    rack_id: known.rack_id ?? (rack_id === undefined ? null : spellingInUse(state, rack_id)),
    addr: addr ?? known.addr,
    external_addrs: external_addrs ?? known.external_addrs,
    ...(second_rack_id === undefined ? {} : { second_rack_id }),
    ...(accept_servers === undefined ? {} : { accept_servers }),
    ...(max_listeners === undefined ? {} : { max_listeners }),
    ...(max_redis_servers === undefined ? {} : { max_redis_servers }),
  };
  if (canonicalJson(changed) === canonicalJson(known)) return done([]);
  state.members.set(peer, changed);
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

function refuseAbsent(state: RegistryState, peer: string): Outcome {
  return state.tombstones.has(peer)
    ? refuse("member_removed", { peer })
    : refuse("member_not_found", { peer });
}

function set(peer: string): Touched {
  return { topic: "members", op: "set", id: peer };
}
