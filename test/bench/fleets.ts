import { formCluster, type AgentProcess, type TestFleet } from "#test/support/agents.ts";

/** As systemd/muster.service starts them: what it sets changes how much memory an agent keeps. */
export const AS_THE_UNIT = { MALLOC_ARENA_MAX: "1" };

/** Agents that start at once: more would only wait for the machine's cores. */
const AT_ONCE = 4;

/** A cluster of many agents on a small machine: started a few at a time. */
export async function largeCluster(fleet: TestFleet, size: number): Promise<AgentProcess[]> {
  const agents: AgentProcess[] = [];
  for (let n = 0; n < size; n += 1) agents.push(await fleet.add());
  for (let n = 0; n < size; n += AT_ONCE) {
    await Promise.all(agents.slice(n, n + AT_ONCE).map((agent) => agent.start()));
  }
  const first = agents.slice(0, 5);
  await formCluster(first);
  for (let n = first.length; n < size; n += AT_ONCE) {
    const some = agents.slice(n, n + AT_ONCE);
    await Promise.all(some.map((agent) => agent.join(first)));
    await Promise.all(some.map((agent) => agent.untilState("completed")));
  }
  return agents;
}
