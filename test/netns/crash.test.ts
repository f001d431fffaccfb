import { leaderOf } from "#test/support/agents.ts";

import { scenario } from "./scenario.ts";

// An acknowledged write is there after any crash of a minority, at any instant.

scenario("kill -9 at random moments under load", "short", async (bed) => {
  await bed.formed(3);
  const load = await bed.startLoad();
  for (let round = 0; round < 4; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, bed.random.between(50, 1500)));
    // The leader every other time: it has the most to lose.
    const victim = round % 2 === 0 ? await leaderOf(bed.agents) : bed.anyOf(bed.agents);
    await victim.stop("SIGKILL");
    await load.untilMore(10);
    await victim.start();
    await load.untilMore(10);
  }
});
