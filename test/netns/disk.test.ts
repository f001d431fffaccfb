import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect } from "vitest";

import { leaderOf, type AgentProcess } from "#test/support/agents.ts";

import { scenario } from "./scenario.ts";

const DISK_MIB = 32;
const PIECE = Buffer.alloc(64 * 1024);

/** Takes all the space that is left on the agent's disk. Answers with what gives it back. */
async function fill(agent: AgentProcess): Promise<() => Promise<void>> {
  const path = join(agent.dir, "filler");
  // Ever smaller pieces, to the last page.
  for (let bytes = PIECE.length; bytes >= 512;) {
    try {
      await writeFile(path, PIECE.subarray(0, bytes), { flag: "a" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      bytes /= 2;
    }
  }
  return () => rm(path);
}

/** Its own copy is served whatever its disk does. */
async function expectReads(agent: AgentProcess): Promise<void> {
  expect((await agent.get("/api/v1/zone")).status).toBe(200);
}

scenario(
  "the disk of every agent is full: writes are refused, reads go on, and all recovers with the space",
  "long",
  async (bed) => {
    const agents = await bed.formed(3, { diskMiB: DISK_MIB });
    const load = await bed.startLoad();
    const free = await Promise.all(agents.map(fill));
    await load.untilRefused(agents);
    for (const agent of agents) await expectReads(agent);
    for (const give of free) await give();
    for (const agent of agents) await load.untilMore(5, [agent]);
  },
);

scenario(
  "the disk of one agent is full, a follower's and then the leader's: the others work on",
  "long",
  async (bed) => {
    const agents = await bed.formed(3, { diskMiB: DISK_MIB });
    const load = await bed.startLoad();
    const [follower] = bed.others(await leaderOf(agents)) as [AgentProcess];
    for (const victim of [follower, await leaderOf(agents)]) {
      const free = await fill(victim);
      await load.untilMore(40, bed.others(victim));
      await expectReads(victim);
      await free();
      await load.untilMore(5, [victim]);
    }
  },
);
