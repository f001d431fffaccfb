import { MEMBERS_MAX, REFUSAL_NAMES_MAX } from "#shared/lib/limits.ts";
import type { EpochMs } from "#shared/lib/time.ts";
import type { CommandOf, NewMember } from "#shared/registry/command.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import { isSameRack, rackIds, spellingInUse } from "#shared/registry/queries/racks.ts";
import { refuse, type Outcome } from "#shared/registry/reducers/outcome.ts";
import type { Member, RegistryState } from "#shared/registry/state.ts";

/**
 * Two hosts of one size never report quite the same memory: kernels keep different parts for themselves. A replacement may have less
 * by this share.
 */
const SIZE_SLACK = 1 / 32;

type Refused = Extract<Outcome, { ok: false }>;

/** Whose place a host takes (null: nobody's), and what its record says beyond its own word. */
export type Admission =
  | {
      readonly ok: true;
      readonly replaced: Member | null;
      readonly settled: Pick<NewMember, "rack_id" | "use_internal_ipv6">;
    }
  | Refused;

/**
 * Whether a host may become a member, and as whom. Judged where the command is applied, so that two hosts can never take one
 * place, and a sponsor's rehearsal gives the very answer that the commit would. A peer that is a member already always may come
 * again, failed or not: it repairs itself. Source: seed 003, "Error codes".
 */
export function admission(
  state: Readonly<RegistryState>,
  { member, want_uid, override_rack_id = false, token }: CommandOf<"member.add">,
  at: EpochMs,
): Admission {
  const { peer } = member;
  if (state.tombstones.has(peer)) return refuse("member_removed", { peer });
  if (token !== undefined && !isUsable(state, token, peer, at)) return refuse("access_denied", {});
  const known = state.members.get(peer);
  const place = want_uid === undefined || want_uid === known?.uid ? null : placeOf(state, known, want_uid);
  if (place !== null && "ok" in place) return place;
  if (known === undefined && place === null) {
    const full = noRoom(state, member);
    if (full !== null) return full;
  }
  const twin = twinOf(state, member, place);
  if (twin !== undefined) return refuse("member_name_exists", { name: twin.name });
  const settings = sharedSettings(state, member);
  if (!settings.ok) return settings;
  const rack = rackOf(state, member, place ?? known, override_rack_id);
  if (!rack.ok) return rack;
  if (state.cluster?.rackAware === true && rack.rackId === null) {
    return refuse("rack_id_required", { current_rack_ids: rackIds(state) });
  }
  const small = place === null ? null : tooSmall(member, place);
  return small ?? { ok: true, replaced: place, settled: { ...settings.inherited, rack_id: rack.rackId } };
}

/** Why a host cannot join as one more member. */
function noRoom(state: Readonly<RegistryState>, member: NewMember): Refused | null {
  const failed = membersByUid(state).filter(({ failedAt }) => failedAt !== null);
  if (failed.length > 0 && state.cluster?.settings.repairPolicy !== "open") {
    return repairRequired(failed, member);
  }
  if (state.members.size < MEMBERS_MAX) return null;
  return refuse("limit_reached", { what: "members", limit: MEMBERS_MAX });
}

function isUsable(state: Readonly<RegistryState>, id: string, peer: string, at: EpochMs): boolean {
  const token = state.tokens.get(id);
  if (token === undefined) return false;
  // Whoever has used it may come again: its join may have broken off, and nobody else can be harmed by it.
  return token.usedBy === null ? at < token.expiresAt : token.usedBy === peer;
}

function placeOf(state: Readonly<RegistryState>, known: Member | undefined, uid: number): Member | Refused {
  const wrong = (rule: string): Refused => refuse("config_error", { field: "node.identity.uid", rule });
  if (known !== undefined) return wrong(`this host is the node ${known.uid} of the cluster already`);
  const place = membersByUid(state).find((member) => member.uid === uid);
  if (place === undefined) return wrong(`the cluster has no node ${uid}`);
  if (place.failedAt === null)
    return wrong(`the node ${uid} (${place.name}) has not failed; only a failed one is replaced`);
  return place;
}

/**
 * Candidates: the very host that failed and comes back under another key (under its name it could join as nobody else), then one of
 * the same rack, then the oldest.
 */
function repairRequired(failed: readonly Member[], member: NewMember): Refused {
  const { uuid, name, rack_id: rack } = member;
  const rank = (one: Member): number => {
    if (one.uuid === uuid) return 0;
    if (one.name === name) return 1;
    return rack !== null && one.rack_id !== null && isSameRack(rack, one.rack_id) ? 2 : 3;
  };
  const candidate = failed.toSorted((a, b) => rank(a) - rank(b))[0];
  return refuse("repair_required", {
    failed_nodes: failed
      .slice(0, REFUSAL_NAMES_MAX)
      .map(({ uid, rack_id }) => (rack_id === null ? { uid } : { uid, rack_id })),
    replace_candidate: candidate?.uid ?? 0,
  });
}

/**
 * Another peer with this name or uuid: a second host of the same name, or a host that runs from a copied disk. The oldest is
 * named: members stand in the order of their uids, after a snapshot too.
 */
export function twinOf(
  state: Readonly<RegistryState>,
  { peer, name, uuid }: NewMember,
  replaced: Member | null,
): Member | undefined {
  return membersByUid(state).find(
    (other) => other.peer !== peer && other !== replaced && (other.name === name || other.uuid === uuid),
  );
}

/**
 * Settings that all members share. `use_internal_ipv6` is the oldest member's, and who says nothing inherits it; the folder of the
 * socket is that of the oldest member that tells one. Source: seed 003, "Error codes", and its documentation of both.
 */
export function sharedSettings(
  state: Readonly<RegistryState>,
  { peer, use_internal_ipv6: ipv6, socket_directory: folder }: NewMember,
): { readonly ok: true; readonly inherited: Pick<NewMember, "use_internal_ipv6"> } | Refused {
  const others = membersByUid(state).filter((other) => other.peer !== peer);
  const folders = others.flatMap(({ socket_directory }) => socket_directory ?? []);
  const expected = folders[0] ?? folder;
  if (folder !== undefined && expected !== undefined && folder !== expected) {
    return refuse("socket_directory_mismatch", { expected, actual: folder });
  }
  const shared = others[0]?.use_internal_ipv6 ?? false;
  if (ipv6 === undefined) return { ok: true, inherited: shared ? { use_internal_ipv6: true } : {} };
  if (others.length === 0 || ipv6 === shared) return { ok: true, inherited: {} };
  return refuse("node_config_mismatch", {
    setting: "use_internal_ipv6",
    expected: String(shared),
    actual: String(ipv6),
  });
}

/**
 * The rack a host gets. Who has been in one stays in it: what was placed by it would be in the wrong place otherwise.
 * `settled`: the member that it was, or whose place it takes.
 */
export function rackOf(
  state: Readonly<RegistryState>,
  { rack_id }: NewMember,
  settled: Member | undefined,
  override: boolean,
): { readonly ok: true; readonly rackId: string | null } | Refused {
  const own = rack_id === null ? null : spellingInUse(state, rack_id);
  const before = settled?.rack_id ?? null;
  if (own === null || before === null) return { ok: true, rackId: own ?? before };
  if (override || isSameRack(own, before)) return { ok: true, rackId: own };
  const rule = `the node ${settled?.uid} is in the rack ${before}; join in that one, or set node.identity.override_rack_id`;
  return refuse("config_error", { field: "node.identity.rack_id", rule });
}

function tooSmall(member: NewMember, place: Member): Refused | null {
  const required = (bytes: number | undefined): number => Math.floor((bytes ?? 0) * (1 - SIZE_SLACK));
  const required_memory = required(place.memory_bytes);
  if (member.memory_bytes !== undefined && member.memory_bytes < required_memory) {
    return refuse("insufficient_node_memory", { required_memory });
  }
  const required_flash = required(place.flash_bytes);
  if (required_flash > 0 && (member.flash_bytes ?? 0) < required_flash) {
    return refuse("insufficient_node_flash", { required_flash });
  }
  return null;
}
