import { describe, expect, test } from "vitest";

import { ELECTION_TICKS, acknowledge, configEntry, drain, elect, makeCore, sentOf, ticks } from "./bench.ts";
import { Network } from "./network.ts";

// Leadership on demand (§3.10): what may go wrong between the request and the new leader.

/** Member `a` leads `b` and `c`, and a learner `l` follows. */
function led(): Network {
  const network = new Network({ a: {}, b: {}, c: {}, l: {} }, { common: { learners: ["l"] } });
  network.elect("a");
  return network;
}

/** Starts a transfer from `a`, and lets everybody handle it. */
function transfer(network: Network, to: string): void {
  expect(network.core("a").transferTo(to)).toBe(true);
  network.settle();
}

describe("a transfer that succeeds", () => {
  test("takes no tick when the heir has everything, and can be turned back", () => {
    const network = led();
    transfer(network, "c");
    expect(network.leaders).toEqual(["c"]);
    expect(network.sentOf("pre_vote")).toEqual([]);
    expect(network.core("c").transferTo("a")).toBe(true);
    network.settle();
    expect(network.leaders).toEqual(["a"]);
    for (const id of network.ids) expect(network.status(id)).toMatchObject({ leader: "a", term: 4 });
  });

  test("brings a heir that is behind up to date first", () => {
    const network = led();
    network.isolate("c");
    network.propose("a", "x", "y", "z");
    network.heal();
    transfer(network, "c");
    expect(network.sentOf("timeout_now")).toEqual([]);
    network.tick("a");
    expect(network.leaders).toEqual(["c"]);
    const asked = network.sent.findIndex(({ type }) => type === "timeout_now");
    const caughtUp = network.sent.findIndex(
      (message) =>
        message.type === "append_answer" && message.from === "c" && message.ok && message.index === 5,
    );
    expect(caughtUp).toBeGreaterThan(-1);
    expect(asked).toBeGreaterThan(caughtUp);
    expect(network.commands("c")).toEqual(["x", "y", "z"]);
  });

  test("waits for the snapshot that the heir turns out to need", () => {
    const network = led();
    network.isolate("c");
    network.propose("a", "x", "y", "z");
    network.compact("a");
    network.heal();
    transfer(network, "c");
    network.tick("a", 2);
    expect(network.sentOf("snapshot")).toMatchObject([{ to: "c" }]);
    expect(network.leaders).toEqual(["c"]);
    expect(network.commands("c")).toEqual(["x", "y", "z"]);
  });

  test("loses nothing that waits to be committed", () => {
    const network = led();
    network.lose(({ type }) => type === "append_answer");
    network.propose("a", "pending");
    network.heal();
    transfer(network, "c");
    network.tick("a", 2);
    expect(network.leaders).toEqual(["c"]);
    for (const id of network.ids) expect(network.commands(id)).toEqual(["pending"]);
  });

  test("asks again with the next heartbeat when the request to campaign was lost", () => {
    const network = led();
    network.lose(({ type }) => type === "timeout_now");
    transfer(network, "c");
    expect(network.leaders).toEqual(["a"]);
    network.heal();
    network.tick("a");
    expect(network.leaders).toEqual(["c"]);
  });

  test("ends reads that the old leader could not prove any more", () => {
    const core = makeCore();
    elect(core);
    acknowledge(core, "b", 2);
    acknowledge(core, "c", 2);
    core.readIndex("r");
    core.transferTo("c");
    drain(core);
    core.step({ type: "vote", from: "c", to: "a", term: 3, lastIndex: 2, lastTerm: 2, transfer: true });
    expect(drain(core).reads).toEqual([{ context: "r", index: null }]);
  });
});

describe("a transfer that cannot succeed", () => {
  test("to a dead heir: writes and changes of members are refused meanwhile, and taken after an election timeout", () => {
    const network = led();
    network.isolate("c");
    network.propose("a", "before");
    transfer(network, "c");
    for (let i = 0; i < ELECTION_TICKS; i += 1) {
      expect(network.status("a").transferee).toBe("c");
      expect(network.core("a").propose(["x"])).toEqual({ ok: false, reason: "transferring", leader: "a" });
      const target = { voters: ["a", "b"], learners: [] };
      expect(network.core("a").changeConfig(target)).toEqual({ ok: false, reason: "transferring" });
      network.tick("a");
    }
    expect(network.status("a")).toMatchObject({ role: "leader", term: 2, transferee: null });
    network.propose("a", "after");
    expect(network.commands("b")).toEqual(["before", "after"]);
  });

  test("asking for the same heir once more does not prolong it", () => {
    const network = led();
    network.isolate("c");
    network.propose("a", "x");
    transfer(network, "c");
    network.tick("a", ELECTION_TICKS - 1);
    transfer(network, "c");
    network.tick("a");
    expect(network.status("a").transferee).toBe(null);
  });

  test("asking for another heir gives up the first, which is not told to campaign any more", () => {
    const network = led();
    network.isolate("c");
    network.propose("a", "x");
    transfer(network, "c");
    network.tick("a", ELECTION_TICKS - 1);
    network.lose(({ type, to }) => type === "timeout_now" && to === "b");
    transfer(network, "b");
    network.tick("a");
    expect(network.status("a").transferee).toBe("b");
    network.heal();
    network.tick("a", 2);
    expect(network.leaders).toEqual(["b"]);
    expect(network.sentOf("timeout_now").filter(({ to }) => to === "c")).toEqual([]);
  });

  test.each(["l", "x", "a"])(
    "is refused at once for %s: a learner, a stranger, the leader itself",
    (member) => {
      const network = led();
      expect(network.core("a").transferTo(member)).toBe(false);
      network.propose("a", "taken");
      expect(network.commands("b")).toEqual(["taken"]);
    },
  );

  test("is refused at once to a member that is fetching a snapshot, and by whoever does not lead", () => {
    const network = led();
    network.isolate("c");
    network.propose("a", "x");
    network.compact("a");
    network.lose(({ type }) => type === "snapshot");
    network.tick("a", 2);
    expect(network.core("a").transferTo("c")).toBe(false);
    expect(network.core("b").transferTo("c")).toBe(false);
  });

  test("is forgotten when the leader is deposed", () => {
    const core = makeCore();
    elect(core);
    core.transferTo("c");
    core.step({ type: "heartbeat", from: "b", to: "a", term: 3, commit: 0, round: 0 });
    expect(core.status()).toMatchObject({ role: "follower", leader: "b", transferee: null });
    drain(core);
    ticks(core, 1);
    elect(core);
    expect(core.status()).toMatchObject({ role: "leader", transferee: null });
  });
});

describe("who is told to campaign without being able to", () => {
  test.each([
    { what: "a learner", setup: { voters: ["b", "c"], learners: ["a"] } },
    { what: "an agent outside the configuration", setup: { voters: ["b", "c"] } },
  ])("$what does nothing", ({ setup }) => {
    const core = makeCore(setup);
    core.step({ type: "timeout_now", from: "b", to: "a", term: 1 });
    expect(core.status()).toMatchObject({ role: "follower", term: 1 });
    expect(drain(core).sent).toEqual([]);
  });

  test("a leader does nothing", () => {
    const core = makeCore();
    elect(core);
    core.step({ type: "timeout_now", from: "b", to: "a", term: 2 });
    expect(core.status()).toMatchObject({ role: "leader", term: 2 });
  });

  test("a voter whose removal is committed does nothing", () => {
    const core = makeCore({ term: 2 });
    const entries = [configEntry(2, 2, { voters: ["b", "c"] })];
    core.step({ type: "append", from: "b", to: "a", term: 2, prevIndex: 1, prevTerm: 1, entries, commit: 2 });
    core.step({ type: "timeout_now", from: "b", to: "a", term: 2 });
    expect(core.status()).toMatchObject({ role: "follower", term: 2 });
  });

  test("a request from an earlier term changes nothing; one that comes twice begins one election", () => {
    const core = makeCore({ term: 4 });
    core.step({ type: "timeout_now", from: "b", to: "a", term: 3 });
    expect(core.status()).toMatchObject({ role: "follower", term: 4 });
    core.step({ type: "timeout_now", from: "b", to: "a", term: 4 });
    core.step({ type: "timeout_now", from: "b", to: "a", term: 4 });
    expect(core.status()).toMatchObject({ role: "candidate", term: 5 });
    expect(sentOf(drain(core), "vote")).toHaveLength(2);
  });
});

describe("a transfer and a partition", () => {
  test("the heir is cut off as it begins: the old leader goes on, and when the heir is back one election settles it", () => {
    const network = led();
    network.lose(({ from }) => from === "c");
    transfer(network, "c");
    expect(network.status("c")).toMatchObject({ role: "candidate", term: 3 });
    network.isolate("c");
    network.tick("a", ELECTION_TICKS);
    network.propose("a", "meanwhile");
    expect(network.status("a")).toMatchObject({ role: "leader", term: 2 });
    network.heal();
    network.tickAll(4 * ELECTION_TICKS);
    const [leader = "none", ...others] = network.leaders;
    expect(others).toEqual([]);
    network.propose(leader, "after");
    for (const id of network.ids) expect(network.commands(id)).toEqual(["meanwhile", "after"]);
  });

  test("the old leader is cut off as the heir begins: the rest elects, and what it believed in is gone", () => {
    const network = led();
    network.lose(({ from, to, type }) => (from === "a" || to === "a") && type !== "timeout_now");
    transfer(network, "c");
    expect(network.status("c")).toMatchObject({ role: "leader", term: 3 });
    expect(network.core("a").propose(["stale"])).toMatchObject({ ok: false, reason: "transferring" });
    network.propose("c", "new");
    network.tick("a", 2 * ELECTION_TICKS);
    expect(network.status("a").role).not.toBe("leader");
    network.heal();
    network.tickAll(2);
    expect(network.leaders).toEqual(["c"]);
    expect(network.commands("a")).toEqual(["new"]);
  });

  test("a heir in the minority never leads, and no committed write goes with it", () => {
    const members = { a: {}, b: {}, c: {}, d: {}, e: {} };
    const network = new Network(members, { common: { voters: Object.keys(members) } });
    network.elect("a");
    network.split(["a", "b"], ["c", "d", "e"]);
    transfer(network, "b");
    expect(network.status("b").role).toBe("candidate");
    network.tickAll(3 * ELECTION_TICKS);
    const [leader = "none", ...others] = network.leaders;
    expect(others).toEqual([]);
    expect(["c", "d", "e"]).toContain(leader);
    network.propose(leader, "majority");
    network.heal();
    network.tickAll(4 * ELECTION_TICKS);
    expect(network.leaders).toHaveLength(1);
    for (const id of network.ids) expect(network.commands(id)).toEqual(["majority"]);
  });
});
