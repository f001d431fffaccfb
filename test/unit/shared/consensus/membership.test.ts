import { describe, expect, test } from "vitest";

import { planChange } from "#shared/consensus/config-change.ts";
import { quorumReached, tally } from "#shared/consensus/quorum.ts";

import { acknowledge, configEntry, drain, elect, entry, makeCore, sentOf } from "./bench.ts";

const settled = { voters: ["a", "b", "c"], outgoing: [], learners: ["l"] };

describe("§4.1, §4.3 which configuration comes next", () => {
  test.each([
    { what: "one voter more", voters: ["a", "b", "c", "d"], learners: ["l"], outgoing: [] },
    { what: "one voter fewer", voters: ["a", "b"], learners: ["l"], outgoing: [] },
    { what: "learners only", voters: ["a", "b", "c"], learners: [], outgoing: [] },
    { what: "one replaced", voters: ["a", "b", "d"], learners: [], outgoing: ["a", "b", "c"] },
    { what: "two fewer", voters: ["a"], learners: ["b", "c"], outgoing: ["a", "b", "c"] },
  ])("$what", ({ voters, learners, outgoing }) => {
    expect(planChange(settled, { voters, learners })).toEqual({ voters, learners, outgoing });
  });

  test("nobody would vote, or nothing would change", () => {
    expect(planChange(settled, { voters: [], learners: ["a"] })).toBe("no_voters");
    expect(planChange(settled, { voters: ["c", "b", "a", "a"], learners: ["l", "a"] })).toBe("unchanged");
  });
});

describe("§4.3 both majorities of a joint configuration", () => {
  const joint = { voters: ["a", "b", "c"], outgoing: ["c", "d", "e"], learners: [] };
  test.each([
    { has: ["a", "b", "c"], won: false },
    { has: ["c", "d", "e"], won: false },
    { has: ["a", "c", "d"], won: true },
    { has: ["a", "b", "d", "e"], won: true },
    { has: ["c"], won: false },
  ])("$has: $won", ({ has, won }) => {
    expect(quorumReached(joint, (member) => (has.includes(member) ? 1 : 0))).toBe(won ? 1 : 0);
    expect(tally(joint, new Map(has.map((member) => [member, true])))).toBe(won ? "won" : "open");
  });

  test("an election is lost when one of the two majorities is out of reach", () => {
    const votes = new Map([
      ["a", true],
      ["b", true],
      ["d", false],
      ["e", false],
    ]);
    expect(tally(joint, votes)).toBe("lost");
  });
});

describe("a change of members", () => {
  test("holds as soon as it is appended, and goes through a joint configuration that the leader leaves by itself", () => {
    const core = makeCore({ voters: ["a"] });
    core.tick();
    drain(core);
    expect(core.changeConfig({ voters: ["a", "b", "c"], learners: [] })).toEqual({ ok: true, index: 3 });
    expect(core.status()).toMatchObject({
      configIndex: 3,
      config: { voters: ["a", "b", "c"], outgoing: ["a"] },
    });
    drain(core);
    expect(core.status().commit).toBe(2);
    acknowledge(core, "b", 3);
    expect(core.status()).toMatchObject({ commit: 3, configIndex: 4, config: { outgoing: [] } });
    expect(core.changeConfig({ voters: ["a"], learners: [] })).toMatchObject({
      reason: "change_in_progress",
    });
    drain(core);
    acknowledge(core, "c", 4);
    expect(core.status().commit).toBe(4);
    drain(core);
    expect(core.appliedConfig()).toEqual({ voters: ["a", "b", "c"], outgoing: [], learners: [] });
  });

  test("a joint configuration is not left before it is committed", () => {
    const core = makeCore({ voters: ["a"] });
    core.tick();
    drain(core);
    core.propose(["before"]);
    core.changeConfig({ voters: ["a", "b", "c"], learners: [] });
    drain(core);
    acknowledge(core, "b", 3);
    expect(core.status()).toMatchObject({ commit: 3, configIndex: 4, config: { outgoing: ["a"] } });
  });

  test("waits for an entry of the leader's own term to be committed (correction of 2015)", () => {
    const core = makeCore();
    elect(core);
    const target = { voters: ["a", "b"], learners: [] };
    expect(core.changeConfig(target)).toEqual({ ok: false, reason: "no_entry_of_this_term_committed" });
    acknowledge(core, "b", 2);
    expect(core.changeConfig(target).ok).toBe(true);
  });

  test("one at a time", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    expect(core.changeConfig({ voters: ["a", "b"], learners: [] }).ok).toBe(true);
    const second = core.changeConfig({ voters: ["a"], learners: [] });
    expect(second).toEqual({ ok: false, reason: "change_in_progress" });
  });

  test("is undone when its entry is truncated", () => {
    const core = makeCore();
    const append = { type: "append", from: "b", to: "a", prevIndex: 1, prevTerm: 1, commit: 1 } as const;
    core.step({ ...append, term: 2, entries: [configEntry(2, 2, { voters: ["b"] })] });
    expect(core.status().config.voters).toEqual(["b"]);
    core.step({ ...append, from: "c", term: 3, entries: [entry(2, 3)] });
    expect(core.status()).toMatchObject({ configIndex: 1, config: { voters: ["a", "b", "c"] } });
  });

  test("a leader that is removed steps down once that is committed, and asks the furthest voter to take over", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    acknowledge(core, "c", 2);
    core.changeConfig({ voters: ["b", "c"], learners: [] });
    drain(core);
    acknowledge(core, "c", 3);
    expect(core.status().role).toBe("leader");
    acknowledge(core, "b", 3);
    const drained = drain(core);
    expect(core.status()).toMatchObject({ role: "follower", commit: 3, leader: null });
    expect(sentOf(drained, "timeout_now")).toHaveLength(1);
    expect(sentOf(drained, "commit").map(({ commit }) => commit)).toEqual([3, 3]);
  });
});
