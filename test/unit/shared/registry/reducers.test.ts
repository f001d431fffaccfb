import { describe, expect, test } from "vitest";

import {
  MEMBERS_MAX,
  NODES_MAX,
  NODE_CFG_BYTES_MAX,
  REFUSAL_NAMES_MAX,
  ZONES_MAX,
} from "#shared/lib/limits.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { Command } from "#shared/registry/command.ts";
import { breaches } from "#shared/registry/invariants.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import { POLICY_DEFAULT, SETTINGS_DEFAULT } from "#shared/registry/state.ts";
import { kindOf, makeCluster, makeMember, RegistryLog, VERIFIER } from "#test/support/registry-log.ts";

const register = (uuid: string, zone_id = 1, more: object = {}): Command => ({
  type: "node.register",
  uuid,
  zone_id,
  uri: `${uuid}:3301`,
  cfg: {},
  ...more,
});

/** Three members, three zones, weights between all, and uuid-1 registered in zone 1. */
function prepared(): RegistryLog {
  const log = new RegistryLog();
  log.must(makeCluster());
  for (const n of [2, 3]) log.must({ type: "member.add", member: makeMember(n) });
  for (const name of ["one", "two", "three"]) log.must({ type: "zone.create", name });
  log.must({
    type: "zones.set_weights",
    weights: { 1: { 2: 10, 3: 11 }, 2: { 1: 10, 3: 12 }, 3: { 1: 11, 2: 12 } },
  });
  log.must({
    ...register("uuid-1"),
    user: "user1:pass1",
    repl_user: "repl1:pass1",
    cfg: { listen: 1, memory: 2 },
  } as Command);
  return log;
}

interface Refused {
  readonly when: string;
  readonly before?: readonly Command[];
  readonly command: Command;
  readonly refusal: object;
}

const REFUSED: readonly Refused[] = [
  {
    when: "a second cluster is created",
    command: makeCluster(makeMember(9)),
    refusal: { kind: "cluster_exists", facts: {} },
  },
  {
    when: "a removed host joins again",
    before: [{ type: "member.remove", peer: "peer-3" }],
    command: { type: "member.add", member: makeMember(3) },
    refusal: { kind: "member_removed", facts: { peer: "peer-3" } },
  },
  {
    when: "another host has the name",
    command: { type: "member.add", member: makeMember(9, { name: "tnt2.public.i" }) },
    refusal: { kind: "member_name_exists", facts: { name: "tnt2.public.i" } },
  },
  {
    when: "one host has the name and another the uuid: the older is named",
    command: { type: "member.add", member: makeMember(9, { name: "tnt3.public.i", uuid: "uuid-2" }) },
    refusal: { kind: "member_name_exists", facts: { name: "tnt2.public.i" } },
  },
  {
    when: "another host has the uuid: a copied disk",
    command: { type: "member.add", member: makeMember(9, { uuid: "uuid-2" }) },
    refusal: { kind: "member_name_exists", facts: { name: "tnt2.public.i" } },
  },
  {
    when: "a member takes another's name on joining again",
    command: { type: "member.add", member: makeMember(3, { name: "tnt2.public.i" }) },
    refusal: { kind: "member_name_exists", facts: { name: "tnt2.public.i" } },
  },
  ...(["member.activate", "member.update", "member.remove"] as const).flatMap((type): Refused[] => [
    {
      when: `${type} names a stranger`,
      command: { type, peer: "peer-9" },
      refusal: { kind: "member_not_found", facts: { peer: "peer-9" } },
    },
    {
      when: `${type} names a removed host`,
      before: [{ type: "member.remove", peer: "peer-3" }],
      command: { type, peer: "peer-3" },
      refusal: { kind: "member_removed", facts: { peer: "peer-3" } },
    },
  ]),
  {
    when: "the last member is removed",
    before: [
      { type: "member.remove", peer: "peer-3" },
      { type: "member.remove", peer: "peer-1" },
    ],
    command: { type: "member.remove", peer: "peer-2" },
    refusal: {
      kind: "bad_request",
      facts: { field: "peer", rule: "the last member of a cluster cannot be removed" },
    },
  },
  {
    when: "the zone's name is taken",
    command: { type: "zone.create", name: "two" },
    refusal: { kind: "zone_exists", facts: { name: "two" } },
  },
  {
    when: "the new name is another zone's",
    command: { type: "zone.rename", id: 1, name: "two" },
    refusal: { kind: "zone_exists", facts: { name: "two" } },
  },
  {
    when: "a missing zone is renamed, even to a taken name",
    command: { type: "zone.rename", id: 4, name: "two" },
    refusal: { kind: "zone_not_found", facts: { zone: "4" } },
  },
  {
    when: "a missing zone is deleted",
    command: { type: "zone.delete", id: 0 },
    refusal: { kind: "zone_not_found", facts: { zone: "0" } },
  },
  {
    when: "the zone stores nodes",
    before: [register("uuid-3"), register("uuid-2")],
    command: { type: "zone.delete", id: 1 },
    refusal: { kind: "zone_in_use", facts: { zone: "1", nodes: ["uuid-1", "uuid-2", "uuid-3"] } },
  },
  {
    when: "weights start at missing zones",
    command: { type: "zones.set_weights", weights: { 7: { 1: 1 }, 5: {} } },
    refusal: { kind: "zones_weights_error", facts: { reason: 'these zones do not exist: "5", "7"' } },
  },
  {
    when: "weights lead to a missing zone",
    command: { type: "zones.set_weights", weights: { 1: { 4: 1 } } },
    refusal: { kind: "zones_weights_error", facts: { reason: 'these zones do not exist: "4"' } },
  },
  {
    when: "a zone is written another way, so that it could stand there twice",
    command: { type: "zones.set_weights", weights: { "01": { 2: 1 }, 1: { "2.0": 1 } } },
    refusal: { kind: "zones_weights_error", facts: { reason: 'these zones do not exist: "01", "2.0"' } },
  },
  {
    when: "a name of Object.prototype stands for a zone",
    command: { type: "zones.set_weights", weights: JSON.parse('{"__proto__":{"1":1},"constructor":{}}') },
    refusal: {
      kind: "zones_weights_error",
      facts: { reason: 'these zones do not exist: "__proto__", "constructor"' },
    },
  },
  {
    when: "a zone is away from itself",
    command: { type: "zones.set_weights", weights: { 1: { 1: 0 }, 3: { 3: 2 }, 2: { 2: 1 } } },
    refusal: {
      kind: "zones_weights_error",
      facts: { reason: 'the weight of a zone to itself must be absent or 0: "2", "3"' },
    },
  },
  {
    when: "the node is nobody's, whatever its zone",
    command: register("uuid-9", 9),
    refusal: { kind: "node_not_discovered", facts: { node: "uuid-9" } },
  },
  {
    when: "the node's host was removed",
    before: [{ type: "member.remove", peer: "peer-3" }],
    command: register("uuid-3"),
    refusal: { kind: "node_not_discovered", facts: { node: "uuid-3" } },
  },
  {
    when: "the node is registered, whatever its zone",
    command: register("uuid-1", 9),
    refusal: { kind: "node_already_registered", facts: { node: "uuid-1" } },
  },
  {
    when: "the node's zone is missing",
    command: register("uuid-2", 9),
    refusal: { kind: "zone_not_found", facts: { zone: "9" } },
  },
  {
    when: "the node's cfg is too large",
    command: register("uuid-2", 1, { cfg: { a: "x".repeat(NODE_CFG_BYTES_MAX) } }),
    refusal: { kind: "too_large", facts: { what: "cfg", limit_bytes: NODE_CFG_BYTES_MAX } },
  },
  {
    when: "the node's cfg is too large in bytes, not in characters",
    command: register("uuid-2", 1, { cfg: { a: "ü".repeat(NODE_CFG_BYTES_MAX / 2) } }),
    refusal: { kind: "too_large", facts: { what: "cfg", limit_bytes: NODE_CFG_BYTES_MAX } },
  },
  {
    when: "an unregistered node is updated",
    command: { type: "node.update", uuid: "uuid-2", zone_id: 9 },
    refusal: { kind: "node_not_registered", facts: { node: "uuid-2" } },
  },
  {
    when: "a node moves to a missing zone",
    command: { type: "node.update", uuid: "uuid-1", zone_id: 9 },
    refusal: { kind: "zone_not_found", facts: { zone: "9" } },
  },
  {
    when: "the new cfg is too large",
    command: { type: "node.update", uuid: "uuid-1", cfg: { a: "x".repeat(NODE_CFG_BYTES_MAX) } },
    refusal: { kind: "too_large", facts: { what: "cfg", limit_bytes: NODE_CFG_BYTES_MAX } },
  },
  {
    when: "an unregistered node is unregistered",
    command: { type: "node.unregister", uuid: "uuid-2" },
    refusal: { kind: "node_not_registered", facts: { node: "uuid-2" } },
  },
];

test.each(REFUSED)("$command.type is refused when $when", ({ before = [], command, refusal }) => {
  const log = prepared();
  for (const earlier of before) log.must(earlier);
  const facts = factsOf(log);
  const { result, changes } = log.apply(command);
  expect(result).toEqual({ ok: false, refusal });
  expect(changes).toEqual([]);
  expect(factsOf(log)).toBe(facts);
});

/** The whole state but for what every entry moves. */
function factsOf({ state }: RegistryLog): string {
  const fingerprint = { ...state.fingerprint, chain: "" };
  return encodeState({ ...state, index: 0, at: epochMs(0), elapsedMs: 0, sessions: new Map(), fingerprint });
}

describe("limits", () => {
  test("zones", () => {
    const log = new RegistryLog();
    for (let id = 1; id <= ZONES_MAX; id += 1) log.state.zones.set(id, { id, name: `z${id}` });
    const { result } = log.apply({ type: "zone.create", name: "one more" });
    expect(result).toMatchObject({ refusal: { kind: "limit_reached", facts: { limit: ZONES_MAX } } });
  });

  test("members; one that is there may still join again", () => {
    const log = prepared();
    for (let n = 4; n <= MEMBERS_MAX; n += 1) log.must({ type: "member.add", member: makeMember(n) });
    const { result } = log.apply({ type: "member.add", member: makeMember(MEMBERS_MAX + 1) });
    expect(result).toMatchObject({ refusal: { kind: "limit_reached", facts: { limit: MEMBERS_MAX } } });
    expect(log.must({ type: "member.add", member: makeMember(3) })).toEqual({ uid: 3 });
  });

  test("nodes", () => {
    const log = prepared();
    const node = log.state.nodes.get("uuid-1");
    if (node === undefined) throw new Error("prepared state has no node");
    for (let n = 1; n < NODES_MAX; n += 1) log.state.nodes.set(`n-${n}`, { ...node, uuid: `n-${n}` });
    const { result } = log.apply(register("uuid-2"));
    expect(result).toMatchObject({ refusal: { kind: "limit_reached", facts: { limit: NODES_MAX } } });
  });

  test("a refusal names only so many nodes, for it is kept", () => {
    const log = prepared();
    const node = log.state.nodes.get("uuid-1");
    if (node === undefined) throw new Error("prepared state has no node");
    for (let n = 1; n < 100; n += 1) log.state.nodes.set(`n-${n}`, { ...node, uuid: `n-${n}` });
    const { result } = log.apply({ type: "zone.delete", id: 1 });
    expect(
      result?.ok === false && result.refusal.kind === "zone_in_use" && result.refusal.facts.nodes,
    ).toHaveLength(REFUSAL_NAMES_MAX);
  });

  test("cfg of exactly the largest size is taken", () => {
    const log = prepared();
    const cfg = { a: "x".repeat(NODE_CFG_BYTES_MAX - '{"a":""}'.length) };
    expect(log.must(register("uuid-2", 1, { cfg }))).toEqual({});
  });
});

describe("cluster.create", () => {
  test("is refused once there are members", () => {
    const log = new RegistryLog();
    log.must({ type: "member.add", member: makeMember(1) });
    expect(log.apply(makeCluster(makeMember(2))).result).toMatchObject({
      refusal: { kind: "cluster_exists" },
    });
  });

  test("is refused when it is to know racks and its first member has none", () => {
    const applied = new RegistryLog().apply({ ...makeCluster(), rack_aware: true });
    expect(kindOf(applied)).toBe("rack_id_required");
    const cluster = { ...makeCluster(makeMember(1, { rack_id: "a" })), rack_aware: true };
    expect(new RegistryLog().apply(cluster).result).toMatchObject({ ok: true });
  });

  test("makes the cluster, its first member and the administrator, both with uid 1", () => {
    const log = new RegistryLog();
    const applied = log.apply(makeCluster(), { at: 77 });
    expect(applied.result).toEqual({ ok: true, value: { uid: 1 } });
    expect(applied.changes).toEqual([
      { index: 1, at: 77, topic: "cluster", op: "set", id: "" },
      { index: 1, at: 77, topic: "members", op: "set", id: "peer-1" },
      { index: 1, at: 77, topic: "users", op: "set", id: "admin@example.com" },
    ]);
    expect(log.state.cluster).toEqual({
      id: "cluster-1",
      name: "test",
      rackAware: false,
      createdAt: 77,
      settings: SETTINGS_DEFAULT,
      incarnation: 1,
      recoveredAt: null,
      policy: POLICY_DEFAULT,
      license: "",
      dnsSuffixes: [],
      trustedCa: "",
    });
    expect(log.state.members.get("peer-1")).toEqual({
      ...makeMember(1),
      uid: 1,
      status: "active",
      addedAt: 77,
      failedAt: null,
    });
    expect(log.state.users.get("admin@example.com")).toEqual({
      uid: 1,
      name: "admin@example.com",
      role: "admin",
      verifier: VERIFIER,
      createdAt: 77,
      passwordAt: 77,
      displayName: "Administrator",
      emailAlerts: false,
    });
  });
});

describe("failed members", () => {
  test("carry since when, once, until they are seen again", () => {
    const log = prepared();
    log.must({ type: "member.activate", peer: "peer-2" });
    const since = (): unknown => log.state.members.get("peer-2")?.failedAt;
    const fail = (failed: boolean, at: number) =>
      log.apply({ type: "member.set_failed", peer: "peer-2", failed }, { at });
    expect(fail(true, 500).changes).toHaveLength(1);
    expect(fail(true, 600).changes).toHaveLength(0);
    expect(since()).toBe(500);
    expect(fail(false, 700).changes).toHaveLength(1);
    expect(since()).toBeNull();
  });

  test("are members that took part: a join that broke off, a stranger and a removed member are not", () => {
    const log = prepared();
    const fail = (peer: string) => log.apply({ type: "member.set_failed", peer, failed: true });
    expect(fail("peer-3")).toMatchObject({ result: { ok: true }, changes: [] });
    expect(kindOf(fail("peer-9"))).toBe("member_not_found");
    log.must({ type: "member.remove", peer: "peer-3" });
    expect(kindOf(fail("peer-3"))).toBe("member_removed");
  });

  test("are members like any other once they have joined anew", () => {
    const log = prepared();
    log.must({ type: "member.activate", peer: "peer-2" });
    log.must({ type: "member.set_failed", peer: "peer-2", failed: true });
    log.must({ type: "member.add", member: makeMember(2) });
    expect(log.state.members.get("peer-2")?.failedAt).toBeNull();
  });
});

describe("settings", () => {
  test("are changed one by one", () => {
    const log = prepared();
    log.must({ type: "cluster.configure", candidate_pool_size: 3 });
    log.must({ type: "cluster.configure", failed_after_ms: 5000 });
    expect(log.state.cluster?.settings).toEqual({
      candidatePoolSize: 3,
      failedAfterMs: 5000,
      repairPolicy: "replace",
    });
  });

  test("do not change when they are set to what they are", () => {
    const log = prepared();
    expect(log.apply({ type: "cluster.configure", candidate_pool_size: 10 })).toMatchObject({
      result: { ok: true },
      changes: [],
    });
  });

  test("are those of a cluster", () => {
    expect(kindOf(new RegistryLog().apply({ type: "cluster.configure" }))).toBe("not_in_cluster");
  });
});

describe("members", () => {
  test("get the next uid and start as joining", () => {
    const log = prepared();
    const applied = log.apply({ type: "member.add", member: makeMember(4) }, { at: 900 });
    expect(applied.result).toEqual({ ok: true, value: { uid: 4 } });
    expect(applied.changes).toEqual([{ index: 9, at: 900, topic: "members", op: "set", id: "peer-4" }]);
    expect(log.state.members.get("peer-4")).toEqual({
      ...makeMember(4),
      uid: 4,
      status: "joining",
      addedAt: 900,
      failedAt: null,
    });
  });

  test("that join again keep uid and age, renew the record and are joining once more", () => {
    const log = prepared();
    log.must({ type: "member.activate", peer: "peer-2" });
    const { addedAt } = log.state.members.get("peer-2") ?? {};
    const renewed = makeMember(2, { name: "renamed", addr: "10.9.9.9" });
    expect(log.must({ type: "member.add", member: renewed })).toEqual({ uid: 2 });
    expect(log.state.members.get("peer-2")).toEqual({
      ...renewed,
      uid: 2,
      status: "joining",
      addedAt,
      failedAt: null,
      tookOverAt: 10,
    });
  });

  test("activate once; a second time changes nothing", () => {
    const log = prepared();
    expect(log.apply({ type: "member.activate", peer: "peer-2" }).changes).toHaveLength(1);
    expect(log.state.members.get("peer-2")?.status).toBe("active");
    expect(log.apply({ type: "member.activate", peer: "peer-2" }).changes).toEqual([]);
  });

  test("update only what they pass", () => {
    const log = prepared();
    log.must({ type: "member.update", peer: "peer-2", api_urls: ["https://new:9443"] });
    expect(log.state.members.get("peer-2")).toMatchObject({
      ...makeMember(2),
      uid: 2,
      api_urls: ["https://new:9443"],
    });
    log.must({ type: "member.update", peer: "peer-2", mesh_addrs: [], software_version: "9" });
    expect(log.state.members.get("peer-2")).toMatchObject({
      api_urls: ["https://new:9443"],
      mesh_addrs: [],
      software_version: "9",
    });
    log.must({ type: "member.update", peer: "peer-2", socket_directory: "/run/a" });
    log.must({ type: "member.update", peer: "peer-2", software_version: "10" });
    expect(log.state.members.get("peer-2")).toMatchObject({ socket_directory: "/run/a", mesh_addrs: [] });
    log.must({ type: "member.update", peer: "peer-2", socket_directory: "" });
    expect(log.state.members.get("peer-2")).not.toHaveProperty("socket_directory");
  });

  test("leave a tombstone and a free name, but no free uid; their registered node stays", () => {
    const log = prepared();
    const applied = log.apply({ type: "member.remove", peer: "peer-1" });
    expect(applied.changes).toMatchObject([{ topic: "members", op: "delete", id: "peer-1" }]);
    expect(log.state.tombstones).toEqual(new Map([["peer-1", 9]]));
    expect(log.state.nodes.has("uuid-1")).toBe(true);
    expect(log.must({ type: "member.add", member: makeMember(1, { peer: "peer-new" }) })).toEqual({ uid: 4 });
  });

  test("removed members' uids are not given again even if they were the highest", () => {
    const log = prepared();
    log.must({ type: "member.remove", peer: "peer-3" });
    expect(log.must({ type: "member.add", member: makeMember(8) })).toEqual({ uid: 4 });
  });
});

describe("zones", () => {
  test("ids are dense from 1 and never given twice", () => {
    const log = prepared();
    log.must({ type: "zone.delete", id: 3 });
    log.must({ type: "zone.delete", id: 2 });
    expect(log.must({ type: "zone.create", name: "three" })).toEqual({ id: 4 });
  });

  test("may be renamed, to their own name too, and set their old name free", () => {
    const log = prepared();
    expect(log.apply({ type: "zone.rename", id: 1, name: "one" })).toMatchObject({
      result: { ok: true },
      changes: [],
    });
    expect(log.apply({ type: "zone.rename", id: 1, name: "uno" }).changes).toMatchObject([
      { topic: "zones", op: "set", id: "1" },
    ]);
    expect(log.must({ type: "zone.create", name: "one" })).toEqual({ id: 4 });
  });

  test("when deleted disappear from the weights, as rows and as columns", () => {
    const log = prepared();
    const applied = log.apply({ type: "zone.delete", id: 2 });
    expect(applied.changes).toMatchObject([
      { topic: "zones", op: "delete", id: "2" },
      { topic: "weights", op: "set", id: "" },
    ]);
    expect(log.state.weights).toEqual({ 1: { 3: 11 }, 3: { 1: 11 } });
  });

  test("that stand in no weights leave them alone", () => {
    const log = prepared();
    const { weights } = log.state;
    log.must({ type: "zone.create", name: "four" });
    expect(log.apply({ type: "zone.delete", id: 4 }).changes).toHaveLength(1);
    expect(log.state.weights).toBe(weights);
  });

  test("can be deleted once the last node has left", () => {
    const log = prepared();
    log.must({ type: "node.update", uuid: "uuid-1", zone_id: 2 });
    expect(log.must({ type: "zone.delete", id: 1 })).toEqual({});
  });

  test("weights replace the whole matrix and may be one-sided", () => {
    const log = prepared();
    const weights = { 1: { 1: 0, 2: 0.5 }, 3: {} };
    expect(log.apply({ type: "zones.set_weights", weights }).changes).toMatchObject([
      { topic: "weights", op: "set", id: "" },
    ]);
    expect(log.state.weights).toEqual(weights);
  });
});

describe("nodes", () => {
  test("take hostname and name from their member", () => {
    const log = prepared();
    const cfg = { listen: "0.0.0.0:3301" };
    const applied = log.apply(register("uuid-2", 2, { user: "u:p", cfg }));
    expect(applied).toMatchObject({
      result: { ok: true, value: {} },
      changes: [{ topic: "nodes", op: "set", id: "uuid-2" }],
    });
    expect(log.state.nodes.get("uuid-2")).toEqual({
      uuid: "uuid-2",
      zoneId: 2,
      uri: "uuid-2:3301",
      user: "u:p",
      cfg,
      hostname: "tnt2.public.i",
      name: "tnt2",
    });
  });

  test.each<[string, Partial<Extract<Command, { type: "node.update" }>>, object]>([
    ["nothing", {}, {}],
    ["the zone", { zone_id: 2 }, { zoneId: 2 }],
    ["the uri", { uri: "new:1" }, { uri: "new:1" }],
    ["the user", { user: "a:b" }, { user: "a:b" }],
    ["the replication user", { repl_user: "a:b" }, { replUser: "a:b" }],
    ["cfg, as a whole", { cfg: { listen: 9 } }, { cfg: { listen: 9 } }],
  ])("an update that passes %s replaces just that", (_what, passed, expected) => {
    const log = prepared();
    const before = log.state.nodes.get("uuid-1");
    const kept = structuredClone(before);
    log.must({ type: "node.update", uuid: "uuid-1", ...passed });
    expect(log.state.nodes.get("uuid-1")).toEqual({ ...before, ...expected });
    expect(before, "readers keep the old record").toEqual(kept);
  });

  test("can be registered again after they were unregistered", () => {
    const log = prepared();
    expect(log.apply({ type: "node.unregister", uuid: "uuid-1" }).changes).toMatchObject([
      { topic: "nodes", op: "delete", id: "uuid-1" },
    ]);
    expect(log.must(register("uuid-1", 2))).toEqual({});
  });

  test("keep their cfg in the form that it has after a snapshot, too", () => {
    const log = prepared();
    log.must(register("uuid-2", 1, { cfg: { b: { d: 1, c: 2 }, a: 3 } }));
    expect(JSON.stringify(log.state.nodes.get("uuid-2")?.cfg)).toBe('{"a":3,"b":{"c":2,"d":1}}');
  });

  test("a cfg with names of Object.prototype is data like any other", () => {
    const log = prepared();
    const cfg = JSON.parse('{"__proto__":{"polluted":1},"constructor":2}') as Record<string, unknown>;
    log.must(register("uuid-2", 1, { cfg }));
    expect(JSON.stringify(log.state.nodes.get("uuid-2")?.cfg)).toBe(
      '{"__proto__":{"polluted":1},"constructor":2}',
    );
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });
});

test("no invariant is broken by any of this", () => {
  expect(breaches(prepared().state)).toEqual([]);
});
