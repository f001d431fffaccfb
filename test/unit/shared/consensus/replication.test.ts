import { describe, expect, test } from "vitest";

import type { Entry } from "#shared/consensus/messages.ts";
import { APPENDS_IN_FLIGHT_BYTES_MAX, UNCOMMITTED_BYTES_MAX } from "#shared/lib/limits.ts";

import { acknowledge, drain, elect, entry, makeCore, sentOf, ticks } from "./bench.ts";

const from = "b";
const to = "a";

describe("§3.5 a follower takes over the leader's log", () => {
  interface Case {
    readonly what: string;
    readonly log: readonly number[];
    readonly prev: readonly [index: number, term: number];
    readonly entries: readonly Entry[];
    readonly commit: number;
    readonly expected: {
      readonly ok: boolean;
      readonly index: number;
      readonly last: number;
      readonly lastTerm: number;
      readonly commit: number;
    };
  }
  // Figure 3.6 in parts: the leader is in term 6; the follower's log begins after index 1 of term 1.
  const cases: readonly Case[] = [
    {
      what: "new entries at the end",
      log: [1],
      prev: [2, 1],
      entries: [entry(3, 6)],
      commit: 2,
      expected: { ok: true, index: 3, last: 3, lastTerm: 6, commit: 2 },
    },
    {
      what: "nothing new: it answers for what was compared, not for its whole log",
      log: [1, 4, 4],
      prev: [2, 1],
      entries: [],
      commit: 4,
      expected: { ok: true, index: 2, last: 4, lastTerm: 4, commit: 2 },
    },
    {
      what: "entries it has already, from an old message: the rest stays",
      log: [1, 6, 6],
      prev: [1, 1],
      entries: [entry(2, 1)],
      commit: 1,
      expected: { ok: true, index: 2, last: 4, lastTerm: 6, commit: 1 },
    },
    {
      what: "an entry that differs: it and all after it go",
      log: [1, 2, 2, 2],
      prev: [2, 1],
      entries: [entry(3, 6)],
      commit: 9,
      expected: { ok: true, index: 3, last: 3, lastTerm: 6, commit: 3 },
    },
    {
      what: "entries are missing: it tells where it ends",
      log: [1],
      prev: [8, 5],
      entries: [entry(9, 6)],
      commit: 9,
      expected: { ok: false, index: 2, last: 2, lastTerm: 1, commit: 1 },
    },
    {
      what: "the entry before differs: it skips the whole term (§3.3)",
      log: [1, 5, 5, 5],
      prev: [5, 4],
      entries: [],
      commit: 9,
      expected: { ok: false, index: 2, last: 5, lastTerm: 5, commit: 1 },
    },
  ];
  test.each(cases)("$what", ({ log, prev: [prevIndex, prevTerm], entries, commit, expected }) => {
    const core = makeCore({ log, term: 6 });
    core.step({ type: "append", from, to, term: 6, prevIndex, prevTerm, entries: [...entries], commit });
    const [answer] = sentOf(drain(core), "append_answer");
    const { lastIndex, lastTerm, commit: committed } = core.status();
    expect({ ok: answer?.ok, index: answer?.index, last: lastIndex, lastTerm, commit: committed }).toEqual(
      expected,
    );
  });

  test("what it acknowledges leaves after it is saved", () => {
    const core = makeCore();
    const append = { type: "append", from, to, term: 2, prevIndex: 1, prevTerm: 1, commit: 1 } as const;
    core.step({ ...append, entries: [entry(2, 2)] });
    const ready = core.ready();
    expect(ready.sendNow).toEqual([]);
    expect(ready.entries.map(({ index }) => index)).toEqual([2]);
    expect(ready.sendAfter).toMatchObject([{ type: "append_answer", ok: true, index: 2 }]);
  });

  test("a truncation while older entries are being saved reaches the disk with the next Ready", () => {
    const core = makeCore();
    const append = { type: "append", from, to, prevIndex: 1, prevTerm: 1, commit: 3 } as const;
    core.step({ ...append, term: 2, commit: 1, entries: [entry(2, 2), entry(3, 2)] });
    const saving = core.ready();
    core.step({ ...append, term: 3, entries: [entry(2, 3)] });
    core.advance(saving);
    const ready = core.ready();
    expect(ready).toMatchObject({ truncateFrom: 2, entries: [{ index: 2, term: 3 }], committed: [] });
    core.advance(ready);
    expect(drain(core).committed.map(({ index, term }) => [index, term])).toEqual([[2, 3]]);
  });

  test("nothing committed is replaced: a leftover leader gets no answer", () => {
    const core = makeCore({ log: [3], term: 5, commit: 2 });
    const append = { type: "append", from, to, term: 5, commit: 1 } as const;
    core.step({ ...append, prevIndex: 1, prevTerm: 1, entries: [entry(2, 5)] });
    core.step({ ...append, prevIndex: 2, prevTerm: 4, entries: [] });
    expect(core.termAt(2)).toBe(3);
    expect(sentOf(drain(core), "append_answer")).toEqual([]);
  });

  test.each([
    { what: "a gap", entries: [entry(3, 2)] },
    { what: "a falling term", entries: [entry(2, 2), entry(3, 1)] },
    { what: "a term above the leader's", entries: [entry(2, 3)] },
    { what: "a broken configuration", entries: [{ ...entry(2, 2, "{}"), kind: "config" as const }] },
  ])("a message with $what changes nothing", ({ entries }) => {
    const core = makeCore();
    core.step({ type: "append", from, to, term: 2, prevIndex: 1, prevTerm: 1, entries, commit: 9 });
    drain(core);
    expect(core.status()).toMatchObject({ lastIndex: 1, commit: 1 });
  });
});

describe("§3.6.2 what a leader may commit", () => {
  test("entries of older terms only together with one of its own (figure 3.7)", () => {
    const core = makeCore({ log: [2, 2], term: 3, appendBytesMax: 1 });
    elect(core);
    expect(core.status()).toMatchObject({ role: "leader", term: 4, lastIndex: 4 });
    acknowledge(core, "b", 3);
    expect(core.status().commit).toBe(1);
    acknowledge(core, "b", 4);
    expect(core.status().commit).toBe(4);
  });

  test("its own copy counts once it is on its disk; the followers' may be first (§10.2.1)", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    drain(core);
    core.propose(["x"]);
    const ready = core.ready();
    expect(ready.sendNow.filter(({ type }) => type === "append")).toMatchObject([
      { to: "b", entries: [{ data: "x" }] },
    ]);
    acknowledge(core, "b", 3);
    expect(core.status().commit).toBe(2);
    core.advance(ready);
    expect(core.status().commit).toBe(3);
  });

  test("learners get the log and do not count", () => {
    const core = makeCore({ learners: ["l"] });
    elect(core);
    acknowledge(core, "l", 2);
    expect(core.status().commit).toBe(1);
    expect(core.status().progress.get("l")?.match).toBe(2);
  });
});

describe("flow control", () => {
  test("one append probes at a time; after an answer many may be under way, up to a window", () => {
    const core = makeCore({ appendBytesMax: 1 });
    elect(core);
    const appends = (): number[] =>
      sentOf(drain(core), "append")
        .filter((append) => append.to === "b")
        .map(({ prevIndex }) => prevIndex);
    core.propose(Array.from({ length: 100 }, (_, i) => `x${i}`));
    expect(appends()).toEqual([]);
    acknowledge(core, "b", 2);
    expect(appends()).toEqual(Array.from({ length: 64 }, (_, i) => i + 2));
    acknowledge(core, "b", 12);
    expect(appends()).toHaveLength(10);
  });

  test("no more bytes are under way to one follower than its stream may hold", () => {
    const core = makeCore({ voters: ["a", "b"] });
    elect(core);
    acknowledge(core, "b", 2);
    drain(core);
    core.propose(Array.from({ length: 20 }, () => "x".repeat(1024 * 1024 - 64)));
    const most = APPENDS_IN_FLIGHT_BYTES_MAX / (1024 * 1024);
    expect(sentOf(drain(core), "append")).toHaveLength(most);
    acknowledge(core, "b", 3);
    expect(sentOf(drain(core), "append")).toHaveLength(1);
  });

  test("proposals between two Readys share an append", () => {
    const core = makeCore({ voters: ["a", "b"] });
    elect(core);
    acknowledge(core, "b", 2);
    drain(core);
    for (let i = 0; i < 64; i += 1) core.propose([`x${i}`]);
    const { sendNow, entries } = core.ready();
    expect(entries).toHaveLength(64);
    expect(sendNow).toMatchObject([{ type: "append", entries: { length: 64 } }]);
  });

  test("what got lost is sent again when a heartbeat is answered", () => {
    const core = makeCore({ voters: ["a", "b"] });
    elect(core);
    acknowledge(core, "b", 2);
    core.propose(["lost"]);
    drain(core);
    core.step({ type: "heartbeat_answer", from, to, term: 2, round: 0 });
    expect(sentOf(drain(core), "append")).toMatchObject([{ prevIndex: 3, entries: [] }]);
    core.step({ type: "append_answer", from, to, term: 2, ok: false, index: 2, hintTerm: 2 });
    expect(sentOf(drain(core), "append")).toMatchObject([{ prevIndex: 2, entries: [{ data: "lost" }] }]);
  });

  test("a refusal leads to where the logs agree in one step per term", () => {
    const core = makeCore({ log: [2, 2, 3, 3, 3], term: 4 });
    elect(core);
    core.step({ type: "append_answer", from, to, term: 5, ok: false, index: 6, hintTerm: 2 });
    expect(sentOf(drain(core), "append")).toMatchObject([{ to: "b", prevIndex: 3, prevTerm: 2 }]);
  });

  test("a heartbeat never commits what the follower may not have", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    drain(core);
    core.tick();
    const commits = sentOf(drain(core), "heartbeat").map(({ to, commit }) => [to, commit]);
    expect(commits).toEqual([
      ["b", 2],
      ["c", 0],
    ]);
  });

  test("what is committed is told at once, once, and only to those who hold it; nobody answers", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    const told = (): unknown[] => sentOf(drain(core), "commit").map(({ to, commit }) => [to, commit]);
    expect(told()).toEqual([["b", 2]]);
    expect(told()).toEqual([]);
    acknowledge(core, "c", 2);
    expect(told()).toEqual([["c", 2]]);

    const follower = makeCore({ log: [2], term: 2 });
    follower.step({ type: "commit", from, to, term: 2, commit: 2 });
    const { committed, sent } = drain(follower);
    expect(committed).toMatchObject([{ index: 2 }]);
    expect(sent).toEqual([]);
    expect(follower.status()).toMatchObject({ leader: "b", commit: 2 });
  });

  test("a commit index that a later append carries is not told a second time", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    core.propose(["x"]);
    const drained = drain(core);
    expect(sentOf(drained, "append").filter(({ to }) => to === "b")).toMatchObject([{ commit: 2 }]);
    expect(sentOf(drained, "commit")).toEqual([]);
  });

  test("a leader without a majority takes only so much (etcd: MaxUncommittedEntriesSize)", () => {
    const core = makeCore();
    elect(core);
    const big = "x".repeat(1024 * 1024);
    const most = UNCOMMITTED_BYTES_MAX / big.length;
    for (let i = 0; i < most - 1; i += 1) expect(core.propose([big]).ok).toBe(true);
    expect(core.propose([big])).toMatchObject({ ok: false, reason: "overloaded" });
    drain(core);
    acknowledge(core, "b", core.status().lastIndex);
    expect(core.propose([big]).ok).toBe(true);
  });

  test("a follower does not take proposals and names the leader", () => {
    const core = makeCore();
    core.step({ type: "heartbeat", from, to, term: 2, commit: 0, round: 0 });
    expect(core.propose(["x"])).toEqual({ ok: false, reason: "not_leader", leader: "b" });
  });
});

describe("§6.4 ReadIndex", () => {
  test("a read waits for a round of heartbeats that began after it", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    core.tick();
    drain(core);
    core.readIndex("r1");
    core.readIndex("r2");
    const rounds = sentOf(drain(core), "heartbeat").map(({ round }) => round);
    expect(rounds).toEqual([1, 1]);
    core.step({ type: "heartbeat_answer", from, to, term: 2, round: 0 });
    expect(drain(core).reads).toEqual([]);
    core.step({ type: "heartbeat_answer", from, to, term: 2, round: 1 });
    expect(drain(core).reads).toEqual([
      { context: "r1", index: 2 },
      { context: "r2", index: 2 },
    ]);
  });

  test("a new leader answers no read before an entry of its own term is committed", () => {
    const core = makeCore({ log: [1], commit: 2 });
    elect(core);
    core.readIndex("r");
    drain(core);
    core.step({ type: "heartbeat_answer", from, to, term: 2, round: 0 });
    expect(drain(core).reads).toEqual([]);
    acknowledge(core, "b", 3);
    drain(core);
    core.step({ type: "heartbeat_answer", from, to, term: 2, round: 1 });
    expect(drain(core).reads).toEqual([{ context: "r", index: 3 }]);
  });

  test("an answer to a round that was never sent proves nothing", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    core.step({ type: "heartbeat_answer", from, to, term: 2, round: 99 });
    core.readIndex("r");
    expect(drain(core).reads).toEqual([]);
  });

  test("a sole voter answers at once", () => {
    const core = makeCore({ voters: ["a"] });
    ticks(core, 1);
    drain(core);
    expect(core.readIndex("r")).toBe(true);
    expect(drain(core).reads).toEqual([{ context: "r", index: 2 }]);
  });
});
