import { describe, expect, test } from "vitest";

import { REFUSAL_NAMES_MAX } from "#shared/lib/limits.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { Command, CommandOf, NewMember } from "#shared/registry/command.ts";
import { breaches } from "#shared/registry/invariants.ts";
import { admission } from "#shared/registry/reducers/admission.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { Member } from "#shared/registry/state.ts";
import { kindOf, makeCluster, makeMember, RegistryLog } from "#test/support/registry-log.ts";

const GIB = 2 ** 30;
const KEYS = { stored_key: "c3Q=", server_key: "c2s=" };

const token = (id: string, ttl_ms = 10_000): Command => ({
  type: "token.create",
  id,
  keys: KEYS,
  ttl_ms,
  created_by: "admin",
  note: "",
});

const add = (n: number, more: Partial<NewMember> = {}): CommandOf<"member.add"> => ({
  type: "member.add",
  member: makeMember(n, more),
});

/** Five members that take part, in the racks a, a, b, b and none; uuid-3 is registered. The facts are those of member 3. */
function cluster(facts: Partial<NewMember> = {}): RegistryLog {
  const log = new RegistryLog();
  log.must(makeCluster(makeMember(1, { rack_id: "Rack-a" })));
  for (const [n, rack_id] of [
    [2, "Rack-a"],
    [3, "rack-b"],
    [4, "rack-b"],
    [5, null],
  ] as const) {
    log.must(add(n, { rack_id, ...(n === 3 ? facts : {}) }));
    log.must({ type: "member.activate", peer: `peer-${n}` });
  }
  log.must({ type: "zone.create", name: "one" });
  log.must({ type: "node.register", uuid: "uuid-3", zone_id: 1, uri: "u:3", user: "a:b", cfg: { a: 1 } });
  return log;
}

function fail(log: RegistryLog, ...uids: number[]): RegistryLog {
  for (const uid of uids) log.must({ type: "member.set_failed", peer: `peer-${uid}`, failed: true });
  return log;
}

function memberOf(log: RegistryLog, peer: string): Member {
  const member = log.state.members.get(peer);
  if (member === undefined) throw new Error(`there is no ${peer}`);
  return member;
}

/** What a refused command changes: nothing but what every entry moves. */
function refused(log: RegistryLog, command: Command): object {
  const before = { ...log.state, members: [...log.state.members.values()], tokens: [...log.state.tokens] };
  const { result, changes } = log.apply(command);
  expect(changes).toEqual([]);
  const { nextUid, versions, nodes, tombstones } = log.state;
  expect({ nextUid, versions, nodes, tombstones }).toEqual({
    nextUid: before.nextUid,
    versions: before.versions,
    nodes: before.nodes,
    tombstones: before.tombstones,
  });
  expect([...log.state.members.values()]).toEqual(before.members);
  expect([...log.state.tokens]).toEqual(before.tokens);
  if (result?.ok !== false) throw new Error("it was not refused");
  return result.refusal;
}

const uidRule = (rule: string): object => ({
  kind: "config_error",
  facts: { field: "node.identity.uid", rule },
});

describe("while a member has failed", () => {
  test("a new host is told who can be replaced", () => {
    const log = fail(cluster(), 5, 3);
    expect(refused(log, add(9))).toEqual({
      kind: "repair_required",
      facts: { failed_nodes: [{ uid: 3, rack_id: "rack-b" }, { uid: 5 }], replace_candidate: 3 },
    });
  });

  test.each<[string, Partial<NewMember>, number]>([
    ["the oldest, of those that fit equally", {}, 2],
    ["the oldest, when the rack is nobody's", { rack_id: "rack-c" }, 2],
    ["one of its rack, however that is spelt", { rack_id: "RACK-B" }, 3],
    ["the host of its name, for it can be no other", { rack_id: "rack-b", name: "tnt5.public.i" }, 5],
    ["the very host", { rack_id: "rack-b", name: "tnt5.public.i", uuid: "uuid-4" }, 4],
  ])("the candidate is %s", (_what, facts, candidate) => {
    const log = fail(cluster(), 5, 4, 3, 2);
    const other = decodeState(encodeState(log.state));
    expect(refused(log, add(9, facts))).toMatchObject({ facts: { replace_candidate: candidate } });
    expect(admission(other, add(9, facts), epochMs(0))).toMatchObject({
      refusal: { facts: { replace_candidate: candidate } },
    });
  });

  test("only so many are named, for a refusal is kept", () => {
    const log = cluster();
    const member = memberOf(log, "peer-2");
    for (let uid = 10; uid < 100; uid += 1) {
      log.state.members.set(`p${uid}`, {
        ...member,
        uid,
        peer: `p${uid}`,
        name: `n${uid}`,
        failedAt: epochMs(1),
      });
    }
    const { facts } = refused(log, add(9)) as { facts: { failed_nodes: object[] } };
    expect(facts.failed_nodes).toHaveLength(REFUSAL_NAMES_MAX);
  });

  test("a new host may join when the administrator lets it", () => {
    const log = fail(cluster(), 3);
    log.must({ type: "cluster.configure", repair_policy: "open" });
    expect(log.must(add(9))).toEqual({ uid: 6 });
    log.must({ type: "cluster.configure", repair_policy: "replace" });
    expect(kindOf(log.apply(add(10)))).toBe("repair_required");
  });

  test("the failed member itself may join again, and so may any other: that is no new host", () => {
    const log = fail(cluster(), 3);
    expect(log.must(add(3))).toEqual({ uid: 3 });
    expect(memberOf(log, "peer-3")).toMatchObject({ failedAt: null, status: "joining", rack_id: "rack-b" });
    fail(log, 5);
    expect(log.must(add(4))).toEqual({ uid: 4 });
  });
});

describe("a place is taken", () => {
  test("with uid, rack and what was registered; the old peer never comes back", () => {
    const log = fail(cluster(), 3);
    const applied = log.apply({ ...add(9), want_uid: 3 }, { at: 900 });
    expect(applied.result).toEqual({ ok: true, value: { uid: 3 } });
    expect(applied.changes.map(({ topic, op, id }) => `${topic} ${op} ${id}`)).toEqual([
      "members delete peer-3",
      "nodes delete uuid-3",
      "nodes set uuid-9",
      "members set peer-9",
    ]);
    expect(memberOf(log, "peer-9")).toEqual({
      ...makeMember(9, { rack_id: "rack-b" }),
      uid: 3,
      status: "joining",
      addedAt: 900,
      failedAt: null,
      tookOverAt: 900,
    });
    expect(log.state.nodes).toEqual(
      new Map([
        [
          "uuid-9",
          {
            uuid: "uuid-9",
            zoneId: 1,
            uri: "u:3",
            user: "a:b",
            cfg: { a: 1 },
            hostname: "tnt9.public.i",
            name: "tnt9",
          },
        ],
      ]),
    );
    expect(refused(log, add(3))).toEqual({ kind: "member_removed", facts: { peer: "peer-3" } });
    expect(log.must(add(10)), "the cluster is whole again").toEqual({ uid: 6 });
    expect(breaches(log.state)).toEqual([]);
    expect(decodeState(encodeState(log.state))).toEqual(log.state);
  });

  test("by the same machine under a new key and a new name: its registration stays under its uuid", () => {
    const log = fail(cluster(), 3);
    log.must({ ...add(9, { uuid: "uuid-3" }), want_uid: 3 });
    expect([...log.state.nodes.values()]).toMatchObject([
      { uuid: "uuid-3", hostname: "tnt9.public.i", name: "tnt9", uri: "u:3" },
    ]);
  });

  test("a registration that the new host has already is not overwritten", () => {
    const log = cluster();
    log.must({ type: "node.register", uuid: "uuid-5", zone_id: 1, uri: "u:5", cfg: {} });
    log.must({ type: "member.remove", peer: "peer-5" });
    fail(log, 3).must({ ...add(9, { uuid: "uuid-5" }), want_uid: 3 });
    expect([...log.state.nodes.values()]).toMatchObject([
      { uuid: "uuid-3", uri: "u:3" },
      { uuid: "uuid-5", uri: "u:5" },
    ]);
  });

  test("by a host of the dead one's name", () => {
    const log = fail(cluster(), 3);
    expect(log.must({ ...add(9, { name: "tnt3.public.i" }), want_uid: 3 })).toEqual({ uid: 3 });
  });

  test("and when that join breaks off, it waits for the next", () => {
    const log = fail(cluster(), 3);
    log.must({ ...add(9), want_uid: 3 });
    fail(log, 9);
    expect(kindOf(log.apply(add(10)))).toBe("repair_required");
    expect(log.must({ ...add(10), want_uid: 3 })).toEqual({ uid: 3 });
    expect([...log.state.nodes.keys()]).toEqual(["uuid-10"]);
    expect([...log.state.tombstones.keys()]).toEqual(["peer-3", "peer-9"]);
  });

  test("or the one that took it comes again, asking for its uid or not", () => {
    const log = fail(cluster(), 3);
    log.must({ ...add(9), want_uid: 3 });
    const { addedAt, tookOverAt } = memberOf(log, "peer-9");
    fail(log, 9);
    expect(log.must({ ...add(9), want_uid: 3 })).toEqual({ uid: 3 });
    expect(log.must(add(9))).toEqual({ uid: 3 });
    expect(memberOf(log, "peer-9")).toMatchObject({ addedAt, tookOverAt, failedAt: null, rack_id: "rack-b" });
  });

  test("or it activates late, and has not failed any more", () => {
    const log = fail(cluster(), 3);
    log.must({ ...add(9), want_uid: 3 });
    fail(log, 9).must({ type: "member.activate", peer: "peer-9" });
    expect(memberOf(log, "peer-9")).toMatchObject({ status: "active", failedAt: null });
  });

  test.each<[string, CommandOf<"member.add">, object]>([
    ["of nobody", { ...add(9), want_uid: 77 }, uidRule("the cluster has no node 77")],
    [
      "of one that is alive",
      { ...add(9), want_uid: 4 },
      uidRule("the node 4 (tnt4.public.i) has not failed; only a failed one is replaced"),
    ],
    [
      "of one that joins still",
      { ...add(9), want_uid: 6 },
      uidRule("the node 6 (tnt6.public.i) has not failed; only a failed one is replaced"),
    ],
    [
      "by a host that is a member",
      { ...add(4, { rack_id: "rack-b" }), want_uid: 3 },
      uidRule("this host is the node 4 of the cluster already"),
    ],
    [
      "by a host with a third one's name",
      { ...add(9, { name: "tnt4.public.i" }), want_uid: 3 },
      { kind: "member_name_exists", facts: { name: "tnt4.public.i" } },
    ],
    ["by a removed peer", { ...add(8), want_uid: 3 }, { kind: "member_removed", facts: { peer: "peer-8" } }],
  ])("but not the place %s", (_what, command, refusal) => {
    const log = cluster();
    log.must(add(6));
    log.must(add(8));
    log.must({ type: "member.remove", peer: "peer-8" });
    expect(refused(fail(log, 3), command)).toEqual(refusal);
  });
});

describe("a replacement's size", () => {
  const facts = { memory_bytes: 32 * GIB, flash_bytes: 64 * GIB };

  test.each<[string, Partial<NewMember>, object | null]>([
    ["is equal", facts, null],
    ["is greater", { memory_bytes: 64 * GIB, flash_bytes: 65 * GIB }, null],
    ["lacks a 32nd part", { memory_bytes: 31 * GIB, flash_bytes: 62 * GIB }, null],
    [
      "lacks one byte more of memory",
      { memory_bytes: 31 * GIB - 1, flash_bytes: 62 * GIB },
      { kind: "insufficient_node_memory", facts: { required_memory: 31 * GIB } },
    ],
    [
      "lacks one byte more of flash",
      { memory_bytes: 31 * GIB, flash_bytes: 62 * GIB - 1 },
      { kind: "insufficient_node_flash", facts: { required_flash: 62 * GIB } },
    ],
    [
      "has no flash",
      { memory_bytes: 32 * GIB },
      { kind: "insufficient_node_flash", facts: { required_flash: 62 * GIB } },
    ],
    ["does not tell its memory", { flash_bytes: 64 * GIB }, null],
  ])("%s", (_what, own, refusal) => {
    const log = fail(cluster(facts), 3);
    const command: Command = { ...add(9, own), want_uid: 3 };
    if (refusal === null) expect(log.must(command)).toEqual({ uid: 3 });
    else expect(refused(log, command)).toEqual(refusal);
  });

  test("of a host whose size nobody knows is any", () => {
    const log = fail(cluster(), 3);
    expect(log.must({ ...add(9, { memory_bytes: 1 }), want_uid: 3 })).toEqual({ uid: 3 });
  });

  test("is measured against what the dead host told last", () => {
    const log = cluster(facts);
    log.must({ type: "member.update", peer: "peer-3", memory_bytes: 8 * GIB, flash_bytes: 0 });
    expect(fail(log, 3).must({ ...add(9, { memory_bytes: 8 * GIB }), want_uid: 3 })).toEqual({ uid: 3 });
  });

  test("does not matter to a host that comes back as itself, nor to a new one", () => {
    const log = fail(cluster(facts), 3);
    log.must(add(3, { memory_bytes: 1 }));
    log.must(add(9, { memory_bytes: 1 }));
  });
});

describe("racks", () => {
  const rackOf = (log: RegistryLog, n: number): string | null => memberOf(log, `peer-${n}`).rack_id;

  test("are spelt as their first member spells them", () => {
    const log = cluster();
    log.must(add(9, { rack_id: "RACK-A" }));
    expect(rackOf(log, 9)).toBe("Rack-a");
    log.must({ type: "member.configure", peer: "peer-5", rack_id: "Rack-B" });
    expect(rackOf(log, 5)).toBe("rack-b");
  });

  const RULE = "the node 3 is in the rack rack-b; join in that one, or set node.identity.override_rack_id";

  test.each<[string, CommandOf<"member.add">, string | object]>([
    ["kept by a replacement that names none", { ...add(9), want_uid: 3 }, "rack-b"],
    ["kept by one that names it otherwise", { ...add(9, { rack_id: "RACK-B" }), want_uid: 3 }, "rack-b"],
    [
      "not changed by a replacement",
      { ...add(9, { rack_id: "Rack-a" }), want_uid: 3 },
      { kind: "config_error", facts: { field: "node.identity.rack_id", rule: RULE } },
    ],
    [
      "changed by a replacement that wants to",
      { ...add(9, { rack_id: "RACK-A" }), want_uid: 3, override_rack_id: true },
      "Rack-a",
    ],
    ["kept also then, when none is named", { ...add(9), want_uid: 3, override_rack_id: true }, "rack-b"],
    ["kept by a host that joins again and names none", add(3), "rack-b"],
    [
      "not changed by a host that joins again",
      add(3, { rack_id: "Rack-a" }),
      { kind: "config_error", facts: { field: "node.identity.rack_id", rule: RULE } },
    ],
    [
      "changed by one that joins again and wants to",
      { ...add(3, { rack_id: "c" }), override_rack_id: true },
      "c",
    ],
  ])("are %s", (_what, command, expected) => {
    const log = fail(cluster(), 3);
    if (typeof expected !== "string") return expect(refused(log, command)).toEqual(expected);
    log.must(command);
    return expect(memberOf(log, command.member.peer).rack_id).toBe(expected);
  });

  test("a place without one gets the newcomer's", () => {
    const log = fail(cluster(), 5);
    log.must({ ...add(9, { rack_id: "c" }), want_uid: 5 });
    expect(rackOf(log, 9)).toBe("c");
  });

  test("a rack-aware cluster wants one of everybody, and tells which there are", () => {
    const log = cluster();
    log.must({ type: "member.configure", peer: "peer-5", rack_id: "c" });
    log.must({ type: "cluster.configure", rack_aware: true });
    expect(refused(log, add(9))).toEqual({
      kind: "rack_id_required",
      facts: { current_rack_ids: ["Rack-a", "c", "rack-b"] },
    });
    log.must(add(9, { rack_id: "d" }));
    expect(fail(log, 3).must({ ...add(10), want_uid: 3 }), "the place has one").toEqual({ uid: 3 });
    expect(breaches(log.state)).toEqual([]);
  });

  test("are given once", () => {
    const log = cluster();
    expect(refused(log, { type: "member.configure", peer: "peer-3", rack_id: "c" })).toEqual({
      kind: "member_has_rack",
      facts: { name: "tnt3.public.i", rack_id: "rack-b" },
    });
    log.must({ type: "member.configure", peer: "peer-3", rack_id: "RACK-B" });
    expect(rackOf(log, 3)).toBe("rack-b");
  });
});

describe("what all members share", () => {
  test("use_internal_ipv6 is inherited from the oldest, and a host that wants otherwise is refused", () => {
    const log = new RegistryLog();
    log.must(makeCluster(makeMember(1, { use_internal_ipv6: true })));
    log.must(add(2));
    expect(memberOf(log, "peer-2").use_internal_ipv6).toBe(true);
    expect(refused(log, add(3, { use_internal_ipv6: false }))).toEqual({
      kind: "node_config_mismatch",
      facts: { setting: "use_internal_ipv6", expected: "true", actual: "false" },
    });
    log.must(add(3, { use_internal_ipv6: true }));
  });

  test("the folder of the socket is that of the oldest that tells one", () => {
    const log = cluster();
    log.must(add(6, { socket_directory: "/run/muster" }));
    expect(refused(log, add(9, { socket_directory: "/tmp" }))).toEqual({
      kind: "socket_directory_mismatch",
      facts: { expected: "/run/muster", actual: "/tmp" },
    });
    log.must(add(9));
    log.must(add(10, { socket_directory: "/run/muster" }));
  });
});

describe("join tokens", () => {
  test("are used up by the host that joins, which alone may come again", () => {
    const log = cluster();
    log.must(token("t"));
    const applied = log.apply({ ...add(9), token: "t" }, { at: 500 });
    expect(applied.changes.map(({ topic, id }) => `${topic} ${id}`)).toEqual(["members peer-9", "tokens t"]);
    expect(log.state.tokens.get("t")).toMatchObject({ usedBy: "peer-9", usedAt: 500 });
    expect(refused(log, { ...add(10), token: "t" })).toEqual({ kind: "access_denied", facts: {} });
    const again = log.apply({ ...add(9), token: "t" }, { at: 90_000 });
    expect(again.result).toEqual({ ok: true, value: { uid: 6 } });
    expect(again.changes.map(({ topic, id }) => `${topic} ${id}`)).toEqual(["members peer-9"]);
    expect(log.state.tokens.get("t")).toMatchObject({ usedBy: "peer-9", usedAt: 500 });
  });

  test("are good until they expire, and not a millisecond longer", () => {
    const log = cluster();
    const created = log.apply(token("t", 1000), { at: 5000 });
    expect(created.result).toEqual({ ok: true, value: { expires_at: 6000 } });
    const at = epochMs(5999);
    expect(admission(log.state, { ...add(9), token: "t" }, at)).toMatchObject({ ok: true });
    expect(kindOf(log.apply({ ...add(9), token: "t" }, { at: 6000 }))).toBe("access_denied");
    expect(log.state.tokens.get("t")?.usedBy).toBeNull();
  });

  test("that do not exist, or were revoked, let nobody in", () => {
    const log = cluster();
    log.must(token("t"));
    log.must({ type: "token.revoke", id: "t" });
    for (const id of ["t", "u"]) expect(kindOf(log.apply({ ...add(9), token: id }))).toBe("access_denied");
  });

  test("are not used up by a join that is refused", () => {
    const log = fail(cluster(), 3);
    log.must(token("t"));
    expect(refused(log, { ...add(9), token: "t" })).toMatchObject({ kind: "repair_required" });
    log.must({ ...add(9), want_uid: 3, token: "t" });
    expect(log.state.tokens.get("t")?.usedBy).toBe("peer-9");
  });
});

test("whatever else a host says of itself is not kept", () => {
  const log = cluster();
  const member = { ...makeMember(9), uid: 1, status: "active", failedAt: 7, junk: "x" };
  log.must({ type: "member.add", member });
  log.apply({
    type: "member.configure",
    peer: "peer-9",
    max_listeners: 3,
    uid: 1,
    status: "active",
    junk: 1,
  });
  expect(memberOf(log, "peer-9")).toEqual({
    ...makeMember(9),
    uid: 6,
    status: "joining",
    addedAt: expect.any(Number) as number,
    failedAt: null,
    max_listeners: 3,
  });
});

test("a rehearsal says what the commit would, and changes nothing", () => {
  const log = fail(cluster(), 3);
  const before = encodeState(log.state);
  expect(admission(log.state, { ...add(9), want_uid: 3 }, epochMs(0))).toMatchObject({
    ok: true,
    replaced: { uid: 3 },
    settled: { rack_id: "rack-b" },
  });
  expect(admission(log.state, add(9), epochMs(0))).toMatchObject({ refusal: { kind: "repair_required" } });
  expect(encodeState(log.state)).toBe(before);
});
