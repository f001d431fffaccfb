import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import type { Command } from "#shared/registry/command.ts";
import { emptyState } from "#shared/registry/reduce.ts";
import { stateHash } from "#shared/registry/fingerprint.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { ClusterInfo } from "#shared/registry/state.ts";
import { makeCluster, makeMember, RegistryLog, VERIFIER } from "#test/support/registry-log.ts";

const KEYS = { stored_key: "c3Q=", server_key: "c2s=" };
const TOKEN: Command = {
  type: "token.create",
  id: "t",
  keys: KEYS,
  ttl_ms: 9000,
  created_by: "a",
  note: "n",
};
const SINCE_FORMAT_3: readonly Command[] = [
  { type: "user.create", name: "vera", role: "viewer", verifier: VERIFIER, display_name: "Vera" },
  TOKEN,
  { ...TOKEN, id: "used" },
  { type: "member.add", member: makeMember(5, { memory_bytes: 10, rack_id: null }), token: "used" },
  {
    type: "cluster.configure",
    repair_policy: "open",
    policy: { default_shards_placement: "dense" },
    license: "l",
    dns_suffixes: [{ name: "a.example", slaves: ["10.0.0.1"] }],
    trusted_ca: "pem",
  },
];

/** A state in which every part holds something. */
function full(more = SINCE_FORMAT_3): RegistryLog {
  const log = new RegistryLog();
  log.must(makeCluster());
  for (const n of [2, 3, 4])
    log.must({ type: "member.add", member: makeMember(n, { rack_id: `rack-${n}` }) });
  log.must({ type: "member.remove", peer: "peer-4" });
  for (const command of more) log.must(command);
  for (const name of ["one", "two"]) log.must({ type: "zone.create", name });
  log.must({ type: "zones.set_weights", weights: { 1: { 2: 10 } } });
  log.must({
    type: "node.register",
    uuid: "uuid-1",
    zone_id: 1,
    uri: "u:1",
    user: "a:b",
    repl_user: "c:d",
    cfg: {},
  });
  log.must({
    type: "node.register",
    uuid: "uuid-2",
    zone_id: 1,
    uri: "u:2",
    cfg: { b: [1, null], a: { c: -0 } },
  });
  log.apply(
    { type: "zone.create", name: "two" },
    { origin: "peer-2", seq: 1, ack: 1, key: "k2", by: "alice" },
  );
  log.apply(
    { type: "zone.create", name: "three" },
    { origin: "peer-2", seq: 2, ack: 1, key: "k1", by: "alice" },
  );
  return log;
}

test("a state survives encoding and decoding", () => {
  for (const state of [emptyState(), full().state]) expect(decodeState(encodeState(state))).toEqual(state);
});

test("what was encoded before is encoded anew once it has changed", () => {
  const log = full();
  const changes: readonly Command[] = [
    { type: "member.activate", peer: "peer-2" },
    { type: "member.update", peer: "peer-2", software_version: "9.9.9", api_urls: ["https://10.0.0.9:1"] },
    { type: "zone.rename", id: 1, name: "uno" },
    { type: "zones.set_weights", weights: { 1: { 2: 7 } } },
    { type: "node.update", uuid: "uuid-1", cfg: { a: 1 } },
    { type: "node.update", uuid: "uuid-1", zone_id: 2 },
    { type: "node.unregister", uuid: "uuid-2" },
    { type: "member.remove", peer: "peer-3" },
    { type: "member.configure", peer: "peer-2", max_listeners: 7 },
    { type: "user.update", name: "vera", email_alerts: true },
    { type: "token.revoke", id: "t" },
    { type: "cluster.configure", license: "" },
  ];
  for (const change of changes) {
    encodeState(log.state);
    log.must(change);
    expect(decodeState(encodeState(log.state))).toEqual(log.state);
  }
});

test("equal states encode equally, however they came about", () => {
  const { state } = full();
  const reversed = {
    ...state,
    members: new Map([...state.members].toReversed()),
    zones: new Map([...state.zones].toReversed()),
    nodes: new Map([...state.nodes].toReversed()),
    sessions: new Map(
      [...state.sessions]
        .toReversed()
        .map(([peer, s]) => [peer, { ...s, results: new Map([...s.results].toReversed()) }]),
    ),
  };
  expect(encodeState(reversed)).toBe(encodeState(state));
});

test("keys keep their order, for the oldest is forgotten first", () => {
  expect([...decodeState(encodeState(full().state)).keys.keys()]).toEqual([
    '["alice","k2"]',
    '["alice","k1"]',
  ]);
});

test("the text is the format that later versions must be able to read", () => {
  const log = new RegistryLog();
  log.must({ type: "zone.create", name: "a" });
  expect(encodeState(log.state)).toBe(
    `{"at":1,"chain":"${log.state.fingerprint.chain}","cluster":null,"elapsedMs":1,"format":3,"hash":"${stateHash(log.state)}",` +
      '"index":1,"keys":[],"members":[],"nextUid":1,"nextUserUid":1,"nextZoneId":2,' +
      '"nodes":[],"sessions":[{"ack":1,"peer":"peer-1","results":[{"index":1,"result":{"ok":true,"value":{"id":1}},"seq":1}],' +
      '"session":1}],"term":1,"tokens":[],"tombstones":[],"topicVersions":{"cluster":0,"members":0,"nodes":0,"tokens":0,"users":0,"weights":0,' +
      '"zones":1},"users":[],"versions":[["zones/1",1]],"weights":{},"zones":[{"id":1,"name":"a"}]}',
  );
});

test("a text of format 2 gives the state that its entries give today, but for the hash of before", () => {
  const read = decodeState(readFileSync(new URL("format-2.json", import.meta.url), "utf8"));
  const log = new RegistryLog();
  log.must(makeCluster(makeMember(1, { rack_id: "b" })));
  log.must({ type: "member.add", member: makeMember(2, { rack_id: "B", use_internal_ipv6: false }) });
  log.must({ type: "member.activate", peer: "peer-2" });
  log.must({ type: "member.add", member: makeMember(3) });
  log.must({ type: "member.add", member: makeMember(4) });
  log.must({ type: "member.remove", peer: "peer-4" });
  log.must({ type: "member.set_failed", peer: "peer-2", failed: true });
  log.must({ type: "cluster.configure", failed_after_ms: 5000 });
  for (const name of ["one", "two"]) log.must({ type: "zone.create", name });
  log.must({ type: "zones.set_weights", weights: { 1: { 2: 10 } } });
  log.must({
    type: "node.register",
    uuid: "uuid-1",
    zone_id: 1,
    uri: "u:1",
    user: "a:b",
    cfg: { a: [1, null] },
  });
  log.apply(
    { type: "zone.create", name: "two" },
    { origin: "peer-2", seq: 1, ack: 1, key: "k2", by: "alice" },
  );
  expect(read).toEqual(log.state);
  expect(encodeState(read)).toBe(encodeState(log.state));
  expect(read.members.get("peer-2")?.rack_id, "racks are spelt in one way").toBe("b");
});

test("format 1 is read: nobody has failed, settings are the first ones, every record changed at the snapshot", () => {
  const { state } = full([]);
  const { versions, topicVersions, chain, hash, elapsedMs, ...now } = JSON.parse(
    encodeState(state),
  ) as Record<string, never>;
  const { id, name, rackAware, createdAt } = now["cluster"] as unknown as ClusterInfo;
  const cluster = { id, name, rackAware, createdAt };
  const members = (now["members"] as unknown as { failedAt?: null }[]).map((member) => {
    delete member.failedAt;
    return member;
  });
  const keys = (now["keys"] as unknown as object[]).map((key) => ({ ...key, at: 7, elapsedMs: undefined }));
  const read = decodeState(JSON.stringify({ ...now, format: 1, cluster, members, keys }));
  expect([...read.keys.values()].map((key) => key.elapsedMs)).toEqual([0, 0]);
  const answers = [...read.sessions.values()].flatMap(({ results }) => [...results.values()]);
  expect(new Set(answers.map(({ index }) => index))).toEqual(new Set([state.index]));
  const unknown = {
    versions: null,
    topicVersions: null,
    fingerprint: null,
    elapsedMs: 0,
    keys: null,
    sessions: null,
  };
  expect({ ...read, ...unknown }).toEqual({ ...state, ...unknown });
  const { tokens, ...topics } = read.topicVersions;
  expect(new Set([...read.versions.values(), ...Object.values(topics)])).toEqual(new Set([state.index]));
  expect(tokens).toBe(0);
  expect([...read.versions.keys()].toSorted()).toEqual([...state.versions.keys()].toSorted());
  expect([versions, topicVersions, chain, hash, elapsedMs].every((part) => part !== undefined)).toBe(true);
});

describe("a text that is not understood is refused with a reason", () => {
  const good = JSON.parse(encodeState(full().state)) as Record<string, never>;
  const [member] = good["members"] as unknown as [object];
  const [node] = good["nodes"] as unknown as [object];
  const [user] = good["users"] as unknown as [object];
  const [token] = good["tokens"] as unknown as [object];
  const OTHER = { peer: "p", uuid: "u", name: "n", uid: 2 };
  const OTHER_STILL = { peer: "q", uuid: "v", name: "o", uid: 3 };

  test.each<[string, unknown, string]>([
    ["no JSON", undefined, "it is no JSON"],
    ["no object", [], "damaged"],
    ["a later format", { ...good, format: 4 }, "has format 4, this version reads 3; upgrade this agent"],
    ["an empty text of format 2", { format: 2 }, "not what format 2 prescribes"],
    ["an empty text of format 1", { format: 1 }, "not what format 1 prescribes"],
    [
      "a text of format 2 with a wrong type",
      { ...good, format: 2, nextUid: "2" },
      "/nextUid must be integer",
    ],
    ["no format", { ...good, format: undefined }, "must have required properties format"],
    ["a missing part", { ...good, zones: undefined }, "must have required properties zones"],
    ["a wrong type", { ...good, nextUid: "2" }, "/nextUid must be integer"],
    ["a member twice", { ...good, members: [member, member] }, "two members have the same key"],
    [
      "two members of one name",
      { ...good, members: [member, { ...member, peer: "p", uid: 2 }] },
      "are equal",
    ],
    [
      "a record that was changed",
      {
        ...good,
        zones: [
          { id: 1, name: "one" },
          { id: 2, name: "owt" },
        ],
      },
      "does not give its hash",
    ],
    ["an answer that was changed", { ...good, chain: "0123456789abcdef" }, "does not give its hash"],
    ["a zone from the future", { ...good, nextZoneId: 2 }, "the zone 2 is not below the next one"],
    ["a uid that will be given again", { ...good, nextUid: 5 }, "the uid 5 is not below the next one"],
    ["a uid from the future", { ...good, nextUid: 2 }, "is not below the next one"],
    ["a user from the future", { ...good, nextUserUid: 2 }, "the user 2 is not below the next"],
    ["a node in a missing zone", { ...good, nodes: [{ ...node, zoneId: 9 }] }, "in the missing zone 9"],
    ["weights of a missing zone", { ...good, weights: { 9: {} } }, "the weights name the missing zone 9"],
    [
      "a member that was removed",
      { ...good, tombstones: [{ peer: "peer-2", index: 1 }] },
      "peer-2 is a member and removed",
    ],
    [
      "a rack spelt in two ways",
      {
        ...good,
        members: [member, { ...member, ...OTHER, rack_id: "a" }, { ...member, ...OTHER_STILL, rack_id: "A" }],
      },
      "two racks but for their spelling are equal",
    ],
    [
      "a member without a rack in a rack-aware cluster",
      { ...good, cluster: { ...(good["cluster"] as unknown as object), rackAware: true } },
      "has no rack in a rack-aware cluster",
    ],
    [
      "a failed member that never took part",
      { ...good, members: [{ ...member, status: "joining", failedAt: 1 }] },
      "has failed without ever having taken part",
    ],
    ["a cluster that nobody can administer", { ...good, users: [] }, "there is no administrator"],
    [
      "two users of one uid",
      { ...good, users: [user, { ...user, name: "twin" }] },
      "two uids of users are equal",
    ],
    [
      "a token that nobody used at some time",
      { ...good, tokens: [{ ...token, usedAt: 9 }] },
      "is used and not used",
    ],
    [
      "a token that was used when it had expired",
      { ...good, tokens: [{ ...token, usedBy: "p", usedAt: 90_000 }] },
      "used out of its time",
    ],
    [
      "a token that expires before it is made",
      { ...good, tokens: [{ ...token, expiresAt: 1 }] },
      "out of its time",
    ],
    ["a second token of one id", { ...good, tokens: [token, token] }, "two tokens have the same key"],
    [
      "an answer that should be forgotten",
      {
        ...good,
        sessions: [
          { peer: "p", session: 1, ack: 2, results: [{ seq: 1, index: 1, result: { ok: true, value: {} } }] },
        ],
      },
      "the answer 1 should be forgotten",
    ],
  ])("%s", (_what, value, reason) => {
    const text = value === undefined ? "{" : JSON.stringify(value);
    expect(() => decodeState(text)).toThrow(reason);
  });
});
