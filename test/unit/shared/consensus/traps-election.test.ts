import { describe, expect, test } from "vitest";

import type { Consensus, Role } from "#shared/consensus/ready.ts";

import { ELECTION_TICKS, drain, elect, entry, makeCore, sentOf, ticks } from "./bench.ts";
import { Network } from "./network.ts";

// Traps around elections that others have met, replayed as traces; docs/TESTING.md maps them to the scenarios of etcd's raft.

const three = (): Network => new Network({ a: {}, b: {}, c: {} });

/** A core in each of the four roles, in term 5, and in the term before it campaigned if it does not campaign. */
function inRole(role: Role): Consensus {
  if (role === "follower") return makeCore({ term: 5 });
  if (role === "pre_candidate") {
    const core = makeCore({ term: 5 });
    ticks(core, ELECTION_TICKS);
    drain(core);
    return core;
  }
  const core = makeCore({ term: 4 });
  if (role === "leader") {
    elect(core);
    return core;
  }
  ticks(core, ELECTION_TICKS);
  core.step({ type: "pre_vote_answer", from: "b", to: "a", term: 4, granted: true, asked: 5 });
  drain(core);
  return core;
}

const ROLES: readonly Role[] = ["follower", "pre_candidate", "candidate", "leader"];

describe("a first election", () => {
  test("one term more, one leader, its no-op on every disk and committed", () => {
    const network = three();
    network.elect("a");
    for (const id of network.ids) {
      expect(network.status(id)).toMatchObject({ term: 2, leader: "a", commit: 2, lastIndex: 2 });
    }
  });

  test("leadership goes round: each member can take it over from the one before", () => {
    const network = new Network({ a: {}, b: {}, c: {} }, { common: { random: () => 0.5 } });
    let term = 1;
    for (const next of ["a", "b", "c", "a"]) {
      for (const old of network.leaders) {
        network.isolate(old);
        network.tick(old, ELECTION_TICKS);
        network.heal();
      }
      for (const id of network.ids) ticks(network.core(id), ELECTION_TICKS);
      network.tick(next, ELECTION_TICKS / 2);
      term += 1;
      expect(network.leaders).toEqual([next]);
      for (const id of network.ids) expect(network.status(id)).toMatchObject({ term, leader: next });
    }
  });

  test("an election timeout is drawn anew each time, from one to two times the shortest", () => {
    const draws = [0, 0.999, 0.5, 0];
    const core = makeCore({ random: () => draws.shift() ?? 0 });
    const waited = [0, 1, 2].map(() => {
      let count = 0;
      do {
        core.tick();
        count += 1;
      } while (sentOf(drain(core), "pre_vote").length === 0);
      return count;
    });
    expect(waited).toEqual([ELECTION_TICKS, 2 * ELECTION_TICKS - 1, 1.5 * ELECTION_TICKS]);
  });
});

describe("a log that is behind", () => {
  function lagging(): Network {
    const network = three();
    network.elect("a");
    network.split(["a", "c"], ["b"]);
    network.propose("a", "foo");
    network.split(["b", "c"], ["a"]);
    network.tick("c", ELECTION_TICKS - 1);
    return network;
  }

  test("loses each time it asks, and no term is spent on it", () => {
    const network = lagging();
    for (let i = 0; i < 5; i += 1) {
      network.tick("b", ELECTION_TICKS);
      expect(network.status("b")).toMatchObject({ term: 2 });
      expect(network.status("b").role).not.toBe("leader");
    }
    expect(network.sentOf("vote")).toEqual([]);
  });

  test("does not keep the member with the longer log from winning", () => {
    const network = lagging();
    network.tick("b", ELECTION_TICKS);
    network.tick("c", ELECTION_TICKS);
    expect(network.status("c").role).toBe("leader");
    expect(network.commands("b")).toEqual(["foo"]);
  });

  test("two that campaign: the shorter log comes back from its side of a split and follows, its term unchanged", () => {
    const network = three();
    network.elect("a");
    network.isolate("c");
    network.propose("a", "foo");
    network.tick("c", 5 * ELECTION_TICKS);
    expect(network.status("c")).toMatchObject({ role: "pre_candidate", term: 2 });
    network.heal();
    network.tickAll(ELECTION_TICKS);
    expect(network.leaders).toEqual(["a"]);
    expect(network.status("c")).toMatchObject({ role: "follower", leader: "a", term: 2 });
    expect(network.commands("c")).toEqual(["foo"]);
  });
});

describe("pre-vote and check-quorum together", () => {
  test("a member that nobody could hear for a long time disturbs nobody when it is back", () => {
    const network = three();
    network.elect("a");
    network.isolate("c");
    for (let i = 0; i < 10 * ELECTION_TICKS; i += 1) network.tickAll();
    network.heal();
    network.tick("c", ELECTION_TICKS);
    network.tickAll(2 * ELECTION_TICKS);
    for (const id of network.ids) expect(network.status(id)).toMatchObject({ term: 2, leader: "a" });
  });

  test("one that can send but not hear asks for ever and gets nothing", () => {
    const network = three();
    network.elect("a");
    network.lose(({ to }) => to === "c");
    network.tickAll(5 * ELECTION_TICKS);
    expect(network.sentOf("pre_vote").length).toBeGreaterThan(4);
    expect(network.leaders).toEqual(["a"]);
    expect(network.status("b")).toMatchObject({ term: 2, leader: "a" });
  });

  test("a leader that can send but not hear gives up, so that its heartbeats do not hold the others for ever", () => {
    const network = three();
    network.elect("a");
    network.lose(({ to }) => to === "a");
    network.tickAll(4 * ELECTION_TICKS);
    const [next = "none", ...others] = network.leaders;
    expect(others).toEqual([]);
    expect(["b", "c"]).toContain(next);
    const { term } = network.status(next);
    network.tickAll(4 * ELECTION_TICKS);
    expect(network.leaders).toEqual([next]);
    expect(network.status(next).term).toBe(term);
  });

  test("a leader that is cut off gives up, the others elect, and it follows when it is back", () => {
    const network = three();
    network.elect("a");
    network.isolate("a");
    expect(network.core("a").propose(["lost"]).ok).toBe(true);
    network.tickAll(2 * ELECTION_TICKS);
    expect(network.status("a")).toMatchObject({ role: "follower", leader: null, term: 2 });
    expect(network.core("a").propose(["refused"])).toMatchObject({ ok: false, reason: "not_leader" });
    const [next = "none"] = network.leaders;
    network.propose(next, "kept");
    network.heal();
    network.tickAll(2 * ELECTION_TICKS);
    expect(network.leaders).toEqual([next]);
    for (const id of network.ids) expect(network.commands(id)).toEqual(["kept"]);
  });

  test("voters that lost the leader elect one of them, though the leader still hears them", () => {
    const network = three();
    network.elect("a");
    network.lose(({ from }) => from === "a");
    network.tick("b", ELECTION_TICKS);
    expect(network.status("b").role).toBe("pre_candidate");
    expect(network.status("c").leader).toBe("a");
    network.tick("c", ELECTION_TICKS);
    expect(network.status("c")).toMatchObject({ role: "leader", term: 3 });
    network.heal();
    network.tickAll(2);
    expect(network.leaders).toEqual(["c"]);
  });

  test("a split vote is not repeated: timeouts differ, and the next round has a winner", () => {
    const draws: Record<string, number[]> = { b: [0, 0.1], c: [0, 0.9] };
    const drawing = (id: string): { random: () => number } => ({ random: () => draws[id]?.shift() ?? 0.5 });
    const network = new Network({ a: {}, b: drawing("b"), c: drawing("c") });
    network.isolate("a");
    for (const id of ["b", "c"]) ticks(network.core(id), ELECTION_TICKS);
    network.settle();
    expect(network.sentOf("vote").filter(({ from, to }) => from !== "a" && to !== "a")).toHaveLength(2);
    expect(network.leaders).toEqual([]);
    for (let i = 0; i < 3 * ELECTION_TICKS && network.leaders.length === 0; i += 1) {
      network.tick("b");
      network.tick("c");
    }
    expect(network.leaders).toHaveLength(1);
  });

  test("a member with a lower term takes part in the next election, as voter and as candidate", () => {
    for (const [dead, winner] of [
      ["a", "b"],
      ["b", "c"],
    ] as const) {
      const network = new Network({ a: { term: 7 }, b: { term: 7 }, c: { term: 2 } });
      network.isolate(dead);
      network.tick(winner, ELECTION_TICKS);
      network.tick(winner, 2 * ELECTION_TICKS);
      expect(network.status(winner)).toMatchObject({ role: "leader", term: 8 });
    }
  });

  test("a candidate that is ahead in terms but has no votes is freed: the leader learns its term, and one election ends it", () => {
    const network = three();
    network.elect("a");
    network.lose(({ from, type }) => from === "c" && type === "vote");
    network.core("c").step({ type: "timeout_now", from: "a", to: "c", term: 2 });
    network.settle();
    expect(network.status("c")).toMatchObject({ role: "candidate", term: 3 });
    network.heal();
    network.tickAll(4 * ELECTION_TICKS);
    expect(network.leaders).toHaveLength(1);
    const [leader] = network.leaders;
    const { term } = network.status("a");
    for (const id of network.ids) expect(network.status(id)).toMatchObject({ leader, term });
    expect(term).toBeLessThan(6);
  });
});

describe("what each role does with a higher term", () => {
  test.each(ROLES)(
    "a %s votes when an election was asked for by the leader, and follows the term",
    (role) => {
      const core = inRole(role);
      expect(core.status()).toMatchObject({ role, term: 5 });
      core.step({ type: "vote", from: "c", to: "a", term: 9, lastIndex: 9, lastTerm: 8, transfer: true });
      expect(sentOf(drain(core), "vote_answer")).toMatchObject([{ to: "c", term: 9, granted: true }]);
      expect(core.status()).toMatchObject({ role: "follower", term: 9, vote: "c" });
    },
  );

  test.each(ROLES)("a %s is asked for a vote that nobody ordered: only a leader does not listen", (role) => {
    const core = inRole(role);
    core.step({ type: "vote", from: "c", to: "a", term: 9, lastIndex: 9, lastTerm: 8, transfer: false });
    const granted = sentOf(drain(core), "vote_answer").some((answer) => answer.granted);
    expect(granted).toBe(role !== "leader");
    expect(core.status().term).toBe(role === "leader" ? 5 : 9);
  });

  test.each(ROLES)("a %s answers a pre-vote and stays what it is; only a leader refuses", (role) => {
    const core = inRole(role);
    core.step({ type: "pre_vote", from: "c", to: "a", term: 9, lastIndex: 9, lastTerm: 8 });
    expect(sentOf(drain(core), "pre_vote_answer")).toMatchObject([{ granted: role !== "leader", term: 5 }]);
    expect(core.status()).toMatchObject({ role, term: 5 });
  });

  test.each(ROLES)("a %s gives way to a leader of a later term, by append and by heartbeat", (role) => {
    for (const kind of ["append", "heartbeat"] as const) {
      const core = inRole(role);
      const head = { from: "c", to: "a", term: 6, commit: 0 } as const;
      core.step(
        kind === "append"
          ? { type: kind, ...head, prevIndex: 1, prevTerm: 1, entries: [entry(2, 6)] }
          : { type: kind, ...head, round: 0 },
      );
      expect(core.status()).toMatchObject({ role: "follower", term: 6, leader: "c", vote: null });
    }
  });

  test.each(["pre_candidate", "candidate"] as const)("a %s gives way to a leader of its own term", (role) => {
    const core = inRole(role);
    core.step({ type: "heartbeat", from: "c", to: "a", term: 5, commit: 0, round: 0 });
    expect(core.status()).toMatchObject({ role: "follower", term: 5, leader: "c" });
  });
});

describe("votes and the disk", () => {
  test("a candidate that lost while its own vote was being saved does not count it afterwards", () => {
    const core = makeCore({ term: 4 });
    ticks(core, ELECTION_TICKS);
    drain(core);
    core.step({ type: "pre_vote_answer", from: "b", to: "a", term: 4, granted: true, asked: 5 });
    const saving = core.ready();
    core.step({ type: "vote_answer", from: "b", to: "a", term: 5, granted: true });
    core.step({ type: "heartbeat", from: "c", to: "a", term: 5, commit: 0, round: 0 });
    core.advance(saving);
    expect(core.status()).toMatchObject({ role: "follower", term: 5, leader: "c" });
  });

  test("a vote of an earlier term that reaches the disk late is no vote in the next one", () => {
    const core = makeCore({ term: 4 });
    core.step({ type: "timeout_now", from: "b", to: "a", term: 4 });
    const saving = core.ready();
    core.step({ type: "timeout_now", from: "b", to: "a", term: 5 });
    core.step({ type: "vote_answer", from: "b", to: "a", term: 6, granted: true });
    core.advance(saving);
    expect(core.status()).toMatchObject({ role: "candidate", term: 6 });
    drain(core);
    expect(core.status()).toMatchObject({ role: "leader", term: 6 });
  });

  test("its own pre-vote is no vote", () => {
    const core = makeCore({ voters: ["a", "b", "c", "d", "e"], term: 4 });
    ticks(core, ELECTION_TICKS);
    drain(core);
    for (const from of ["b", "c"]) {
      core.step({ type: "pre_vote_answer", from, to: "a", term: 4, granted: true, asked: 5 });
    }
    drain(core);
    core.step({ type: "pre_vote_answer", from: "d", to: "a", term: 4, granted: true, asked: 5 });
    core.step({ type: "vote_answer", from: "b", to: "a", term: 5, granted: true });
    expect(core.status().role).toBe("candidate");
    core.step({ type: "vote_answer", from: "c", to: "a", term: 5, granted: true });
    expect(core.status().role).toBe("leader");
  });
});
