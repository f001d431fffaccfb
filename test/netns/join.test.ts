import { expect } from "vitest";

import { leaderOf, untilVoters, type AgentProcess } from "#test/support/agents.ts";

import { untilAllAlive } from "./expectations.ts";
import { pause } from "./load.ts";
import { scenario } from "./scenario.ts";

/** As many as two cores carry; a hundred is what a cluster is meant to take. */
const STORM = 20;

/** Every member's uid as one agent knows them. */
async function uidsOf(agent: AgentProcess): Promise<number[]> {
  const { json } = await agent.get("/muster/v1/members");
  return (json.members as { uid: number }[]).map(({ uid }) => uid).toSorted((a, b) => a - b);
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

/** Asks to join until it is done, as an operator would: after a failure, once more. */
async function joinAtLast(joiner: AgentProcess, sponsors: readonly AgentProcess[]): Promise<void> {
  await joiner.until("has joined", async () => {
    const state = await joiner.bootstrapState();
    if (state === "idle" || state === "error") await joiner.join(sponsors);
    return state === "completed";
  });
}

scenario(`join storm: ${STORM} hosts at once`, "long", async (bed) => {
  const [first] = (await bed.formed(1)) as [AgentProcess];
  await bed.startLoad();
  const joiners = await bed.running(STORM);
  const beganMs = performance.now();
  const answers = await Promise.all(joiners.map((joiner) => joiner.join([first])));
  expect(answers.map(({ status }) => status)).toEqual(joiners.map(() => 200));
  await Promise.all(joiners.map((joiner) => joiner.untilState("completed")));
  const tookMs = performance.now() - beganMs;
  await untilVoters(bed.agents, 5);
  await untilAllAlive(bed.agents);
  expect(await uidsOf(first)).toEqual(upTo(STORM + 1));
  return `all joined after ${Math.round(tookMs)} ms`;
});

scenario("a joiner is killed at random moments and tries again", "long", async (bed) => {
  const members = await bed.formed(3);
  await bed.startLoad({ writers: 1, pauseMs: 150 });
  const joiners = await bed.running(3);
  const atMs: number[] = [];
  for (const joiner of joiners) {
    for (let attempt = 0; attempt < 4; attempt += 1) {
      if ((await joiner.bootstrapState()) === "completed") break;
      await joiner.join([bed.anyOf(members)]);
      const afterMs = bed.random.between(0, 300);
      atMs.push(afterMs);
      await pause(afterMs);
      await joiner.stop("SIGKILL");
      await joiner.start();
      expect(["idle", "error", "completed"]).toContain(await joiner.bootstrapState());
    }
    await joinAtLast(joiner, members);
  }
  const [later] = (await bed.running(1)) as [AgentProcess];
  await later.join(members);
  await later.untilState("completed");
  await untilAllAlive(bed.agents);
  expect((await uidsOf(later)).length).toBe(7);
  expect(new Set(await uidsOf(later)).size).toBe(7);
  return `killed after ${atMs.join(", ")} ms`;
});

scenario("join while one of three voters is dead, and while the leader dies", "long", async (bed) => {
  const voters = await bed.formed(3);
  const load = await bed.startLoad();
  const [early, late] = (await bed.running(2)) as [AgentProcess, AgentProcess];

  const leader = await leaderOf(voters);
  const [dead, other] = bed.others(leader).filter((agent) => voters.includes(agent)) as [
    AgentProcess,
    AgentProcess,
  ];
  await dead.stop("SIGKILL");
  await early.join([other]);
  await early.untilState("completed");
  await dead.start();
  await load.untilMore(5, [dead]);

  const second = await leaderOf(voters);
  await late.join(voters);
  await pause(bed.random.between(0, 200));
  await second.stop("SIGKILL");
  await joinAtLast(late, voters);
  await second.start();
  await untilAllAlive(bed.agents);
  expect(await uidsOf(late)).toHaveLength(5);
});
