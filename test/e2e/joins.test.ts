import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { leaderOf, TestFleet, untilVoters, type AgentProcess } from "#test/support/agents.ts";

import { membersOf, stepsOf, untilWhole } from "./cluster-view.ts";

// Hosts that join when it is least convenient. Whoever says `completed` must hold the registry, and whatever broke off blocks nobody.

const CREDENTIALS = { username: "admin@example.com", password: "correct horse battery" };
const STEPS = ["preflight", "contact", "authenticate", "admit", "catch_up"] as const;

let fleet: TestFleet;

beforeEach(async () => {
  fleet = await TestFleet.create();
});

afterEach(async () => {
  await fleet[Symbol.asyncDispose]();
});

const at = (agents: readonly AgentProcess[], index: number): AgentProcess => agents[index] as AgentProcess;

/** A cluster that holds something: the zone `before`, which every newcomer must know. */
async function clusterOf(size: number): Promise<AgentProcess[]> {
  const agents = await fleet.formed(size);
  expect((await at(agents, 0).post("/api/v1/zone", { name: "before" })).status).toBe(200);
  return agents;
}

async function fresh(count: number): Promise<AgentProcess[]> {
  const agents = await Promise.all(Array.from({ length: count }, () => fleet.add()));
  // As many at once as a small machine starts in time.
  for (let i = 0; i < count; i += 2) await Promise.all(agents.slice(i, i + 2).map((agent) => agent.start()));
  return agents;
}

/** As an operator's script would: several addresses, and some patience. */
async function join(joiner: AgentProcess, sponsors: readonly AgentProcess[], retries = 8): Promise<void> {
  const nodes = sponsors.map(({ address, apiPort }) => `${address}:${apiPort}`);
  const body = {
    action: "join_cluster",
    cluster: { nodes },
    credentials: CREDENTIALS,
    max_retries: retries,
    retry_time: 1,
  };
  expect((await joiner.post("/v1/bootstrap/join_cluster", body)).status).toBe(200);
}

/** Waits for `completed`; in that moment it must be a member by its own copy, with all that was there before. */
async function untilJoined(joiner: AgentProcess): Promise<void> {
  await joiner.untilState("completed");
  const zones = await joiner.get("/api/v1/zone");
  expect(zones.json?.data).toEqual(expect.arrayContaining([{ id: 1, name: "before" }]));
  expect((await membersOf(joiner)).map(({ name }) => name)).toContain(joiner.name);
}

/** Asks without a pause until this step has begun, or the attempt is over. */
async function untilStep(joiner: AgentProcess, step: string): Promise<void> {
  await joiner.until(`has begun ${step}`, async () => {
    const { state, steps } = await stepsOf(joiner);
    return steps.includes(step) || state === "completed" || state === "error";
  });
}

async function uidsOf(agent: AgentProcess): Promise<number[]> {
  return (await membersOf(agent)).map(({ uid }) => uid).toSorted((a, b) => a - b);
}

test("ten hosts that are told to join at once all get in, each with a uid of its own", async () => {
  const cluster = await clusterOf(1);
  const joiners = await fresh(10);
  await Promise.all(joiners.map((joiner) => join(joiner, cluster)));
  await Promise.all(joiners.map(untilJoined));
  await untilVoters([at(cluster, 0)], 5);
  expect(await uidsOf(at(cluster, 0))).toEqual(Array.from({ length: 11 }, (_, i) => i + 1));
});

describe("a cluster of three", () => {
  test("a join while one of the voters is dead, and one while the leader dies", async () => {
    const cluster = await clusterOf(3);
    const leader = await leaderOf(cluster);
    const [dead, sponsor] = cluster.filter((agent) => agent !== leader) as [AgentProcess, AgentProcess];
    const [one, two] = (await fresh(2)) as [AgentProcess, AgentProcess];
    await dead.stop("SIGKILL");
    await join(one, [sponsor], 0);
    await untilJoined(one);
    await dead.start();
    await untilWhole(dead, 4);

    await join(two, [sponsor, dead, leader]);
    await leader.stop("SIGKILL");
    await untilJoined(two);
    await leader.start();
    await leader.until("knows all five", async () => (await membersOf(leader)).length === 5);
    expect(await uidsOf(leader)).toEqual([1, 2, 3, 4, 5]);
  });

  test("a joiner is killed at each step; it joins in the end, and so does the next one", async () => {
    const cluster = await clusterOf(3);
    const joiners = await fresh(STEPS.length);
    const began: string[] = [];
    for (const [i, step] of STEPS.entries()) {
      const joiner = at(joiners, i);
      await join(joiner, [at(cluster, i % 3)], 0);
      await untilStep(joiner, step);
      began.push((await stepsOf(joiner)).steps.at(-1) ?? "nothing");
      await joiner.stop("SIGKILL");
      await joiner.start();
      const { state } = await stepsOf(joiner);
      expect(["error", "completed"]).toContain(state);
      if (state === "error") await join(joiner, [at(cluster, (i + 1) % 3)]);
      await untilJoined(joiner);
    }
    // It asks as fast as it can, so that most kills hit the step that is meant.
    expect(new Set(began).size).toBeGreaterThan(1);
    const [next] = (await fresh(1)) as [AgentProcess];
    await join(next, [at(cluster, 0)], 0);
    await untilJoined(next);
    const uids = await uidsOf(next);
    expect(uids).toHaveLength(3 + STEPS.length + 1);
    expect(new Set(uids).size).toBe(uids.length);
  });

  test("the sponsor is killed at each step; the joiner gets in through another member", async () => {
    const cluster = await clusterOf(3);
    const steps = STEPS.slice(1);
    const joiners = await fresh(steps.length);
    for (const [i, step] of steps.entries()) {
      const joiner = at(joiners, i);
      const sponsor = at(cluster, i % 3);
      const others = cluster.filter((agent) => agent !== sponsor);
      // It would ask all at once and take the first that answers: the others come later.
      await join(joiner, [sponsor, ...others]);
      await untilStep(joiner, step);
      await sponsor.stop("SIGKILL");
      await untilJoined(joiner);
      await sponsor.start();
      await untilWhole(sponsor, cluster.length + i + 1);
    }
    const uids = await uidsOf(at(cluster, 0));
    expect(uids).toHaveLength(3 + steps.length);
    expect(new Set(uids).size).toBe(uids.length);
  });
});
