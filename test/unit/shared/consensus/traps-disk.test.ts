import { describe, expect, test } from "vitest";

import { acknowledge, drain, elect, entry, makeCore, sentOf } from "./bench.ts";

// Traps between memory and disk: what changes while it is being saved, and what a disk forgets.

describe("what a disk does late", () => {
  test("a leader applies what the others committed only when its own disk has it", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    drain(core);
    core.propose(["x"]);
    const saving = core.ready();
    acknowledge(core, "b", 3);
    acknowledge(core, "c", 3);
    expect(core.status()).toMatchObject({ commit: 3, applied: 2 });
    expect(saving.committed).toEqual([]);
    core.advance(saving);
    expect(drain(core).committed).toMatchObject([{ data: "x" }]);
  });

  test("an entry replaced twice while its first form is being saved: only the last one is saved, promised and applied", () => {
    const core = makeCore();
    const append = { type: "append", to: "a", prevIndex: 1, prevTerm: 1, commit: 1 } as const;
    core.step({ ...append, from: "b", term: 2, entries: [entry(2, 2)] });
    const first = core.ready();
    core.step({ ...append, from: "c", term: 3, entries: [entry(2, 3)] });
    core.step({ type: "heartbeat", from: "b", to: "a", term: 4, commit: 1, round: 0 });
    core.step({ ...append, from: "b", term: 4, entries: [entry(2, 4)] });
    core.advance(first);
    core.step({ type: "commit", from: "b", to: "a", term: 4, commit: 2 });
    const second = core.ready();
    expect(second).toMatchObject({ truncateFrom: 2, entries: [{ index: 2, term: 4 }], committed: [] });
    expect(second.hardState).toMatchObject({ term: 4 });
    core.advance(second);
    expect(drain(core).committed).toMatchObject([{ index: 2, term: 4 }]);
  });

  test("a leader that is deposed while its entry is being saved does not count it as its own afterwards", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    drain(core);
    core.propose(["x"]);
    const saving = core.ready();
    const append = { type: "append", from: "b", to: "a", term: 3, prevIndex: 2, prevTerm: 2 } as const;
    core.step({ ...append, entries: [entry(3, 3, "y")], commit: 3 });
    core.advance(saving);
    const { readies, committed } = drain(core);
    expect(readies[0]).toMatchObject({ truncateFrom: 3, entries: [{ data: "y" }], committed: [] });
    expect(committed.map(({ data }) => data)).toEqual(["y"]);
  });

  test("a follower whose disk lost what it had promised neither stops nor invents; committed entries fed to it repair it", () => {
    const leader = makeCore({ voters: ["a", "b"] });
    elect(leader);
    leader.propose(["x", "y"]);
    drain(leader);
    acknowledge(leader, "b", 4);
    drain(leader);
    const follower = makeCore({ id: "b", voters: ["a", "b"], term: 2, vote: "a" });
    leader.tick();
    for (const message of drain(leader).sent) follower.step(message);
    expect(follower.status()).toMatchObject({ commit: 1, lastIndex: 1 });
    drain(follower);
    expect(follower.feed(leader.committedFrom(2, 1e6) ?? [], leader.status().commit)).toBe("taken");
    expect(drain(follower).committed.map(({ data }) => data)).toEqual(["", "x", "y"]);
    leader.propose(["z"]);
    for (const message of drain(leader).sent) follower.step(message);
    expect(sentOf(drain(follower), "append_answer")).toMatchObject([{ ok: true, index: 5 }]);
  });
});
