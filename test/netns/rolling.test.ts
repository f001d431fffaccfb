import { expect } from "vitest";

import { scenario } from "./scenario.ts";

const ROUNDS = 3;
/** Longest that a client may wait to hear that its write was refused. Milliseconds. */
const REFUSAL_MS_MAX = 2000;

scenario(
  `every agent is restarted in turn, ${ROUNDS} times: no read fails, writes are at most refused`,
  "long",
  async (bed) => {
    const agents = await bed.formed(3);
    const load = await bed.startLoad();
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const agent of agents) {
        expect(await agent.stop("SIGTERM")).toBe(0);
        await load.untilMore(5, bed.others(agent));
        await agent.start();
        await load.untilMore(5, [agent]);
      }
    }
    await load.stop();
    const { refused, broken } = load.plainReads;
    expect({ refused, broken }).toEqual({ refused: [], broken: [] });
    expect(load.unknown).toEqual([]);
    expect(load.refused.filter(({ tookMs }) => tookMs >= REFUSAL_MS_MAX)).toEqual([]);
    return `${load.plainReads.answered} plain reads`;
  },
);
