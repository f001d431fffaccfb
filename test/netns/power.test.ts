import type { AgentProcess } from "#test/support/agents.ts";

import type { Bed } from "./bed.ts";
import { untilAllAlive } from "./expectations.ts";
import { pause, type Load } from "./load.ts";
import { scenario } from "./scenario.ts";

// Whole clusters are switched off, and come back with the addresses that a new lease or a new rack gives them. Nobody is there to help.

/** First of the addresses that hosts are moved to. */
const NEW_ADDRESSES = 101;

/** Cuts the power of all, gives some of them new addresses, and starts them in any order. */
async function powerCut(bed: Bed, moved: readonly AgentProcess[]): Promise<void> {
  await Promise.all(bed.agents.map((agent) => agent.stop("SIGKILL")));
  for (const [i, agent] of moved.entries()) await bed.move(agent, NEW_ADDRESSES + i);
  for (const agent of bed.random.shuffle(bed.agents)) {
    await pause(bed.random.between(0, 2000));
    await agent.start();
  }
}

/** Writes through everybody, and everybody knows where everybody is. */
async function untilBack(bed: Bed, load: Load): Promise<void> {
  await load.untilMore(10);
  for (const agent of bed.agents) await load.untilMore(3, [agent]);
  await untilAllAlive(bed.agents);
  for (const agent of bed.agents) {
    await agent.until("knows all addresses", async () => {
      const { json } = await agent.get("/muster/v1/members");
      const members = (json?.members ?? []) as { name: string; mesh_addrs: string[] }[];
      return bed.agents.every(({ name, address, meshPort }) =>
        members
          .find((member) => member.name === name)
          ?.mesh_addrs.includes(`/ip4/${address}/tcp/${meshPort}`),
      );
    });
  }
}

scenario("power cut of all, back in random order, a third with new addresses", "long", async (bed) => {
  const agents = await bed.formed(6);
  const load = await bed.startLoad({ writers: 1, pauseMs: 150 });
  const moved = bed.random.shuffle(agents).slice(0, 2);
  await powerCut(bed, moved);
  await untilBack(bed, load);
  return `moved: ${moved.map(({ name }) => name).join(", ")}`;
});

scenario("power cut of all, back with new addresses everywhere", "long", async (bed) => {
  const agents = await bed.formed(3);
  const load = await bed.startLoad();
  await powerCut(bed, agents);
  await untilBack(bed, load);
});
