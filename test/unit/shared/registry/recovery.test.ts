import { describe, expect, test } from "vitest";

import { AppError } from "#shared/errors/app-error.ts";
import { LOG_LEAP_MS_MAX, RECOVERY_ID_GAP, RECOVERY_INDEX_GAP } from "#shared/lib/limits.ts";
import { epochMs } from "#shared/lib/time.ts";
import { stateHash } from "#shared/registry/fingerprint.ts";
import { breaches } from "#shared/registry/invariants.ts";
import { recovered, type Recovery } from "#shared/registry/recovery.ts";
import { emptyState } from "#shared/registry/reduce.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { RegistryState } from "#shared/registry/state.ts";
import { makeCluster, makeMember, RegistryLog } from "#test/support/registry-log.ts";

const KEYS = { stored_key: "c3Q=", server_key: "c2s=" };

/**
 * Members 1 to 3 take part, 3 has failed, 4 is joining for the first time and 5 in the place of a failed one; uuid-1 and uuid-2
 * are registered; one join token of two is used.
 */
function cluster(): RegistryLog {
  const log = new RegistryLog();
  log.must(makeCluster(makeMember(1, { rack_id: "a" })));
  log.must({ type: "cluster.configure", repair_policy: "open" });
  for (const n of [2, 3, 9]) {
    log.must({ type: "member.add", member: makeMember(n) });
    log.must({ type: "member.activate", peer: `peer-${n}` });
  }
  for (const id of ["used", "unused"]) {
    log.must({ type: "token.create", id, keys: KEYS, ttl_ms: 10_000, created_by: "admin", note: "" });
  }
  log.must({ type: "member.add", member: makeMember(4), token: "used" });
  log.must({ type: "member.set_failed", peer: "peer-9", failed: true });
  log.must({ type: "member.add", member: makeMember(5), want_uid: 4 });
  log.must({ type: "member.set_failed", peer: "peer-3", failed: true });
  log.must({ type: "zone.create", name: "one" });
  for (const n of [1, 2]) {
    log.must({ type: "node.register", uuid: `uuid-${n}`, zone_id: 1, uri: `u:${n}`, cfg: { a: n } });
  }
  log.apply({ type: "zone.create", name: "two" }, { origin: "peer-2", seq: 7, ack: 7, key: "k" });
  return log;
}

const recovery = (more: Partial<Recovery> = {}): Recovery => ({
  member: makeMember(1),
  uid: null,
  at: epochMs(5000),
  incarnation: 2,
  ...more,
});

function refusalOf(copy: RegistryState, how: Recovery): object {
  try {
    recovered(copy, how);
  } catch (error) {
    if (error instanceof AppError) return error.toRefusal();
    throw error;
  }
  throw new Error("it was not refused");
}

test("nothing that the lost members had beyond the copy can fit what comes now", () => {
  const copy = cluster().state;
  const state = recovered(copy, recovery());
  expect(state.index).toBe(copy.index + RECOVERY_INDEX_GAP);
  expect(state.term).toBe(copy.term + 1);
  expect(state.nextUid).toBe(copy.nextUid + RECOVERY_ID_GAP);
  expect(state.nextZoneId).toBe(copy.nextZoneId + RECOVERY_ID_GAP);
  expect(state.nextUserUid).toBe(copy.nextUserUid + RECOVERY_ID_GAP);
  expect(state.cluster).toEqual({ ...copy.cluster, incarnation: 2, recoveredAt: 5000 });
});

test("the host is itself again; all others have failed, those that first joined are gone", () => {
  const copy = cluster().state;
  const state = recovered(
    copy,
    recovery({ member: makeMember(1, { addr: "10.9.9.9", software_version: "7" }) }),
  );
  expect(
    [...state.members.values()].map(({ uid, peer, status, failedAt }) => [uid, peer, status, failedAt]),
  ).toEqual([
    [1, "peer-1", "active", null],
    [2, "peer-2", "active", 5000],
    [3, "peer-3", "active", copy.members.get("peer-3")?.failedAt],
    [4, "peer-5", "joining", 5000],
  ]);
  expect(state.members.get("peer-1")).toEqual({
    ...copy.members.get("peer-1"),
    addr: "10.9.9.9",
    software_version: "7",
  });
  expect([...state.tombstones]).toEqual([...copy.tombstones, ["peer-4", state.index]]);
  expect([...state.tokens.keys()]).toEqual(["used"]);
});

test("users, zones, registered nodes, the others' sessions and idempotency keys survive", () => {
  const copy = cluster().state;
  const state = recovered(copy, recovery());
  const { users, zones, nodes, weights, keys } = copy;
  expect(state).toMatchObject({ users, zones, nodes, weights, keys });
  expect([...state.sessions]).toEqual([...copy.sessions].filter(([peer]) => peer !== "peer-1"));
  expect(state.sessions.size).toBe(1);
});

test("a host whose key has outlived its store, so that it counts its starts anew, can write", () => {
  const before = cluster();
  before.apply({ type: "zone.create", name: "by a later session" }, { session: 9 });
  const log = new RegistryLog(recovered(before.state, recovery()));
  const created = log.apply({ type: "zone.create", name: "new" }, { origin: "peer-1", session: 2 });
  expect(created.result).toMatchObject({ ok: true });
});

test("another host takes a node's place: the old peer never comes back, what was registered is the new host's", () => {
  const copy = cluster().state;
  const state = recovered(copy, recovery({ member: makeMember(7), uid: 2 }));
  expect(state.members.get("peer-7")).toMatchObject({
    uid: 2,
    status: "active",
    failedAt: null,
    addedAt: 5000,
  });
  expect(state.members.get("peer-7")?.tookOverAt).toBe(5000);
  expect(state.members.get("peer-1")?.failedAt).toBe(5000);
  expect(state.tombstones.get("peer-2")).toBe(state.index);
  expect(state.nodes.get("uuid-7")).toEqual({
    ...copy.nodes.get("uuid-2"),
    uuid: "uuid-7",
    hostname: "tnt7.public.i",
    name: "tnt7",
  });
  expect(state.nodes.has("uuid-2")).toBe(false);
});

test.each<[string, Partial<Recovery>, number]>([
  ["its peer is known", { member: makeMember(2) }, 2],
  ["its peer is known and named", { member: makeMember(2), uid: 2 }, 2],
  ["its uuid is known", { member: makeMember(8, { uuid: "uuid-3" }) }, 3],
  ["its name is known", { member: makeMember(8, { name: "tnt3.public.i" }) }, 3],
  ["nothing of it is known", { member: makeMember(8) }, 1],
  ["it says which", { member: makeMember(8), uid: 4 }, 4],
])("which node the host is when %s", (_when, how, uid) => {
  const state = recovered(cluster().state, recovery(how));
  expect(state.members.get(recovery(how).member.peer)?.uid).toBe(uid);
  expect(breaches(state)).toEqual([]);
});

describe("refused", () => {
  const at = (rule: string): object => ({
    kind: "config_error",
    facts: { field: "node.identity.uid", rule },
  });

  test.each<[string, Partial<Recovery>, object]>([
    ["a node that the copy does not have", { member: makeMember(8), uid: 77 }, at("the copy has no node 77")],
    [
      "another node than it is",
      { member: makeMember(2), uid: 1 },
      at("this host is the node 2 of the cluster already"),
    ],
    [
      "a node while it has another one's name",
      { member: makeMember(8, { name: "tnt3.public.i" }), uid: 1 },
      at("this host has the name or the uuid of the node 3 (tnt3.public.i)"),
    ],
    [
      "a peer that was removed",
      { member: makeMember(9) },
      { kind: "member_removed", facts: { peer: "peer-9" } },
    ],
    [
      "a setting that all share",
      { member: makeMember(1, { use_internal_ipv6: true }) },
      {
        kind: "node_config_mismatch",
        facts: { setting: "use_internal_ipv6", expected: "false", actual: "true" },
      },
    ],
  ])("%s", (_what, how, refusal) => {
    expect(refusalOf(cluster().state, recovery(how))).toEqual(refusal);
  });

  test("another rack than the node's, unless that is wanted", () => {
    const copy = cluster().state;
    const moved = recovery({ member: makeMember(8, { rack_id: "B" }), uid: 1 });
    expect(refusalOf(copy, moved)).toMatchObject({
      kind: "config_error",
      facts: { field: "node.identity.rack_id" },
    });
    expect(recovered(copy, { ...moved, overrideRackId: true }).members.get("peer-8")?.rack_id).toBe("B");
    const kept = recovered(copy, recovery({ member: makeMember(8, { rack_id: "A" }), uid: 1 }));
    expect(kept.members.get("peer-8")?.rack_id).toBe("a");
  });

  test("a copy without a cluster", () => {
    expect(refusalOf(emptyState(), recovery())).toMatchObject({ kind: "config_error" });
  });
});

test("the copy is not changed, not even by what happens afterwards", () => {
  const copy = cluster().state;
  const before = encodeState(copy);
  const log = new RegistryLog(recovered(copy, recovery({ member: makeMember(7), uid: 2 })));
  log.apply({ type: "zone.create", name: "three" }, { origin: "peer-2", seq: 8, ack: 8, key: "k2" });
  expect(encodeState(copy)).toBe(before);
  expect(decodeState(before)).toEqual(copy);
});

test.each([1, 2])(
  "as node %i the state is whole: versions, marks and hash are those of its records",
  (uid) => {
    const state = recovered(cluster().state, recovery({ member: makeMember(7), uid }));
    expect(breaches(state)).toEqual([]);
    const read = decodeState(encodeState(state));
    expect(read).toEqual(state);
    expect(stateHash(read)).toBe(stateHash(state));
    const changed = [...state.versions].filter(([, version]) => version === state.index).map(([key]) => key);
    expect(changed.toSorted()).toEqual(
      [
        "cluster/",
        uid === 1 ? "members/peer-2" : "members/peer-1",
        "members/peer-5",
        "members/peer-7",
        "nodes/uuid-7",
      ].toSorted(),
    );
    const { index } = state;
    expect(state.topicVersions).toMatchObject({
      cluster: index,
      members: index,
      nodes: index,
      tokens: index,
    });
    expect(state.topicVersions.zones).toBeLessThan(index);
  },
);

test("the log's time does not go back, and a leap ends no idempotency key", () => {
  const copy = cluster().state;
  expect(recovered(copy, recovery({ at: epochMs(1) })).at).toBe(copy.at);
  const late = recovered(copy, recovery({ at: epochMs(copy.at + 10 * LOG_LEAP_MS_MAX) }));
  expect([late.at, late.elapsedMs]).toEqual([
    copy.at + 10 * LOG_LEAP_MS_MAX,
    copy.elapsedMs + LOG_LEAP_MS_MAX,
  ]);
});

test("the same copy and host always give the same state", () => {
  const copy = cluster().state;
  const other = decodeState(encodeState({ ...copy, members: new Map([...copy.members].toReversed()) }));
  expect(encodeState(recovered(other, recovery()))).toBe(encodeState(recovered(copy, recovery())));
});

test("life goes on: a failed member is replaced, ids that were lost are not given again", () => {
  const copy = cluster().state;
  const log = new RegistryLog(recovered(copy, recovery()));
  const origin = { origin: "peer-1", session: 2, at: 6000 };
  const replaced = log.apply({ type: "member.add", member: makeMember(12), want_uid: 2 }, origin);
  expect(replaced.result).toEqual({ ok: true, value: { uid: 2 } });
  const created = log.apply({ type: "zone.create", name: "new" }, origin);
  expect(created.result).toEqual({ ok: true, value: { id: copy.nextZoneId + RECOVERY_ID_GAP } });
});

test("a caller's repetition still takes effect once", () => {
  const { state } = cluster();
  const log = new RegistryLog(recovered(state, recovery()));
  const again = log.apply({ type: "zone.create", name: "two" }, { origin: "peer-1", session: 2, key: "k" });
  expect(again).toMatchObject({ repeated: true, result: { ok: true, value: { id: 2 } } });
});
