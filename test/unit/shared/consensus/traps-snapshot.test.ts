import { describe, expect, test } from "vitest";

import type { SnapshotMeta } from "#shared/consensus/messages.ts";
import type { Consensus } from "#shared/consensus/ready.ts";
import { APPENDS_IN_FLIGHT_MAX } from "#shared/lib/limits.ts";

import { ELECTION_TICKS, acknowledge, drain, elect, entry, makeCore, sentOf, ticks } from "./bench.ts";
import { Network } from "./network.ts";

// Traps around snapshots: overtaken, older than expected, asked for in vain, of a leader that is gone.

const config = { voters: ["a", "b", "c"], outgoing: [], learners: [] };
const meta = (index: number, term: number): SnapshotMeta => ({ index, term, config });

describe("a follower behind what its leader remembers", () => {
  test("full window, all of it lost, and the log compacted meanwhile: it gets the snapshot and what came after", () => {
    const network = new Network({ a: {}, b: {}, c: {} }, { common: { appendBytesMax: 1 } });
    network.elect("a");
    network.propose("a", "before");
    network.isolate("c");
    const texts = Array.from({ length: APPENDS_IN_FLIGHT_MAX + 5 }, (_, i) => `x${i}`);
    network.propose("a", ...texts);
    network.compact("a");
    network.propose("a", "after");
    network.heal();
    network.tick("a", 3);
    expect(network.sentOf("snapshot").map(({ to }) => to)).toEqual(["c"]);
    expect(network.commands("c")).toEqual(["before", ...texts, "after"]);
    expect(network.status("a").progress.get("c")).toMatchObject({ match: network.status("a").lastIndex });
  });

  test("a new leader finds one that lacks everything: refusal, snapshot, log", () => {
    const network = new Network({ a: {}, b: {}, c: {} });
    network.elect("a");
    network.isolate("c");
    network.propose("a", "x", "y");
    network.compact("b");
    network.split(["b", "c"], ["a"]);
    network.tick("c", ELECTION_TICKS);
    network.tick("b", ELECTION_TICKS);
    network.tick("b", ELECTION_TICKS);
    expect(network.status("b").role).toBe("leader");
    network.propose("b", "z");
    network.tick("b", 2);
    expect(network.sentOf("snapshot").filter(({ from }) => from === "b")).toHaveLength(1);
    expect(network.commands("c")).toEqual(["x", "y", "z"]);
  });
});

describe("a leader that waits for a snapshot to arrive", () => {
  /** `a` leads and remembers indexes 4 to 6 of a log whose snapshot ends at 5; it has told `c` to fetch that. */
  function waiting(): Consensus {
    const core = makeCore();
    elect(core);
    core.propose(["x", "y", "z", "w"]);
    drain(core);
    acknowledge(core, "b", 6);
    drain(core);
    core.compact(meta(5, 2), 3);
    core.step({ type: "append_answer", from: "c", to: "a", term: 2, ok: false, index: 0, hintTerm: 0 });
    expect(sentOf(drain(core), "snapshot")).toMatchObject([{ to: "c", meta: { index: 5 } }]);
    return core;
  }

  test("goes on as soon as the follower holds what the log can continue, though it is older than what was offered", () => {
    const core = waiting();
    acknowledge(core, "c", 3);
    expect(sentOf(drain(core), "append")).toMatchObject([
      { to: "c", prevIndex: 3, entries: [{ index: 4 }, { index: 5 }, { index: 6 }] },
    ]);
  });

  test("goes on waiting when what the follower holds is too old for that", () => {
    const core = waiting();
    acknowledge(core, "c", 2);
    core.propose(["v"]);
    expect(sentOf(drain(core), "append").filter(({ to }) => to === "c")).toEqual([]);
    expect(core.status().progress.get("c")).toMatchObject({ match: 2 });
  });

  test("is not led astray by refusals that come meanwhile", () => {
    const core = waiting();
    core.step({ type: "append_answer", from: "c", to: "a", term: 2, ok: false, index: 6, hintTerm: 2 });
    expect(drain(core).sent).toEqual([]);
  });

  test("counts the follower as alive", () => {
    const core = waiting();
    for (let i = 0; i < 3 * ELECTION_TICKS; i += 1) {
      core.tick();
      core.step({ type: "heartbeat_answer", from: "c", to: "a", term: 2, round: 0 });
      drain(core);
    }
    expect(core.status().role).toBe("leader");
  });
});

describe("a follower that fetches a snapshot", () => {
  const offer = { type: "snapshot", from: "b", to: "a", term: 4, meta: meta(9, 3) } as const;

  test("for a leader that is deposed meanwhile: installs it, and promises nothing to the new one", () => {
    const core = makeCore();
    core.step(offer);
    core.step({ type: "heartbeat", from: "c", to: "a", term: 5, commit: 0, round: 0 });
    drain(core);
    expect(core.installSnapshot(meta(9, 3))).toBe(true);
    const drained = drain(core);
    expect(drained.readies[0]).toMatchObject({ snapshot: { index: 9 } });
    expect(sentOf(drained, "append_answer")).toEqual([]);
  });

  test("takes appends that continue it at once, and answers when both are on disk", () => {
    const core = makeCore();
    core.step(offer);
    core.installSnapshot(meta(9, 3));
    const append = { type: "append", from: "b", to: "a", term: 4, prevIndex: 9, prevTerm: 3 } as const;
    core.step({ ...append, entries: [entry(10, 4)], commit: 10 });
    const ready = core.ready();
    expect(ready).toMatchObject({
      snapshot: { index: 9 },
      entries: [{ index: 10 }],
      committed: [],
      sendNow: [],
    });
    expect(ready.sendAfter.map(({ type }) => type)).toEqual(["append_answer", "append_answer"]);
    core.advance(ready);
    expect(drain(core).committed.map(({ index }) => index)).toEqual([10]);
  });

  test("which the log overtakes: the body is thrown away when it comes", () => {
    const core = makeCore();
    core.step({ ...offer, meta: meta(3, 2) });
    const append = { type: "append", from: "b", to: "a", term: 4, prevIndex: 1, prevTerm: 1 } as const;
    core.step({ ...append, entries: [entry(2, 2), entry(3, 2), entry(4, 4)], commit: 4 });
    drain(core);
    expect(core.installSnapshot(meta(3, 2))).toBe(false);
    expect(core.status()).toMatchObject({ commit: 4, lastIndex: 4 });
  });

  test("from a leader of an earlier term: is told the later one, and nothing is noted", () => {
    const core = makeCore({ term: 6 });
    core.step(offer);
    expect(drain(core).sent).toMatchObject([{ type: "append_answer", term: 6, ok: false }]);
    expect(core.status()).toMatchObject({ leader: null, term: 6 });
  });

  test("while it campaigns: the offer of its term's leader ends that", () => {
    const core = makeCore({ term: 4 });
    ticks(core, ELECTION_TICKS);
    core.step(offer);
    expect(core.status()).toMatchObject({ role: "follower", leader: "b", term: 4 });
  });
});
