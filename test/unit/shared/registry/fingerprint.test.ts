import { describe, expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import { markAll, reviewMarks, stateHash } from "#shared/registry/fingerprint.ts";
import type { ClusterInfo } from "#shared/registry/state.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import { makeCluster, makeMember, RegistryLog } from "#test/support/registry-log.ts";
import { randomCommand } from "#test/sim/registry-commands.ts";

function made(): RegistryLog {
  const log = new RegistryLog();
  log.must(makeCluster());
  for (const n of [2, 3]) log.must({ type: "member.add", member: makeMember(n) });
  for (const name of ["one", "two", "three"]) log.must({ type: "zone.create", name });
  log.must({ type: "zones.set_weights", weights: { 1: { 2: 10 } } });
  log.must({ type: "node.register", uuid: "uuid-1", zone_id: 1, uri: "u:1", cfg: { a: 1 } });
  log.must({ type: "member.remove", peer: "peer-3" });
  const keys = { stored_key: "c3Q=", server_key: "c2s=" };
  log.must({ type: "token.create", id: "t", keys, ttl_ms: 1000, created_by: "a", note: "" });
  return log;
}

function replace<V extends object>(map: Map<string, V>, key: string, more: Partial<V>): void {
  const known = map.get(key);
  if (known !== undefined) map.set(key, { ...known, ...more });
}

describe("the hash of a state", () => {
  test("is the same however the state came about: change by change, or all at once", () => {
    for (const seed of Array.from({ length: 40 }, (_, i) => i + 1)) {
      const prng = new Prng(seed);
      const log = new RegistryLog();
      log.apply(makeCluster());
      for (let i = 0; i < 60; i += 1) log.apply(randomCommand(prng));
      const before = stateHash(log.state);
      const read = decodeState(encodeState(log.state));
      expect(stateHash(read), `seed ${seed}`).toBe(before);
      markAll(log.state);
      expect(stateHash(log.state), `seed ${seed}`).toBe(before);
    }
  });

  test("moves with every entry, also with one that was refused", () => {
    const log = made();
    const seen = new Set([stateHash(log.state)]);
    log.apply({ type: "zone.create", name: "one" });
    seen.add(stateHash(log.state));
    log.append("", "noop");
    seen.add(stateHash(log.state));
    expect(seen.size).toBe(3);
  });

  test("tells apart what differs in one answer only", () => {
    const [a, b] = [made(), made()];
    expect(stateHash(a.state)).toBe(stateHash(b.state));
    a.apply({ type: "zone.delete", id: 9 });
    b.apply({ type: "zone.delete", id: 8 });
    expect(stateHash(a.state)).not.toBe(stateHash(b.state));
  });

  test.each<[string, (log: RegistryLog) => void]>([
    ["a zone's name", ({ state }) => state.zones.set(2, { id: 2, name: "owt" })],
    ["a removal", ({ state }) => state.tombstones.set("peer-3", 4)],
    ["a counter", ({ state }) => (state.nextZoneId += 1)],
    ["a version", ({ state }) => state.versions.set("zones/2", 1)],
    ["the weights", ({ state }) => (state.weights = {})],
    ["a token", ({ state }) => replace(state.tokens, "t", { note: "other" })],
    ["a user's role", ({ state }) => replace(state.users, "admin@example.com", { role: "viewer" })],
    [
      "a setting of the cluster",
      ({ state }) => (state.cluster = { ...(state.cluster as ClusterInfo), license: "x" }),
    ],
    ["a counter of users", ({ state }) => (state.nextUserUid += 1)],
    ["a member that is not there", ({ state }) => state.members.delete("peer-2")],
  ])("tells apart what differs in %s", (_what, change) => {
    const [a, b] = [made(), made()];
    change(b);
    markAll(b.state);
    expect(stateHash(b.state)).not.toBe(stateHash(a.state));
  });
});

describe("a review of the records", () => {
  test("goes round all of them, in pieces", () => {
    const { state } = made();
    let place = 0;
    let pieces = 0;
    do {
      const { next, differs } = reviewMarks(state, place, 2);
      expect(differs).toBeNull();
      place = next;
      pieces += 1;
    } while (place !== 0);
    expect(pieces).toBe(Math.floor(state.fingerprint.marks.size / 2) + 1);
  });

  test.each<[string, string, (log: RegistryLog) => void]>([
    ["a record put in another's place", "zones/2", ({ state }) => state.zones.set(2, { id: 2, name: "owt" })],
    [
      "a record changed in place",
      "nodes/uuid-1",
      ({ state }) => {
        const node = state.nodes.get("uuid-1") as { uri: string };
        node.uri = "u:2";
      },
    ],
    ["a record that went", "members/peer-2", ({ state }) => state.members.delete("peer-2")],
  ])("finds %s", (_what, key, damage) => {
    const log = made();
    damage(log);
    expect(reviewMarks(log.state, 0, 1000).differs).toBe(key);
  });
});
