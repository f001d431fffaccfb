import { describe, expect, test } from "vitest";

import {
  IDEMPOTENCY_KEYS_MAX,
  IDEMPOTENCY_KEY_AGE_MS_MAX,
  JSON_DEPTH_MAX,
  LOG_LEAP_MS_MAX,
  SESSION_WINDOW_MAX,
} from "#shared/lib/limits.ts";
import { applyEntry, emptyState } from "#shared/registry/reduce.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import { versionOf } from "#shared/registry/versions.ts";
import { kindOf, makeMember, RegistryLog } from "#test/support/registry-log.ts";

const zone = (name: string) => ({ type: "zone.create", name });

describe("entries", () => {
  test("noop and config advance index and term and nothing else", () => {
    const state = emptyState();
    const noop = applyEntry(state, { index: 1, term: 4, kind: "noop", data: "" });
    const config = applyEntry(state, { index: 2, term: 5, kind: "config", data: "{}" });
    expect([noop, config]).toMatchObject([
      { envelope: null, result: null, changes: [], halted: null },
      { envelope: null, result: null, changes: [], halted: null },
    ]);
    const fingerprint = { ...emptyState().fingerprint, chain: state.fingerprint.chain };
    expect(encodeState(state)).toBe(encodeState({ ...emptyState(), index: 2, term: 5, fingerprint }));
  });

  test("an entry that is skipped or repeated is a defect of the caller", () => {
    const state = emptyState();
    expect(() => applyEntry(state, { index: 2, term: 1, kind: "noop", data: "" })).toThrow("in order");
    applyEntry(state, { index: 1, term: 1, kind: "noop", data: "" });
    expect(() => applyEntry(state, { index: 1, term: 1, kind: "noop", data: "" })).toThrow("in order");
  });

  test("the log's time follows the envelopes and never goes back", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { at: 500 });
    const second = log.apply(zone("b"), { at: 100 });
    expect(log.state.at).toBe(500);
    expect(second.changes).toEqual([{ index: 2, at: 500, topic: "zones", op: "set", id: "2" }]);
  });

  test("a refusal changes nothing but index, time and the session", () => {
    const log = new RegistryLog();
    log.must({ type: "zone.create", name: "a" });
    const applied = log.apply(zone("a"));
    expect(applied).toMatchObject({ changes: [], repeated: false, effectIndex: 2 });
    expect(applied.result).toEqual({
      ok: false,
      refusal: { kind: "zone_exists", facts: { name: "a" } },
    });
    expect(log.state).toMatchObject({ index: 2, nextZoneId: 2 });
  });
});

describe("what this version does not know", () => {
  test.each<[string, Record<string, unknown>, string]>([
    ["a command", { command: { type: "zone.paint", colour: "red" } }, 'the command "zone.paint"'],
    ["an envelope version", { v: 3, command: zone("a") }, "an envelope of version 3"],
    ["a name from Object.prototype", { command: { type: "constructor" } }, 'the command "constructor"'],
  ])("%s halts and leaves the state alone", (_what, envelope, named) => {
    const log = new RegistryLog();
    log.must({ type: "zone.create", name: "a" });
    const before = encodeState(log.state);
    const applied = log.apply(null, envelope);
    expect(applied.halted).toBe(`entry 2 is ${named}, which this version does not know; upgrade this agent`);
    expect(applied).toMatchObject({ result: null, changes: [] });
    expect(encodeState(log.state)).toBe(before);
  });

  test.each([
    ["no JSON", "{"],
    ["no object", "[]"],
    ["null", "null"],
    ["no version", "{}"],
    ["a version that is no number", '{"v":"2"}'],
    [
      "a field of the wrong type",
      '{"v":1,"origin":"p","session":"1","seq":1,"ack":1,"by":"a","at":1,"command":{}}',
    ],
  ])("an envelope that is %s is passed over, so that one bad proposal stops nobody", (_what, data) => {
    const log = new RegistryLog();
    const applied = log.append(data);
    expect(kindOf(applied)).toBe("bad_request");
    expect(applied).toMatchObject({ envelope: null, changes: [], halted: null });
    expect(log.state.index).toBe(1);
  });

  test.each([
    ["a missing field", { type: "zone.create" }, "command"],
    ["a wrong type", { type: "zone.create", name: 7 }, "command.name"],
    ["an empty name", zone(""), "command.name"],
    ["no type", { name: "a" }, "command.type"],
    ["a type that is no text", { type: 7 }, "command.type"],
    ["no object", "zone.create", "command.type"],
    ["nesting that could exhaust a stack", deep(JSON_DEPTH_MAX), "command"],
  ])("a command with %s is refused", (_what, command, field) => {
    const log = new RegistryLog();
    const { result, changes } = log.apply(command);
    expect(result).toMatchObject({ ok: false, refusal: { kind: "bad_request", facts: { field } } });
    expect(changes).toEqual([]);
  });

  test("nesting of the greatest depth is taken", () => {
    const log = new RegistryLog();
    log.must({ type: "member.add", member: makeMember(1) });
    log.must({ type: "zone.create", name: "a" });
    expect(kindOf(log.apply({ ...deep(JSON_DEPTH_MAX - 1), uuid: "uuid-1" }))).toBeNull();
  });
});

/** A command whose nesting is one level deeper than `levels`. */
function deep(levels: number): object {
  let cfg: object = {};
  for (let i = 1; i < levels; i += 1) cfg = { cfg };
  return { type: "node.register", uuid: "u", zone_id: 1, uri: "u:1", cfg };
}

describe("an agent's own repetition: client sessions, dissertation §6.3", () => {
  test("the same number takes effect once and gets the same answer", () => {
    const log = new RegistryLog();
    const first = log.apply(zone("a"), { seq: 1, ack: 1 });
    const second = log.apply(zone("a"), { seq: 1, ack: 1 });
    expect(first).toMatchObject({ repeated: false, result: { ok: true, value: { id: 1 } } });
    expect(second).toMatchObject({ repeated: true, changes: [], result: first.result });
    expect(log.state.zones.size).toBe(1);
  });

  test("a repeated refusal stays refused, though by now the command would succeed", () => {
    const log = new RegistryLog();
    log.apply({ type: "zone.delete", id: 1 }, { seq: 1, ack: 1 });
    log.apply(zone("a"), { seq: 2, ack: 1 });
    const again = log.apply({ type: "zone.delete", id: 1 }, { seq: 1, ack: 1 });
    expect(kindOf(again)).toBe("zone_not_found");
    expect(log.state.zones.size).toBe(1);
  });

  test("numbers may come out of order", () => {
    const log = new RegistryLog();
    expect(kindOf(log.apply(zone("b"), { seq: 2, ack: 1 }))).toBeNull();
    expect(kindOf(log.apply(zone("a"), { seq: 1, ack: 1 }))).toBeNull();
    expect(log.state.zones.size).toBe(2);
  });

  test("below ack is expired, and answers below ack are forgotten", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { seq: 1, ack: 1 });
    log.apply(zone("b"), { seq: 2, ack: 2 });
    expect([...(log.state.sessions.get("peer-1")?.results.keys() ?? [])]).toEqual([2]);
    expect(kindOf(log.apply(zone("c"), { seq: 1, ack: 1 }))).toBe("request_expired");
    expect(log.state.zones.size).toBe(2);
  });

  test("an older entry's lower ack takes nothing back", () => {
    const log = new RegistryLog();
    log.apply(zone("b"), { seq: 5, ack: 5 });
    log.apply(zone("a"), { seq: 6, ack: 1 });
    expect(log.state.sessions.get("peer-1")?.ack).toBe(5);
    expect(kindOf(log.apply(zone("c"), { seq: 4, ack: 1 }))).toBe("request_expired");
  });

  test("an agent that started anew counts anew; what its earlier start left behind is expired", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { session: 1, seq: 9, ack: 9 });
    expect(kindOf(log.apply(zone("b"), { session: 2, seq: 1, ack: 1 }))).toBeNull();
    expect(kindOf(log.apply(zone("c"), { session: 1, seq: 10, ack: 9 }))).toBe("request_expired");
    expect(log.state.sessions.get("peer-1")).toMatchObject({ session: 2, ack: 1 });
  });

  test("agents do not share numbers", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { origin: "peer-1", seq: 1, ack: 1 });
    log.apply(zone("b"), { origin: "peer-2", seq: 1, ack: 1 });
    expect(log.state.zones.size).toBe(2);
  });

  test("a jump of the numbers costs no more than what is remembered", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { seq: 1, ack: 1 });
    const far = Number.MAX_SAFE_INTEGER;
    expect(kindOf(log.apply(zone("b"), { seq: far, ack: far }))).toBeNull();
    expect([...(log.state.sessions.get("peer-1")?.results.keys() ?? [])]).toEqual([far]);
  });

  test("an agent that never acknowledges loses its oldest answers, and with them the right to repeat them", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { seq: 1, ack: 1 });
    log.apply(zone("b"), { seq: SESSION_WINDOW_MAX + 1, ack: 1 });
    expect(log.state.sessions.get("peer-1")?.results.size).toBe(1);
    expect(kindOf(log.apply(zone("a"), { seq: 1, ack: 1 }))).toBe("request_expired");
  });
});

describe("a caller's Idempotency-Key", () => {
  test("the same request gets the first answer and its index, from whichever agent it comes", () => {
    const log = new RegistryLog();
    const first = log.apply(zone("a"), { key: "k" });
    log.apply(zone("b"));
    const again = log.apply(zone("a"), { key: "k", origin: "peer-2" });
    expect(again).toMatchObject({ repeated: true, effectIndex: 1, changes: [], result: first.result });
    expect(log.state.zones.size).toBe(2);
  });

  test("the order of fields does not make another request", () => {
    const log = new RegistryLog();
    log.apply({ type: "zone.create", name: "a" }, { key: "k" });
    expect(log.apply({ name: "a", type: "zone.create" }, { key: "k" }).repeated).toBe(true);
  });

  test("a refusal is remembered like a success", () => {
    const log = new RegistryLog();
    log.apply({ type: "zone.delete", id: 1 }, { key: "k" });
    log.apply(zone("a"));
    expect(kindOf(log.apply({ type: "zone.delete", id: 1 }, { key: "k" }))).toBe("zone_not_found");
  });

  test("another request under the key is refused and the key keeps its first meaning", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { key: "k" });
    expect(kindOf(log.apply(zone("b"), { key: "k" }))).toBe("idempotency_key_reused");
    expect(log.apply(zone("a"), { key: "k" }).result).toEqual({ ok: true, value: { id: 1 } });
  });

  test("keys belong to their user", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { key: "k", by: "alice" });
    expect(kindOf(log.apply(zone("b"), { key: "k", by: "bob" }))).toBeNull();
    // Concatenation without a boundary would make these two one.
    log.apply(zone("c"), { key: "y", by: "x" });
    expect(kindOf(log.apply(zone("d"), { key: "xy", by: "" }))).toBeNull();
  });

  test("a key is forgotten after its time, by the log's clock", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { key: "k", at: 1000 });
    let at = 1000;
    while (at < 1000 + IDEMPOTENCY_KEY_AGE_MS_MAX) {
      at += LOG_LEAP_MS_MAX;
      expect(log.apply(zone("a"), { key: "k", at }).repeated).toBe(true);
    }
    expect(kindOf(log.apply(zone("b"), { key: "k", at: at + 1 }))).toBeNull();
  });

  test("a clock that jumps ahead, as often as it likes, ends no key's life before its time", () => {
    const log = new RegistryLog();
    log.apply(zone("a"), { key: "k", at: 1000 });
    for (const at of [1e10, 1001, 1e11, 1e12]) {
      expect(log.apply(zone("a"), { key: "k", at }).repeated).toBe(true);
    }
  });

  test("the oldest keys are forgotten first when there are too many", () => {
    const log = new RegistryLog();
    const rename = { type: "zone.delete", id: 99 };
    for (let i = 0; i <= IDEMPOTENCY_KEYS_MAX; i += 1) log.apply(rename, { key: `k${i}`, at: 1 });
    expect(log.state.keys.size).toBe(IDEMPOTENCY_KEYS_MAX);
    expect(log.apply(rename, { key: "k1", at: 1 }).repeated).toBe(true);
    expect(log.apply(rename, { key: "k0", at: 1 }).repeated).toBe(false);
  });
});

describe("versions and preconditions", () => {
  const ZONE = { topic: "zones", id: "1" };

  function made(): RegistryLog {
    const log = new RegistryLog();
    log.must({ type: "zone.create", name: "a" });
    log.must({ type: "zone.create", name: "b" });
    log.must({ type: "zone.rename", id: 1, name: "c" });
    return log;
  }

  test("a record's version is the index of its last change; a topic's, of any in it", () => {
    const log = made();
    expect(versionOf(log.state, "zones", "1")).toBe(3);
    expect(versionOf(log.state, "zones", "2")).toBe(2);
    expect(versionOf(log.state, "zones", "3")).toBe(0);
    log.must({ type: "zone.delete", id: 2 });
    expect(versionOf(log.state, "zones", "2")).toBe(0);
    expect(versionOf(log.state, "zones")).toBe(4);
    expect(versionOf(log.state, "weights")).toBe(0);
  });

  test("a command with the right version takes effect, and only once", () => {
    const log = made();
    const rename = { type: "zone.rename", id: 1, name: "d" };
    expect(kindOf(log.apply(rename, { v: 2, expect: { ...ZONE, version: 3 } }))).toBeNull();
    expect(kindOf(log.apply(rename, { v: 2, expect: { ...ZONE, version: 3 } }))).toBe("precondition_failed");
    expect(log.state.zones.get(1)?.name).toBe("d");
  });

  test("version 0 means that there must be no such record", () => {
    const log = made();
    const create = { type: "zone.create", name: "e" };
    expect(kindOf(log.apply(create, { v: 2, expect: { ...ZONE, version: 0 } }))).toBe("precondition_failed");
    const free = { topic: "zones", id: "3", version: 0 };
    expect(kindOf(log.apply(create, { v: 2, expect: free }))).toBeNull();
  });

  test("a topic as a whole can be expected to be unchanged", () => {
    const log = made();
    const weigh = { type: "zones.set_weights", weights: {} };
    const zones = { topic: "zones", id: "" };
    expect(kindOf(log.apply(weigh, { v: 2, expect: { ...zones, version: 2 } }))).toBe("precondition_failed");
    expect(kindOf(log.apply(weigh, { v: 2, expect: { ...zones, version: 3 } }))).toBeNull();
  });

  test("the same key with another precondition is another request", () => {
    const log = made();
    const rename = { type: "zone.rename", id: 1, name: "d" };
    const first = { v: 2, key: "k", expect: { ...ZONE, version: 3 } };
    expect(kindOf(log.apply(rename, first))).toBeNull();
    expect(log.apply(rename, first)).toMatchObject({ repeated: true, result: { ok: true } });
    const other = { ...first, expect: { ...ZONE, version: 4 } };
    expect(kindOf(log.apply(rename, other))).toBe("idempotency_key_reused");
  });
});
