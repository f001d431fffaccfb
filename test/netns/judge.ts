import type { AgentProcess } from "#test/support/agents.ts";

import type { Load } from "./load.ts";

interface Zone {
  readonly id: number;
  readonly name: string;
}

/** What is wrong after all, by name; empty lists when all is well. */
export interface Verdict {
  readonly lost: readonly string[];
  readonly doubled: readonly string[];
  /** Refused as certainly not done, and there all the same. */
  readonly untrue: readonly string[];
  /** Agents that hold something else than the first. */
  readonly different: readonly string[];
}

/** Compares what the clients were told with what every agent holds in the end. All agents must run and reach each other. */
export async function judge(load: Load, agents: readonly AgentProcess[]): Promise<Verdict> {
  const copies = await Promise.all(agents.map(zonesOf));
  const [first = []] = copies;
  const byName = Map.groupBy(first, ({ name }) => name);
  const ids = new Set(first.map(({ id }) => id));
  return {
    lost: load.acknowledged
      .filter(({ id, name }) => byName.get(name)?.[0]?.id !== id)
      .map(({ name }) => name),
    doubled: [
      ...load.doubled,
      ...[...byName].filter(([, zones]) => zones.length > 1).map(([name]) => name),
      ...(ids.size === first.length ? [] : ["an id was given twice"]),
    ],
    untrue: load.refused.filter(({ name }) => byName.has(name)).map(({ name }) => name),
    different: agents
      .filter((_, i) => JSON.stringify(copies[i]) !== JSON.stringify(first))
      .map(({ name }) => name),
  };
}

async function zonesOf(agent: AgentProcess): Promise<readonly Zone[]> {
  let zones: readonly Zone[] = [];
  await agent.until("reads linearizably in the end", async () => {
    const answer = await agent.get("/api/v1/zone?consistency=linearizable");
    if (answer.status === 200) zones = answer.json.data as Zone[];
    return answer.status === 200;
  });
  return zones;
}
