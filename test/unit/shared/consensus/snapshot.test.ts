import { describe, expect, test } from "vitest";

import { RaftCore } from "#shared/consensus/core.ts";
import type { SnapshotMeta } from "#shared/consensus/messages.ts";
import type { CoreStart } from "#shared/consensus/ready.ts";

import { ELECTION_TICKS, acknowledge, drain, elect, entry, makeCore, sentOf, ticks } from "./bench.ts";

const config = { voters: ["a", "b", "c"], outgoing: [], learners: [] };
const meta = (index: number, term: number): SnapshotMeta => ({ index, term, config });
const start = (from: Partial<CoreStart>): RaftCore =>
  new RaftCore(
    { id: "a", electionTicks: ELECTION_TICKS, heartbeatTicks: 1, random: () => 0 },
    { hardState: { term: 0, vote: null, commit: 0 }, snapshot: null, entries: [], applied: 0, ...from },
  );

describe("§5 snapshots at the leader", () => {
  function compacted(): ReturnType<typeof makeCore> {
    const core = makeCore({ voters: ["a", "b"] });
    elect(core);
    core.propose(["x", "y", "z"]);
    drain(core);
    acknowledge(core, "b", 5);
    drain(core);
    core.compact({ index: 5, term: 2, config: core.appliedConfig() }, 3);
    return core;
  }

  test("the tail behind a snapshot still serves a follower that is a little behind", () => {
    const core = compacted();
    expect(core.status()).toMatchObject({ firstIndex: 4, lastIndex: 5 });
    expect(core.committedFrom(4, 1e6)?.map(({ index }) => index)).toEqual([4, 5]);
    expect(core.committedFrom(3, 1e6)).toBe(null);
    expect(core.committedFrom(6, 1e6)).toEqual([]);
    expect([core.termAt(2), core.termAt(3), core.termAt(6)]).toEqual([null, 2, null]);
  });

  test("a follower that needs what is forgotten is offered the snapshot, and nothing else until it has it", () => {
    const core = compacted();
    core.changeConfig({ voters: ["a", "b"], learners: ["l"] });
    drain(core);
    const refuse = {
      type: "append_answer",
      from: "l",
      to: "a",
      term: 2,
      ok: false,
      index: 0,
      hintTerm: 0,
    } as const;
    core.step(refuse);
    expect(sentOf(drain(core), "snapshot")).toMatchObject([{ to: "l", meta: { index: 5, term: 2 } }]);
    core.step({ type: "heartbeat_answer", from: "l", to: "a", term: 2, round: 0 });
    expect(drain(core).sent).toEqual([]);
    acknowledge(core, "l", 5);
    expect(sentOf(drain(core), "append")).toMatchObject([{ to: "l", prevIndex: 5, entries: [{ index: 6 }] }]);
  });

  test("so is one whose log differs at the last place that can be compared here: asking again there helps nobody", () => {
    const core = compacted();
    core.changeConfig({ voters: ["a", "b"], learners: ["l"] });
    drain(core);
    // It has entries of term 1 up to 5; here 3, the last of which the term is known, is of term 2.
    core.step({ type: "append_answer", from: "l", to: "a", term: 2, ok: false, index: 5, hintTerm: 1 });
    const { sent } = drain(core);
    expect(sent).toMatchObject([{ type: "snapshot", to: "l", meta: { index: 5, term: 2 } }]);
  });

  test("an offer that got lost is repeated; a failed one waits until the follower is heard", () => {
    const core = compacted();
    core.changeConfig({ voters: ["a", "b"], learners: ["l"] });
    drain(core);
    core.step({ type: "append_answer", from: "l", to: "a", term: 2, ok: false, index: 0, hintTerm: 0 });
    drain(core);
    core.reportUnreachable("l");
    expect(sentOf(drain(core), "snapshot")).toEqual([]);
    core.step({ type: "heartbeat_answer", from: "l", to: "a", term: 2, round: 0 });
    expect(sentOf(drain(core), "snapshot")).toHaveLength(1);
    ticks(core, ELECTION_TICKS / 2);
    core.step({ type: "heartbeat_answer", from: "b", to: "a", term: 2, round: 0 });
    expect(sentOf(drain(core), "snapshot")).toEqual([]);
    ticks(core, ELECTION_TICKS / 2);
    expect(sentOf(drain(core), "snapshot")).toHaveLength(1);
  });
});

describe("§5 snapshots at a follower", () => {
  const offer = { type: "snapshot", from: "b", to: "a", term: 4, meta: meta(9, 3) } as const;

  test("an offered snapshot replaces log and configuration, and is acknowledged after it is installed", () => {
    const core = makeCore({ log: [2, 2] });
    core.step(offer);
    expect(core.installSnapshot(meta(9, 3))).toBe(true);
    const ready = core.ready();
    expect(ready).toMatchObject({
      snapshot: { index: 9 },
      hardState: { term: 4, commit: 9 },
      mustSync: true,
    });
    expect(ready).toMatchObject({ truncateFrom: null, entries: [], committed: [], sendNow: [] });
    expect(ready.sendAfter).toMatchObject([{ type: "append_answer", to: "b", ok: true, index: 9 }]);
    core.advance(ready);
    expect(core.status()).toMatchObject({ applied: 9, firstIndex: 10, lastIndex: 9, lastTerm: 3 });
    expect(core.hasReady()).toBe(false);
  });

  test("a snapshot from elsewhere is acknowledged only as far as the leader offered one", () => {
    const core = makeCore();
    core.step({ ...offer, meta: meta(5, 2) });
    expect(core.installSnapshot(meta(9, 3))).toBe(true);
    expect(sentOf(drain(core), "append_answer")).toMatchObject([{ to: "b", ok: true, index: 5 }]);
    const unasked = makeCore();
    unasked.step({ type: "heartbeat", from: "b", to: "a", term: 4, commit: 0, round: 0 });
    drain(unasked);
    expect(unasked.installSnapshot(meta(9, 3))).toBe(true);
    expect(sentOf(drain(unasked), "append_answer")).toEqual([]);
  });

  test("one that is not newer is refused; one whose end is in the log only commits it", () => {
    const core = makeCore({ log: [2, 2, 2], commit: 2 });
    expect(core.installSnapshot(meta(2, 2))).toBe(false);
    expect(core.installSnapshot(meta(3, 2))).toBe(false);
    expect(core.status()).toMatchObject({ commit: 3, lastIndex: 4 });
  });

  test("an offer of what is here already is answered at once", () => {
    const core = makeCore({ log: [2, 2], commit: 3 });
    core.step({ ...offer, meta: meta(2, 2) });
    expect(sentOf(drain(core), "append_answer")).toMatchObject([{ ok: true, index: 2 }]);
  });

  test("nobody campaigns on a snapshot that is not installed yet", () => {
    const core = makeCore();
    core.installSnapshot(meta(9, 3));
    ticks(core, 3 * ELECTION_TICKS);
    expect(core.status().role).toBe("follower");
  });
});

describe("where a core starts", () => {
  test("a crash between saving a snapshot and clearing the log: what does not belong to it is dropped, here and on disk", () => {
    for (const entries of [
      [entry(2, 1), entry(3, 1)],
      [entry(8, 2), entry(9, 2), entry(10, 2)],
    ]) {
      const core = start({
        hardState: { term: 2, vote: "b", commit: 1 },
        snapshot: meta(9, 3),
        entries,
        applied: 9,
      });
      expect(core.status()).toMatchObject({ lastIndex: 9, lastTerm: 3, commit: 9, term: 3, vote: null });
      expect(core.ready()).toMatchObject({
        truncateFrom: entries[0]?.index,
        hardState: { term: 3 },
        mustSync: true,
      });
    }
  });

  test("a tail older than the snapshot is kept; entries after it are applied once they are known to be committed", () => {
    const entries = [entry(8, 2), entry(9, 3), entry(10, 3), entry(11, 3)];
    const core = start({
      hardState: { term: 3, vote: "a", commit: 10 },
      snapshot: meta(9, 3),
      entries,
      applied: 9,
    });
    expect(core.status()).toMatchObject({ firstIndex: 8, lastIndex: 11, commit: 10, applied: 9, vote: "a" });
    expect(drain(core).committed.map(({ index }) => index)).toEqual([10]);
  });

  test("a configuration in the log after the snapshot holds", () => {
    const data = JSON.stringify({ voters: ["z"], outgoing: [], learners: [] });
    const entries = [{ index: 10, term: 3, kind: "config" as const, data }];
    const core = start({
      hardState: { term: 3, vote: null, commit: 9 },
      snapshot: meta(9, 3),
      entries,
      applied: 9,
    });
    expect(core.status()).toMatchObject({ configIndex: 10, config: { voters: ["z"] } });
    expect(core.appliedConfig()).toEqual(config);
  });

  test("a member that holds nothing waits", () => {
    const core = start({});
    ticks(core, 3 * ELECTION_TICKS);
    expect(core.hasReady()).toBe(false);
  });
});

describe("a feed of committed entries", () => {
  test("reaches a member that holds nothing, and its hard state is saved with the entries", () => {
    const core = start({});
    expect(core.feed([entry(1, 1), entry(2, 3)], 5)).toBe("taken");
    const ready = core.ready();
    expect(ready).toMatchObject({
      hardState: { term: 3, vote: null, commit: 2 },
      sendNow: [],
      sendAfter: [],
    });
    core.advance(ready);
    expect(drain(core).committed.map(({ index }) => index)).toEqual([1, 2]);
  });

  test("overrules an uncommitted tail, and ends a campaign that was judged by it", () => {
    const core = makeCore({ log: [2, 2, 2], commit: 2, term: 4 });
    ticks(core, ELECTION_TICKS);
    expect(core.status().role).toBe("pre_candidate");
    expect(core.feed([entry(2, 2), entry(3, 3)], 3)).toBe("taken");
    expect(core.status()).toMatchObject({ role: "follower", commit: 3, lastIndex: 3, lastTerm: 3, term: 4 });
    expect(core.ready()).toMatchObject({ truncateFrom: 3, entries: [{ index: 3, term: 3 }] });
  });

  test("nothing proves that an uncommitted tail agrees with what comes after it", () => {
    const core = makeCore({ log: [2, 2], commit: 2, term: 2 });
    expect(core.feed([entry(4, 3)], 4)).toBe("gap");
    expect(core.status()).toMatchObject({ commit: 2, lastIndex: 3 });
  });

  test("never lowers the commit index, and believes only what its sender says is committed", () => {
    const core = makeCore({ log: [2, 2, 2], commit: 4, term: 2 });
    expect(core.feed([entry(2, 2), entry(3, 2)], 3)).toBe("nothing_new");
    expect(core.feed([entry(5, 2), entry(6, 2)], 5)).toBe("taken");
    expect(core.status()).toMatchObject({ commit: 5, lastIndex: 5 });
    expect(core.feed([], 9)).toBe("nothing_new");
    expect(core.feed([entry(6, 2), entry(8, 2)], 8)).toBe("nothing_new");
    expect(core.status()).toMatchObject({ commit: 5, lastIndex: 5 });
  });

  test("a leader of an older term gives up when it is fed a newer one", () => {
    const core = makeCore();
    elect(core);
    core.feed([entry(2, 7)], 2);
    expect(core.status()).toMatchObject({ role: "follower", term: 7, vote: null, lastTerm: 7 });
  });
});
