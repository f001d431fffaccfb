import { describe, expect, test } from "vitest";

import { assert } from "#shared/lib/assert.ts";
import { APPENDS_IN_FLIGHT_MAX, INDEX_WAITERS_MAX, UNCOMMITTED_BYTES_MAX } from "#shared/lib/limits.ts";

import { ELECTION_TICKS, acknowledge, drain, elect, entry, makeCore, sentOf, ticks } from "./bench.ts";
import { Network } from "./network.ts";

// Traps around the log: where logs differ, what gets lost on the way or comes late, how much may wait.

/** Terms of the entries after the common first one. */
function terms(network: Network, id: string): (number | null)[] {
  const { lastIndex } = network.status(id);
  return Array.from({ length: lastIndex - 1 }, (_, i) => network.core(id).termAt(i + 2));
}

describe("logs that differ (figure 3.6 of the dissertation)", () => {
  const leader = [1, 1, 4, 4, 5, 5, 6, 6, 6];
  const followers: Record<string, { readonly log: readonly number[]; readonly refusals: number }> = {
    a: { log: leader.slice(0, -1), refusals: 1 },
    b: { log: [1, 1, 4], refusals: 1 },
    c: { log: [...leader, 6], refusals: 0 },
    d: { log: [...leader, 7, 7], refusals: 0 },
    e: { log: [1, 1, 4, 4, 4, 4], refusals: 2 },
    f: { log: [1, 1, 2, 2, 2, 3, 3, 3, 3, 3], refusals: 2 },
  };

  test("every follower ends with the leader's log, after at most one refusal for each term that it has too much", () => {
    const voters = ["l", ...Object.keys(followers)];
    const logs = Object.entries(followers).map(([id, { log }]) => [id, { log }] as const);
    const network = new Network(
      { l: { log: leader }, ...Object.fromEntries(logs) },
      { common: { voters, term: 7 } },
    );
    network.tick("l", ELECTION_TICKS);
    expect(network.status("l")).toMatchObject({ role: "leader", term: 8 });
    network.tick("l", 3);
    for (const [id, { refusals }] of Object.entries(followers)) {
      expect(terms(network, id), id).toEqual([...leader, 8]);
      const refused = network.sentOf("append_answer").filter(({ from, ok }) => from === id && !ok);
      expect(refused.length, id).toBeLessThanOrEqual(refusals);
    }
  });

  // Terms from index 2 on. `probe`: where the leader asks next, after one refusal.
  test.each([
    { what: "the follower's tail is older", ours: [1, 3, 3, 3], theirs: [1, 2, 2, 2, 2], probe: 2 },
    { what: "the follower's tail is newer", ours: [1, 1, 1, 1], theirs: [1, 4, 4], probe: 2 },
    { what: "the follower's tail is newer and longer", ours: [1, 1], theirs: [4, 4, 4, 4, 5], probe: 1 },
    { what: "the follower is short", ours: [1, 1, 1, 4, 5], theirs: [1, 1], probe: 3 },
  ])("$what: one refusal is enough to find where the logs agree", ({ ours, theirs, probe }) => {
    const common = { voters: ["f", "l", "v"], term: 6 };
    const network = new Network({ l: { log: ours }, v: { log: ours }, f: { log: theirs } }, { common });
    network.tick("l", ELECTION_TICKS);
    const asked = network.sentOf("append").filter(({ to }) => to === "f");
    expect(asked.slice(0, 2).map(({ prevIndex }) => prevIndex)).toEqual([ours.length + 1, probe]);
    expect(network.sentOf("append_answer").filter(({ from, ok }) => from === "f" && !ok)).toHaveLength(1);
    expect(terms(network, "f")).toEqual([...ours, 7]);
  });

  test("newer entries that no majority holds are replaced by older ones that one does", () => {
    const network = new Network(
      {
        a: { log: [2], term: 2 },
        b: { log: [2], term: 3 },
        c: { log: [3], term: 3 },
        d: { log: [], term: 3 },
        e: { log: [], term: 3 },
      },
      { common: { voters: ["a", "b", "c", "d", "e"] } },
    );
    for (let i = 0; i < 3; i += 1) network.tick("a", ELECTION_TICKS);
    expect(network.leaders).toEqual(["a"]);
    network.tick("a", 3);
    const term = network.status("a").term;
    for (const id of network.ids) expect(terms(network, id), id).toEqual([2, term]);
  });

  test("messages of an earlier leadership that come late change nothing", () => {
    const network = new Network({ a: {}, b: {}, c: {} });
    network.elect("a");
    network.propose("a", "x");
    network.isolate("a");
    network.tickAll(2 * ELECTION_TICKS);
    const [next = "none"] = network.leaders;
    network.propose(next, "y");
    network.heal();
    network.tickAll(2);
    const before = network.ids.map((id) => terms(network, id));
    const late = { from: "a", to: "c", term: 2, commit: 9 } as const;
    network.core("c").step({ type: "append", ...late, prevIndex: 2, prevTerm: 2, entries: [entry(3, 2)] });
    network.core("c").step({ type: "commit", ...late });
    network.core("c").step({ type: "timeout_now", from: "a", to: "c", term: 2 });
    network.settle();
    expect(network.ids.map((id) => terms(network, id))).toEqual(before);
    expect(network.leaders).toEqual([next]);
  });
});

describe("what gets lost between leader and follower", () => {
  const led = (appendBytesMax?: number): Network => {
    const common = appendBytesMax === undefined ? {} : { appendBytesMax };
    const network = new Network({ a: {}, b: {}, c: {} }, { common });
    network.elect("a");
    return network;
  };

  test("acknowledgements and the notice of the commit: one heartbeat and its answer make up for both", () => {
    const network = led();
    network.lose(({ from, to }) => from === "c" || (to === "c" && from === "b"));
    network.core("a").propose(["x"]);
    network.settle();
    expect(network.status("c")).toMatchObject({ lastIndex: 3, commit: 2 });
    expect(network.commands("b")).toEqual(["x"]);
    network.heal();
    network.tick("a");
    expect(network.commands("c")).toEqual(["x"]);
  });

  test("the notice of the commit alone: the next heartbeat says the same", () => {
    const network = led();
    network.lose(({ type }) => type === "commit");
    network.propose("a", "x");
    expect(network.commands("a")).toEqual(["x"]);
    expect(network.commands("c")).toEqual([]);
    network.tick("a");
    expect(network.commands("c")).toEqual(["x"]);
  });

  test("a whole window of appends: nothing more is sent, until a heartbeat is answered; then all arrives", () => {
    const network = led(1);
    network.isolate("c");
    const texts = Array.from({ length: APPENDS_IN_FLIGHT_MAX + 20 }, (_, i) => `x${i}`);
    network.sent = [];
    network.propose("a", ...texts);
    const toC = (): number => network.sentOf("append").filter(({ to }) => to === "c").length;
    expect(toC()).toBe(APPENDS_IN_FLIGHT_MAX);
    network.tick("a", ELECTION_TICKS - 1);
    expect(toC()).toBe(APPENDS_IN_FLIGHT_MAX);
    network.heal();
    network.tick("a", 2);
    expect(network.commands("c")).toEqual(texts);
  });

  test("a full window gives way by one append for each heartbeat that is answered", () => {
    const core = makeCore({ voters: ["a", "b"], appendBytesMax: 1 });
    elect(core);
    acknowledge(core, "b", 2);
    core.propose(Array.from({ length: APPENDS_IN_FLIGHT_MAX + 20 }, (_, i) => `x${i}`));
    expect(sentOf(drain(core), "append")).toHaveLength(APPENDS_IN_FLIGHT_MAX);
    for (let i = 0; i < 3; i += 1) {
      core.step({ type: "heartbeat_answer", from: "b", to: "a", term: 2, round: 0 });
      expect(sentOf(drain(core), "append")).toHaveLength(1);
    }
  });

  test("a follower that was reported unreachable and lacks nothing is trusted again after one heartbeat", () => {
    const network = led();
    network.core("a").reportUnreachable("c");
    network.settle();
    network.tick("a");
    network.sent = [];
    network.lose(({ from }) => from === "c");
    network.propose("a", "x");
    network.propose("a", "y");
    expect(network.sentOf("append").filter(({ to }) => to === "c")).toHaveLength(2);
  });

  test("an unreachable follower is not talked into: one append at a time, after it is heard", () => {
    const network = led();
    network.core("a").reportUnreachable("c");
    network.isolate("c");
    network.sent = [];
    network.propose("a", "x");
    network.propose("a", "y");
    expect(network.sentOf("append").filter(({ to }) => to === "c")).toEqual([]);
    network.heal();
    network.tick("a", 2);
    expect(network.commands("c")).toEqual(["x", "y"]);
  });

  test("an old refusal that comes again does not take back what is acknowledged", () => {
    const core = makeCore({ voters: ["a", "b"] });
    elect(core);
    const refusal = {
      type: "append_answer",
      from: "b",
      to: "a",
      term: 2,
      ok: false,
      index: 1,
      hintTerm: 1,
    } as const;
    core.step(refusal);
    drain(core);
    acknowledge(core, "b", 2);
    drain(core);
    core.step(refusal);
    expect(core.status().progress.get("b")).toMatchObject({ match: 2, next: 3 });
    expect(drain(core).sent).toEqual([]);
  });
});

describe("what comes in another order or late", () => {
  test("two appends that overtake each other: the refusal that comes late does not lead back behind what is known", () => {
    const leader = makeCore({ voters: ["a", "b"] });
    elect(leader);
    const follower = makeCore({ id: "b", voters: ["a", "b"], log: [2], term: 2 });
    acknowledge(leader, "b", 2);
    const appends = ["x", "y"].flatMap((text) => {
      leader.propose([text]);
      return sentOf(drain(leader), "append");
    });
    expect(appends.map(({ prevIndex }) => prevIndex)).toEqual([2, 3]);
    for (const append of appends.toReversed()) follower.step(append);
    const [refused, taken] = sentOf(drain(follower), "append_answer");
    expect([refused, taken]).toMatchObject([
      { ok: false, index: 2 },
      { ok: true, index: 3 },
    ]);
    assert(refused !== undefined && taken !== undefined, "both are answered");
    leader.step(taken);
    leader.reportUnreachable("b");
    leader.step(refused);
    drain(leader);
    leader.step({ type: "heartbeat_answer", from: "b", to: "a", term: 2, round: 0 });
    expect(sentOf(drain(leader), "append")).toMatchObject([{ prevIndex: 3, entries: [{ data: "y" }] }]);
  });

  test("an append from before the follower's snapshot: what it repeats is there, and only that is promised", () => {
    const core = makeCore({ log: [2, 2, 2], term: 2, commit: 4 });
    drain(core);
    core.compact({ index: 4, term: 2, config: core.appliedConfig() }, 4);
    const append = {
      type: "append",
      from: "b",
      to: "a",
      term: 2,
      prevIndex: 1,
      prevTerm: 1,
      commit: 4,
    } as const;
    core.step({ ...append, entries: [entry(2, 2)] });
    expect(sentOf(drain(core), "append_answer")).toMatchObject([{ ok: true, index: 2 }]);
    core.step({ ...append, entries: [2, 3, 4, 5, 6].map((index) => entry(index, 2)) });
    expect(sentOf(drain(core), "append_answer")).toMatchObject([{ ok: true, index: 6 }]);
    expect(core.status()).toMatchObject({ firstIndex: 5, lastIndex: 6, commit: 4 });
  });
});

describe("how much may wait to be committed", () => {
  const big = "x".repeat(1024 * 1024);
  const most = UNCOMMITTED_BYTES_MAX / big.length - 1;
  const entries = Array.from({ length: most }, (_, i) => entry(i + 2, 3, big));
  const append = { type: "append", to: "a", prevIndex: 1, prevTerm: 1, commit: 1 } as const;

  test("what a new leader is fed as committed does not count any more", () => {
    const core = makeCore();
    core.step({ ...append, from: "b", term: 3, entries });
    drain(core);
    elect(core);
    expect(core.propose([big])).toMatchObject({ ok: false, reason: "overloaded" });
    expect(core.feed(entries, most + 1)).toBe("taken");
    expect(core.status()).toMatchObject({ role: "leader", commit: most + 1 });
    expect(core.propose([big]).ok).toBe(true);
  });

  test("what was replaced does not count in a later leadership", () => {
    const core = makeCore();
    core.step({ ...append, from: "b", term: 3, entries });
    core.step({ ...append, from: "c", term: 4, entries: [entry(2, 4)] });
    drain(core);
    elect(core);
    expect(core.propose([big, big]).ok).toBe(true);
  });

  test("an entry of any size goes through when nothing else waits", () => {
    const core = makeCore({ voters: ["a"] });
    ticks(core, 1);
    drain(core);
    const all = Array.from({ length: 2 * most }, () => big);
    expect(core.propose(all).ok).toBe(true);
    expect(core.propose(["x"])).toMatchObject({ reason: "overloaded" });
    drain(core);
    expect(core.propose(["x"]).ok).toBe(true);
  });
});

describe("readers that wait", () => {
  test("are bounded in number, and make room when they are answered or sent away", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    drain(core);
    const fill = (): void => {
      for (let i = 0; i < INDEX_WAITERS_MAX; i += 1) expect(core.readIndex(`r${i}`)).toBe(true);
      expect(core.readIndex("too many")).toBe(false);
    };
    fill();
    drain(core);
    core.step({ type: "heartbeat_answer", from: "b", to: "a", term: 2, round: 1 });
    expect(drain(core).reads).toHaveLength(INDEX_WAITERS_MAX);
    fill();
    core.step({ type: "heartbeat", from: "c", to: "a", term: 3, commit: 0, round: 0 });
    const { reads } = drain(core);
    expect(reads).toHaveLength(INDEX_WAITERS_MAX);
    expect(reads.every(({ index }) => index === null)).toBe(true);
  });
});
