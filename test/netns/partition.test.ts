import { expect } from "vitest";

import { leaderOf, type AgentProcess } from "#test/support/agents.ts";

import { untilAllAlive } from "./expectations.ts";
import { pause } from "./load.ts";
import { scenario } from "./scenario.ts";

/** One plain read: what it says of its own age. Milliseconds. */
async function ageOf(agent: AgentProcess): Promise<number> {
  const answer = await agent.get("/api/v1/zone");
  expect(answer.status).toBe(200);
  return Number(answer.headers["x-muster-age-ms"]);
}

/** On the side that cannot win: writes are refused in the dialect's form, plain reads go on and tell that they age. */
async function expectMinority(agent: AgentProcess): Promise<void> {
  await agent.until("refuses writes", async () => {
    const answer = await agent.post("/api/v1/zone", { name: `minority ${performance.now()}` });
    if (answer.status === 504) return false;
    expect(answer.status).toBe(503);
    expect(answer.json).toMatchObject({
      error: { code: 202, message: "quorum_lost" },
      data: {},
      status: false,
    });
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    return true;
  });
  const [before, beganMs] = [await ageOf(agent), performance.now()];
  await pause(1000);
  const passedMs = performance.now() - beganMs;
  // The age was taken somewhere within the first call and the last.
  expect(await ageOf(agent)).toBeGreaterThanOrEqual(before + passedMs - 100);
  expect((await agent.get("/api/v1/zone?consistency=linearizable")).status).toBe(503);
}

scenario(
  "a full partition: the minority refuses and says so, the majority works, both are one after it",
  "short",
  async (bed) => {
    const agents = await bed.formed(3);
    const load = await bed.startLoad();
    const lonely = await leaderOf(agents);
    const majority = bed.others(lonely);
    await bed.network.cut(bed.hosts(lonely), bed.hosts(...majority));
    await load.untilMore(30, majority);
    await expectMinority(lonely);
    await bed.network.heal();
    await load.untilMore(10, [lonely]);
    await untilAllAlive(agents);
  },
);

scenario("two of five are cut off for a minute: all alive again without operator", "long", async (bed) => {
  const agents = await bed.formed(5);
  const load = await bed.startLoad({ writers: 1, pauseMs: 150 });
  const [one, two, ...majority] = bed.random.shuffle(agents) as [
    AgentProcess,
    AgentProcess,
    ...AgentProcess[],
  ];
  await bed.network.cut(bed.hosts(one, two), bed.hosts(...majority));
  const over = pause(60_000);
  await load.untilMore(30, majority);
  await expectMinority(one);
  await expectMinority(two);
  await over;
  await bed.network.heal();
  await load.untilMore(10, [one]);
  await load.untilMore(10, [two]);
  await untilAllAlive(agents);
});
