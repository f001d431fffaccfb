import { AppError } from "#shared/errors/app-error.ts";
import { LOG_LEAP_MS_MAX, RECOVERY_ID_GAP, RECOVERY_INDEX_GAP } from "#shared/lib/limits.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";
import { plainMember, type NewMember } from "#shared/registry/command.ts";
import { remark } from "#shared/registry/fingerprint.ts";
import { hasPlace, membersByUid } from "#shared/registry/queries/members.ts";
import { tokensById } from "#shared/registry/queries/tokens.ts";
import { rackOf, sharedSettings, twinOf } from "#shared/registry/reducers/admission.ts";
import type { Touched } from "#shared/registry/reducers/outcome.ts";
import { clearPlace } from "#shared/registry/reducers/replacement.ts";
import type { Member, RegistryState } from "#shared/registry/state.ts";
import { versionsAfter } from "#shared/registry/versions.ts";

/** Seed 003: a recovering host is this node unless it says otherwise. */
const FIRST_UID = 1;

/** How a cluster is brought back. */
export interface Recovery {
  /** The host that carries it on, as it is now. */
  readonly member: NewMember;
  /** Which node of the cluster it is; null: itself if the copy knows its peer, uuid or name, else node 1. */
  readonly uid: number | null;
  /** Its rack may differ from that node's. */
  readonly overrideRackId?: boolean;
  readonly at: EpochMs;
  /** That of the cluster from now on. */
  readonly incarnation: number;
}

/**
 * The state with which one host carries a cluster on from a copy of its registry, when no majority is left to do so. The copy
 * is not changed.
 *
 * Whatever the lost members still knew must never fit what comes now: index and id counters leap, the term grows, and all other members
 * are failed until they join again. Joins that were under way are dropped with their peer ids, and so are join tokens nobody has used: the
 * members they pin are gone. Idempotency keys stay, so that a caller's repetition still takes effect once; so do the others' sessions.
 *
 * Throws an AppError: config_error for `node.identity.uid` when this host cannot be that node, and what admission refuses for
 * settings and racks.
 */
export function recovered(copy: Readonly<RegistryState>, recovery: Recovery): RegistryState {
  const { cluster } = copy;
  if (cluster === null) {
    throw new AppError("config_error", { field: "action", rule: "the copy holds no cluster" });
  }
  const state = copied(copy);
  advance(state, recovery.at);
  const { place, record } = ownRecord(state, recovery);
  // Its starts may be counted anew: a session of a smaller number would be taken for an old one for ever.
  state.sessions.delete(record.peer);
  state.cluster = { ...cluster, incarnation: recovery.incarnation, recoveredAt: state.at };
  const touched: readonly Touched[] = [
    { topic: "cluster", op: "set", id: "" },
    ...takePlace(state, place, record),
    ...failOthers(state, record),
    ...dropTokens(state),
  ];
  versionsAfter(state, touched);
  remark(state, touched);
  return state;
}

/** Everything that is changed in place is made anew; records are shared, for they never change. */
function copied(copy: Readonly<RegistryState>): RegistryState {
  const { fingerprint } = copy;
  return {
    ...copy,
    members: new Map(copy.members),
    tombstones: new Map(copy.tombstones),
    zones: new Map(copy.zones),
    nodes: new Map(copy.nodes),
    users: new Map(copy.users),
    tokens: new Map(copy.tokens),
    sessions: new Map(
      [...copy.sessions].map(([peer, one]) => [peer, { ...one, results: new Map(one.results) }]),
    ),
    keys: new Map(copy.keys),
    versions: new Map(copy.versions),
    topicVersions: { ...copy.topicVersions },
    fingerprint: { ...fingerprint, marks: new Map(fingerprint.marks) },
  };
}

/** The log's own time goes on as at an entry: never back, and a leap ends nothing before its time. */
function advance(state: RegistryState, at: EpochMs): void {
  const passedMs = Math.max(0, at - state.at);
  state.at = epochMs(state.at + passedMs);
  state.elapsedMs += Math.min(passedMs, LOG_LEAP_MS_MAX);
  state.index += RECOVERY_INDEX_GAP;
  state.term += 1;
  state.nextUid += RECOVERY_ID_GAP;
  state.nextZoneId += RECOVERY_ID_GAP;
  state.nextUserUid += RECOVERY_ID_GAP;
}

/** Which node this host is, and its record. Refuses what would leave two members alike. */
function ownRecord(
  state: Readonly<RegistryState>,
  { member, uid, overrideRackId = false }: Recovery,
): { readonly place: Member; readonly record: Member } {
  const { peer } = member;
  if (state.tombstones.has(peer)) throw new AppError("member_removed", { peer });
  const place = placeOf(state, member, uid);
  const twin = twinOf(state, member, place);
  if (twin !== undefined) {
    throw wrongUid(`this host has the name or the uuid of the node ${twin.uid} (${twin.name})`);
  }
  const settings = sharedSettings(state, member);
  if (!settings.ok) throw AppError.of(settings.refusal);
  const rack = rackOf(state, member, place, overrideRackId);
  if (!rack.ok) throw AppError.of(rack.refusal);
  const stays = place.peer === peer;
  const tookOverAt = stays ? place.tookOverAt : state.at;
  const record: Member = {
    ...plainMember(member),
    ...settings.inherited,
    rack_id: rack.rackId,
    uid: place.uid,
    status: "active",
    addedAt: stays ? place.addedAt : state.at,
    failedAt: null,
    ...(tookOverAt === undefined ? {} : { tookOverAt }),
  };
  return { place, record };
}

function placeOf(
  state: Readonly<RegistryState>,
  { peer, uuid, name }: NewMember,
  uid: number | null,
): Member {
  const members = membersByUid(state);
  const itself = state.members.get(peer);
  if (itself !== undefined) {
    if (uid === null || uid === itself.uid) return itself;
    throw wrongUid(`this host is the node ${itself.uid} of the cluster already`);
  }
  const alike = members.find((one) => one.uuid === uuid) ?? members.find((one) => one.name === name);
  const wanted = uid ?? alike?.uid ?? FIRST_UID;
  const place = members.find((one) => one.uid === wanted);
  if (place === undefined) throw wrongUid(`the copy has no node ${wanted}`);
  return place;
}

function takePlace(state: RegistryState, place: Member, record: Member): Touched[] {
  const cleared = place.peer === record.peer ? [] : clearPlace(state, place, record, state.index);
  state.members.set(record.peer, record);
  return [...cleared, { topic: "members", op: "set", id: record.peer }];
}

/** Since when one has been failed that was already stays true. */
function failOthers(state: RegistryState, own: Member): Touched[] {
  const others = membersByUid(state).filter(({ peer, failedAt }) => peer !== own.peer && failedAt === null);
  return others.map((other): Touched => {
    const { peer } = other;
    if (hasPlace(other)) {
      state.members.set(peer, { ...other, failedAt: state.at });
      return { topic: "members", op: "set", id: peer };
    }
    state.members.delete(peer);
    state.tombstones.set(peer, state.index);
    return { topic: "members", op: "delete", id: peer };
  });
}

function dropTokens(state: RegistryState): Touched[] {
  const unused = tokensById(state).filter(({ usedBy }) => usedBy === null);
  for (const { id } of unused) state.tokens.delete(id);
  return unused.map(({ id }) => ({ topic: "tokens", op: "delete", id }));
}

function wrongUid(rule: string): AppError {
  return new AppError("config_error", { field: "node.identity.uid", rule });
}
