import { hasPlace } from "#shared/registry/queries/members.ts";
import { rackIds } from "#shared/registry/queries/racks.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/**
 * What holds in every state that the reducers made; each breach as a sentence. Checked when a snapshot is read, so that
 * a damaged one is refused instead of spread.
 */
export function breaches(state: Readonly<RegistryState>): string[] {
  const { cluster, members, tombstones, zones, nodes, users, tokens } = state;
  const out: string[] = [];
  const claim = (holds: boolean, breach: string): void => {
    if (!holds) out.push(breach);
  };
  const distinct = (values: readonly (string | number)[], what: string): void =>
    claim(new Set(values).size === values.length, `two ${what} are equal`);

  const everyMember = [...members.values()];
  distinct(
    everyMember.map(({ uid }) => uid),
    "uids of members",
  );
  distinct(
    everyMember.map(({ uuid }) => uuid),
    "uuids of members",
  );
  distinct(
    everyMember.map(({ name }) => name),
    "names of members",
  );
  for (const member of everyMember) {
    const { peer, uid, failedAt } = member;
    claim(uid < state.nextUid, `the uid ${uid} is not below the next one`);
    claim(!tombstones.has(peer), `${peer} is a member and removed`);
    claim(failedAt === null || hasPlace(member), `${peer} has failed without ever having taken part`);
  }
  distinct(
    rackIds(state).map((rackId) => rackId.toLowerCase()),
    "racks but for their spelling",
  );
  if (cluster?.rackAware === true) {
    for (const { peer, rack_id } of everyMember)
      claim(rack_id !== null, `${peer} has no rack in a rack-aware cluster`);
  }
  distinct(
    [...zones.values()].map(({ name }) => name),
    "names of zones",
  );
  for (const { id } of zones.values())
    claim(id < state.nextZoneId, `the zone ${id} is not below the next one`);
  for (const [from, row] of Object.entries(state.weights)) {
    for (const id of [from, ...Object.keys(row)]) {
      claim(zones.has(Number(id)), `the weights name the missing zone ${id}`);
    }
  }
  for (const { uuid, zoneId } of nodes.values()) {
    claim(zones.has(zoneId), `the node ${uuid} is in the missing zone ${zoneId}`);
  }
  const everyUser = [...users.values()];
  distinct(
    everyUser.map(({ uid }) => uid),
    "uids of users",
  );
  for (const { uid } of everyUser) claim(uid < state.nextUserUid, `the user ${uid} is not below the next`);
  claim(cluster === null || everyUser.some(({ role }) => role === "admin"), "there is no administrator");
  for (const { id, createdAt, expiresAt, usedBy, usedAt } of tokens.values()) {
    claim((usedBy === null) === (usedAt === null), `the token ${id} is used and not used`);
    const inTime = usedAt === null || (usedAt >= createdAt && usedAt < expiresAt);
    claim(createdAt < expiresAt && inTime, `the token ${id} was used out of its time`);
  }
  for (const session of state.sessions.values()) {
    for (const seq of session.results.keys())
      claim(seq >= session.ack, `the answer ${seq} should be forgotten`);
  }
  return out;
}
