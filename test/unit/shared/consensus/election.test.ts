import { describe, expect, test } from "vitest";

import { ELECTION_TICKS, acknowledge, configEntry, drain, elect, makeCore, sentOf, ticks } from "./bench.ts";

const from = "b";
const to = "a";

describe("§3.4 leader election", () => {
  test("a follower that hears nobody asks for pre-votes and keeps its term (§9.6)", () => {
    const core = makeCore({ term: 4 });
    ticks(core, ELECTION_TICKS);
    const asked = sentOf(drain(core), "pre_vote");
    expect(asked.map(({ to, term }) => [to, term])).toEqual([
      ["b", 5],
      ["c", 5],
    ]);
    expect(core.status()).toMatchObject({ role: "pre_candidate", term: 4, vote: null });
  });

  test("a majority of pre-votes begins a term; its requests leave after term and vote are saved", () => {
    const core = makeCore({ term: 4 });
    ticks(core, ELECTION_TICKS);
    drain(core);
    core.step({ type: "pre_vote_answer", from, to, term: 4, granted: true, asked: 5 });
    const ready = core.ready();
    expect(ready).toMatchObject({ sendNow: [], mustSync: true, hardState: { term: 5, vote: "a" } });
    expect(ready.sendAfter.map(({ type }) => type)).toEqual(["vote", "vote"]);
  });

  test("a candidate whose own vote is not saved yet does not lead", () => {
    const core = makeCore({ term: 4 });
    ticks(core, ELECTION_TICKS);
    drain(core);
    core.step({ type: "pre_vote_answer", from, to, term: 4, granted: true, asked: 5 });
    const ready = core.ready();
    core.step({ type: "vote_answer", from: "b", to, term: 5, granted: true });
    core.step({ type: "vote_answer", from: "c", to, term: 5, granted: true });
    expect(core.status().role).toBe("candidate");
    core.advance(ready);
    expect(core.status().role).toBe("leader");
  });

  test("answers of those who do not vote, and repeated answers, do not count", () => {
    const core = makeCore({ voters: ["a", "b", "c", "d", "e"] });
    ticks(core, ELECTION_TICKS);
    drain(core);
    for (const voter of ["b", "b", "x", "y"]) {
      core.step({ type: "pre_vote_answer", from: voter, to, term: 1, granted: true, asked: 2 });
    }
    expect(core.status().role).toBe("pre_candidate");
  });

  test("a sole voter elects itself at the first tick, and leads once its vote is saved", () => {
    const core = makeCore({ voters: ["a"] });
    core.tick();
    const ready = core.ready();
    expect(ready.hardState).toMatchObject({ term: 2, vote: "a" });
    expect(core.status().role).toBe("candidate");
    core.advance(ready);
    const { committed } = drain(core);
    expect(committed.map(({ kind, term }) => [kind, term])).toEqual([["noop", 2]]);
  });

  test.each([
    { what: "learners", setup: { voters: ["b"], learners: ["a"] } },
    { what: "agents outside the configuration", setup: { voters: ["b"] } },
  ])("$what never campaign", ({ setup }) => {
    const core = makeCore(setup);
    ticks(core, 5 * ELECTION_TICKS);
    expect(core.hasReady()).toBe(false);
    expect(core.status().role).toBe("follower");
  });

  test("a voter that is leaving campaigns until the entry without it is committed (§4.2.2, figure 4.6)", () => {
    const core = makeCore({ voters: ["a", "b"], term: 2 });
    const entries = [configEntry(2, 2, { voters: ["b"] })];
    core.step({ type: "append", from, to, term: 2, prevIndex: 1, prevTerm: 1, entries, commit: 1 });
    drain(core);
    ticks(core, ELECTION_TICKS);
    expect(core.status().role).toBe("pre_candidate");
    core.step({ type: "heartbeat", from, to, term: 2, commit: 2, round: 0 });
    ticks(core, 3 * ELECTION_TICKS);
    expect(core.status().role).toBe("follower");
  });
});

describe("§3.6.1 whom to vote for", () => {
  const own = { log: [1, 2, 2], term: 2 };
  test.each([
    { lastTerm: 2, lastIndex: 4, granted: true, why: "the same log" },
    { lastTerm: 2, lastIndex: 5, granted: true, why: "a longer log" },
    { lastTerm: 3, lastIndex: 2, granted: true, why: "a later last term" },
    { lastTerm: 2, lastIndex: 3, granted: false, why: "a shorter log" },
    { lastTerm: 1, lastIndex: 9, granted: false, why: "an earlier last term" },
  ])("$why: $granted", ({ lastTerm, lastIndex, granted }) => {
    const core = makeCore(own);
    core.step({ type: "pre_vote", from, to, term: 3, lastIndex, lastTerm });
    core.step({ type: "vote", from, to, term: 3, lastIndex, lastTerm, transfer: false });
    const drained = drain(core);
    expect(sentOf(drained, "pre_vote_answer")).toMatchObject([{ granted, term: 2, asked: 3 }]);
    expect(sentOf(drained, "vote_answer")).toMatchObject([{ granted, term: 3 }]);
  });

  test("one vote in a term, also after a restart; the same candidate may ask again", () => {
    const request = { type: "vote", to, term: 3, lastIndex: 9, lastTerm: 2, transfer: false } as const;
    const core = makeCore({ term: 2 });
    core.step({ ...request, from: "b" });
    core.step({ ...request, from: "c" });
    core.step({ ...request, from: "b" });
    expect(sentOf(drain(core), "vote_answer").map(({ granted }) => granted)).toEqual([true, false, true]);
    const restarted = makeCore({ term: 3, vote: "b" });
    restarted.step({ ...request, from: "c" });
    expect(sentOf(drain(restarted), "vote_answer")).toMatchObject([{ granted: false }]);
  });

  test("a vote leaves after it is saved (figure 3.1)", () => {
    const core = makeCore();
    core.step({ type: "vote", from, to, term: 2, lastIndex: 1, lastTerm: 1, transfer: false });
    const ready = core.ready();
    expect(ready).toMatchObject({ sendNow: [], mustSync: true, hardState: { term: 2, vote: "b" } });
    expect(ready.sendAfter).toMatchObject([{ type: "vote_answer", granted: true }]);
  });
});

describe("§9.6 and §4.2.3: nobody deposes a leader that is heard", () => {
  function following(): ReturnType<typeof makeCore> {
    const core = makeCore({ term: 2 });
    core.step({ type: "heartbeat", from: "b", to, term: 2, commit: 0, round: 0 });
    drain(core);
    return core;
  }

  test("a vote within an election timeout of a live leader is ignored, term and all", () => {
    const core = following();
    core.step({ type: "vote", from: "c", to, term: 9, lastIndex: 9, lastTerm: 9, transfer: false });
    expect(core.status()).toMatchObject({ term: 2, leader: "b" });
    expect(core.hasReady()).toBe(false);
  });

  test("a pre-vote meanwhile is refused with this voter's term", () => {
    const core = following();
    core.step({ type: "pre_vote", from: "c", to, term: 9, lastIndex: 9, lastTerm: 9 });
    expect(sentOf(drain(core), "pre_vote_answer")).toMatchObject([{ granted: false, term: 2 }]);
  });

  test("an election that the leader asked for goes through (§3.10)", () => {
    const core = following();
    core.step({ type: "vote", from: "c", to, term: 3, lastIndex: 9, lastTerm: 2, transfer: true });
    expect(sentOf(drain(core), "vote_answer")).toMatchObject([{ granted: true, term: 3 }]);
  });

  test("after an election timeout without the leader the vote is given", () => {
    const core = following();
    ticks(core, ELECTION_TICKS - 1);
    core.step({ type: "pre_vote", from: "c", to, term: 3, lastIndex: 9, lastTerm: 2 });
    core.tick();
    drain(core);
    core.step({ type: "pre_vote", from: "c", to, term: 3, lastIndex: 9, lastTerm: 2 });
    expect(sentOf(drain(core), "pre_vote_answer")).toMatchObject([{ granted: true }]);
  });

  test("a leader that hears no majority for an election timeout steps down (§6.2)", () => {
    const core = makeCore();
    elect(core);
    ticks(core, ELECTION_TICKS - 1);
    expect(core.status().role).toBe("leader");
    core.readIndex("r");
    ticks(core, 2);
    expect(core.status()).toMatchObject({ role: "follower", leader: null, term: 2 });
    expect(drain(core).reads).toEqual([{ context: "r", index: null }]);
  });

  test("a leader that hears a majority stays", () => {
    const core = makeCore();
    elect(core);
    for (let i = 0; i < 5 * ELECTION_TICKS; i += 1) {
      core.tick();
      core.step({ type: "heartbeat_answer", from, to, term: 2, round: 0 });
      drain(core);
    }
    expect(core.status().role).toBe("leader");
  });
});

describe("pre-vote never locks up (the trace of openraft#1796)", () => {
  test("a candidate with the longer log and the lower term learns the higher one and wins with the next", () => {
    const longer = makeCore({ voters: ["a", "b"], log: [1, 2], term: 2 });
    const shorter = makeCore({ id: "b", voters: ["a", "b"], log: [1], term: 5 });
    const carry = (): void => {
      for (let i = 0; i < 10; i += 1) {
        for (const message of drain(longer).sent) shorter.step(message);
        for (const message of drain(shorter).sent) longer.step(message);
      }
    };
    ticks(longer, ELECTION_TICKS);
    carry();
    expect(longer.status()).toMatchObject({ role: "follower", term: 5 });
    ticks(longer, ELECTION_TICKS);
    carry();
    expect(longer.status()).toMatchObject({ role: "leader", term: 6 });
    expect(shorter.status()).toMatchObject({ leader: "a", commit: 4 });
  });

  test("a sender with an older term is answered, so that it learns the newer one", () => {
    const core = makeCore({ term: 5 });
    const old = { from, to, term: 4 } as const;
    core.step({ type: "append", ...old, prevIndex: 1, prevTerm: 1, entries: [], commit: 1 });
    core.step({ type: "heartbeat", ...old, commit: 1, round: 3 });
    core.step({ type: "vote", ...old, lastIndex: 9, lastTerm: 4, transfer: true });
    core.step({ type: "pre_vote", ...old, lastIndex: 9, lastTerm: 4 });
    expect(drain(core).sent.map(({ type, term }) => [type, term])).toEqual([
      ["append_answer", 5],
      ["heartbeat_answer", 5],
      ["vote_answer", 5],
      ["pre_vote_answer", 5],
    ]);
  });
});

describe("§3.10 leadership transfer", () => {
  test("the heir is told to campaign once it has the whole log; writes wait meanwhile", () => {
    const core = makeCore();
    elect(core);
    expect(core.transferTo("c")).toBe(true);
    expect(sentOf(drain(core), "timeout_now")).toEqual([]);
    expect(core.propose(["x"])).toMatchObject({ ok: false, reason: "transferring" });
    acknowledge(core, "c", 2);
    expect(sentOf(drain(core), "timeout_now")).toMatchObject([{ to: "c", term: 2 }]);
  });

  test("a transfer that does not happen within an election timeout is given up", () => {
    const core = makeCore();
    elect(core);
    core.transferTo("c");
    for (let i = 0; i < ELECTION_TICKS; i += 1) {
      core.step({ type: "heartbeat_answer", from, to, term: 2, round: 0 });
      core.tick();
    }
    expect(core.status().transferee).toBe(null);
    expect(core.propose(["x"]).ok).toBe(true);
  });

  test.each(["a", "l", "x"])("leadership is not handed to %s: itself, a learner, a stranger", (member) => {
    const core = makeCore({ learners: ["l"] });
    elect(core);
    expect(core.transferTo(member)).toBe(false);
  });

  test("whoever is told to campaigns at once, without pre-vote, and says why", () => {
    const core = makeCore({ term: 2 });
    core.step({ type: "heartbeat", from, to, term: 2, commit: 0, round: 0 });
    core.step({ type: "timeout_now", from, to, term: 2 });
    expect(sentOf(drain(core), "vote")).toMatchObject([
      { to: "b", term: 3, transfer: true },
      { to: "c", term: 3, transfer: true },
    ]);
  });
});
