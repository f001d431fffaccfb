import { describe, expect, test } from "vitest";

import { RaftCore } from "#shared/consensus/core.ts";
import type { VoterConfig } from "#shared/consensus/messages.ts";

import { ELECTION_TICKS, acknowledge, configEntry, drain, elect, makeCore, sentOf, ticks } from "./bench.ts";
import { Network } from "./network.ts";

// Traps around changes of members. Here a configuration holds as soon as it is in the log (§4.1), not when it is applied.

/** Asks for a change at a member that leads, and lets everybody handle it. */
function change(
  network: Network,
  leader: string,
  voters: readonly string[],
  learners: readonly string[] = [],
): void {
  expect(network.core(leader).changeConfig({ voters, learners })).toMatchObject({ ok: true });
  network.settle();
}

function expectSettled(network: Network, ids: readonly string[], voters: readonly string[]): void {
  for (const id of ids) expect(network.status(id).config, id).toMatchObject({ voters, outgoing: [] });
}

describe("growing", () => {
  test("one by one: an agent that holds nothing becomes a learner by snapshot, then a voter, then can lead", () => {
    const network = new Network({ a: { voters: ["a"] } }, { joiners: ["b"] });
    network.tick("a");
    network.propose("a", "x");
    network.compact("a");
    change(network, "a", ["a"], ["b"]);
    network.tick("a", 2);
    expect(network.sentOf("snapshot")).toMatchObject([{ to: "b" }]);
    expect(network.commands("b")).toEqual(["x"]);
    change(network, "a", ["a", "b"]);
    expectSettled(network, ["a", "b"], ["a", "b"]);
    network.propose("a", "y");
    expect(network.core("a").transferTo("b")).toBe(true);
    network.settle();
    expect(network.leaders).toEqual(["b"]);
    expect(network.commands("b")).toEqual(["x", "y"]);
  });

  test("by two at once: through a joint configuration that ends by itself, without one more request", () => {
    const network = new Network({ a: { voters: ["a"] } }, { joiners: ["b", "c"] });
    network.tick("a");
    change(network, "a", ["a", "b", "c"]);
    network.tick("a", 3);
    expectSettled(network, ["a", "b", "c"], ["a", "b", "c"]);
    expect(network.status("c").commit).toBe(network.status("a").lastIndex);
  });

  test("two new voters cannot elect one of themselves while the old one has not agreed", () => {
    const network = new Network({ a: {}, b: {}, c: {} }, { common: { voters: ["a"], learners: ["b", "c"] } });
    network.tick("a");
    network.lose(({ type }) => type === "append_answer");
    change(network, "a", ["a", "b", "c"]);
    network.isolate("a");
    for (const id of ["b", "c", "b", "c"]) network.tick(id, 2 * ELECTION_TICKS);
    expect(network.leaders).toEqual(["a"]);
    for (const id of ["b", "c"]) {
      expect(network.status(id)).toMatchObject({ term: 2, leader: null, config: { outgoing: ["a"] } });
    }
  });

  test("a voter that is new counts as heard: the leader does not step down before it could answer", () => {
    const core = makeCore({ voters: ["a"] });
    ticks(core, 1);
    drain(core);
    ticks(core, ELECTION_TICKS - 1);
    expect(core.changeConfig({ voters: ["a", "b"], learners: [] }).ok).toBe(true);
    ticks(core, ELECTION_TICKS);
    expect(core.status().role).toBe("leader");
    ticks(core, ELECTION_TICKS);
    expect(core.status().role).toBe("follower");
  });

  test("a voter that does not know of its promotion votes nevertheless, or nobody could win", () => {
    const network = new Network({ a: {}, b: {}, l: {} }, { common: { voters: ["a", "b"], learners: ["l"] } });
    network.elect("a");
    network.lose(({ to, type }) => to === "l" && type === "append");
    change(network, "a", ["a", "b", "l"]);
    expect(network.status("l").config.learners).toEqual(["l"]);
    network.isolate("a");
    ticks(network.core("l"), ELECTION_TICKS);
    network.tick("b", ELECTION_TICKS);
    expect(network.status("b")).toMatchObject({ role: "leader", config: { voters: ["a", "b", "l"] } });
    network.tick("b");
    expect(network.status("l")).toMatchObject({ leader: "b", config: { voters: ["a", "b", "l"] } });
  });
});

describe("shrinking", () => {
  test("what a dead voter held up is committed by its removal", () => {
    const network = new Network({ a: {}, b: {} }, { common: { voters: ["a", "b"] } });
    network.elect("a");
    network.isolate("b");
    network.propose("a", "held up");
    expect(network.commands("a")).toEqual([]);
    change(network, "a", ["a"]);
    expect(network.commands("a")).toEqual(["held up"]);
    expect(network.status("a")).toMatchObject({ role: "leader", commit: 4 });
    network.tick("a", 3 * ELECTION_TICKS);
    expect(network.leaders).toEqual(["a"]);
  });

  test("a removed member that is back, and knows nothing of it, disturbs nobody", () => {
    const network = new Network({ a: {}, b: {}, c: {} });
    network.elect("a");
    network.isolate("c");
    change(network, "a", ["a", "b"]);
    network.heal();
    network.tickAll(5 * ELECTION_TICKS);
    expect(network.leaders).toEqual(["a"]);
    expect(network.status("a").term).toBe(2);
    expect(network.sentOf("pre_vote").length).toBeGreaterThan(4);
    expect(network.status("c")).toMatchObject({ term: 2, leader: null });
  });

  test("voters that become learners in one change vote until it is over, and keep their place in the log", () => {
    const network = new Network({ a: {}, b: {}, c: {} });
    network.elect("a");
    network.isolate("a");
    expect(network.core("a").changeConfig({ voters: ["a"], learners: ["b", "c"] }).ok).toBe(true);
    network.settle();
    expect(network.status("a")).toMatchObject({ commit: 2, config: { outgoing: ["a", "b", "c"] } });
    network.split(["a", "b"], ["c"]);
    network.tick("a", 2);
    expect(network.status("a")).toMatchObject({ commit: 4, config: { voters: ["a"], outgoing: [] } });
    network.heal();
    network.tick("a", 2);
    network.propose("a", "x");
    for (const id of network.ids) expect(network.commands(id)).toEqual(["x"]);
    network.isolate("a");
    for (const id of ["b", "c"]) network.tick(id, 2 * ELECTION_TICKS);
    expect(network.leaders).toEqual(["a"]);
    expect(network.sentOf("pre_vote")).toEqual([]);
  });

  test("a voter that a snapshot makes a learner campaigns no more", () => {
    const core = makeCore();
    const config: VoterConfig = { voters: ["b", "c"], outgoing: [], learners: ["a"] };
    expect(core.installSnapshot({ index: 9, term: 3, config })).toBe(true);
    drain(core);
    ticks(core, 3 * ELECTION_TICKS);
    expect(core.status()).toMatchObject({ role: "follower", config });
  });
});

describe("a leader that leaves", () => {
  test.each([
    { what: "removed", learners: [] },
    { what: "made a learner", learners: ["a"] },
  ])(
    "$what: its own disk counts no more, it steps down, another leads at once, nothing is lost",
    ({ learners }) => {
      const network = new Network({ a: {}, b: {}, c: {} });
      network.elect("a");
      network.isolate("c");
      network.core("a").changeConfig({ voters: ["b", "c"], learners });
      network.core("a").propose(["foo"]);
      network.settle();
      expect(network.status("a")).toMatchObject({ role: "leader", commit: 2 });
      network.core("a").propose(["bar"]);
      network.heal();
      network.tick("a", 2);
      expect(network.status("a").role).toBe("follower");
      const [heir = "none"] = network.leaders;
      expect(["b", "c"]).toContain(heir);
      for (const id of ["b", "c"]) expect(network.commands(id)).toEqual(["foo", "bar"]);
      expect(network.core("a").propose(["baz"])).toMatchObject({ ok: false, reason: "not_leader" });
      network.core("a").step({ type: "timeout_now", from: heir, to: "a", term: network.status("a").term });
      ticks(network.core("a"), 3 * ELECTION_TICKS);
      expect(network.status("a").role).toBe("follower");
      network.tick(heir, 2);
      expect(network.status("a").leader).toBe(learners.length > 0 ? heir : null);
    },
  );

  test("of two: the other one alone decides, and leads alone", () => {
    const network = new Network({ a: {}, b: {} }, { common: { voters: ["a", "b"] } });
    network.elect("a");
    network.isolate("b");
    network.core("a").changeConfig({ voters: ["b"], learners: [] });
    network.settle();
    expect(network.status("a")).toMatchObject({ role: "leader", commit: 2 });
    network.heal();
    network.tick("a", 2);
    expect(network.leaders).toEqual(["b"]);
    expect(network.status("b")).toMatchObject({ config: { voters: ["b"] } });
  });

  test("replaced in one change: the others lead on, the newcomer votes, the old leader is out", () => {
    const network = new Network({ a: {}, b: {}, c: {} }, { joiners: ["d"] });
    network.elect("a");
    network.propose("a", "x");
    change(network, "a", ["b", "c", "d"]);
    network.tick("a", 3);
    const [leader = "none", ...others] = network.leaders;
    expect(others).toEqual([]);
    expect(leader).not.toBe("a");
    network.tick(leader, 3);
    expectSettled(network, ["b", "c", "d"], ["b", "c", "d"]);
    expect(network.commands("d")).toEqual(["x"]);
    network.tickAll(3 * ELECTION_TICKS);
    expect(network.leaders).toEqual([leader]);
  });
});

describe("a change that its leader cannot finish", () => {
  /** `a` has appended the joint configuration from a, b, c to b, c, d; everybody holds it, and `a` does not know. */
  function joint(): Network {
    const network = new Network({ a: {}, b: {}, c: {}, d: {} });
    network.elect("a");
    change(network, "a", ["a", "b", "c"], ["d"]);
    network.tick("a", 2);
    network.lose(({ type, to }) => type === "append_answer" && to === "a");
    change(network, "a", ["b", "c", "d"]);
    for (const id of network.ids) expect(network.status(id).config.outgoing, id).toEqual(["a", "b", "c"]);
    return network;
  }

  test("the next leader leaves the joint configuration that it found", () => {
    const network = joint();
    network.isolate("a");
    ticks(network.core("c"), ELECTION_TICKS - 1);
    network.tick("b", ELECTION_TICKS);
    network.tick("c");
    const [, leader = "none"] = network.leaders;
    network.tick(leader, 3);
    expectSettled(network, ["b", "c", "d"], ["b", "c", "d"]);
    network.propose(leader, "x");
    expect(network.commands("d")).toEqual(["x"]);
    network.heal();
    network.tickAll(3 * ELECTION_TICKS);
    expect(network.leaders).toEqual([leader]);
  });

  test("no further change begins before it is over", () => {
    const network = joint();
    expect(network.core("a").changeConfig({ voters: ["a"], learners: [] })).toEqual({
      ok: false,
      reason: "change_in_progress",
    });
  });

  test("leadership may go to a newcomer in the middle of it, and it finishes the change", () => {
    const network = joint();
    expect(network.core("a").transferTo("d")).toBe(true);
    network.lose(({ type, from, to }) => type === "append_answer" && to === "a" && from !== "d");
    network.tick("a", 2);
    expect(network.leaders).toEqual(["d"]);
    network.heal();
    network.tick("d", 3);
    expect(network.leaders).toEqual(["d"]);
    expectSettled(network, ["b", "c", "d"], ["b", "c", "d"]);
  });

  test("a new leader that found an uncommitted change takes no other before both it and its own no-op are committed", () => {
    const core = makeCore({ term: 2 });
    const entries = [configEntry(2, 2, { voters: ["a", "b"] })];
    core.step({ type: "append", from: "b", to: "a", term: 2, prevIndex: 1, prevTerm: 1, entries, commit: 1 });
    drain(core);
    elect(core);
    const target = { voters: ["a", "b", "c"], learners: [] };
    expect(core.status()).toMatchObject({ role: "leader", configIndex: 2, commit: 1 });
    expect(core.changeConfig(target).ok).toBe(false);
    acknowledge(core, "b", 2);
    expect(core.changeConfig(target)).toMatchObject({ reason: "no_entry_of_this_term_committed" });
    acknowledge(core, "b", 3);
    expect(core.changeConfig(target)).toMatchObject({ ok: true });
  });

  test("a joint configuration from a snapshot counts in full, and its next leader leaves it", () => {
    const config: VoterConfig = { voters: ["a", "b", "c"], outgoing: ["a", "d", "e"], learners: [] };
    const core = new RaftCore(
      { id: "a", electionTicks: ELECTION_TICKS, heartbeatTicks: 1, random: () => 0 },
      {
        hardState: { term: 3, vote: null, commit: 9 },
        snapshot: { index: 9, term: 3, config },
        entries: [],
        applied: 9,
      },
    );
    ticks(core, ELECTION_TICKS);
    expect(sentOf(drain(core), "pre_vote").map(({ to }) => to)).toEqual(["b", "c", "d", "e"]);
    for (const from of ["b", "c"]) {
      core.step({ type: "pre_vote_answer", from, to: "a", term: 3, granted: true, asked: 4 });
    }
    expect(core.status().role).toBe("pre_candidate");
    elect(core, ["b", "d"]);
    expect(core.status().role).toBe("leader");
    acknowledge(core, "b", 10);
    expect(core.status().commit).toBe(9);
    acknowledge(core, "d", 10);
    expect(core.status()).toMatchObject({ commit: 10, config: { voters: ["a", "b", "c"], outgoing: [] } });
  });
});
