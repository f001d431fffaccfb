import { leaderOf, type AgentProcess } from "#test/support/agents.ts";

import { expectCalm, untilAllAlive } from "./expectations.ts";
import { pause } from "./load.ts";
import { scenario } from "./scenario.ts";

// Networks that work in one direction, for some, or now and then. What a plain Raft makes of them is a chain of elections, or
// a dead-lock (openraft#1796); pre-vote and check-quorum are there to prevent both.

scenario(
  "one-way loss: a follower that hears nothing, then a leader that nobody hears",
  "short",
  async (bed) => {
    const agents = await bed.formed(3);
    const load = await bed.startLoad();
    const leader = await leaderOf(agents);
    const [deaf] = bed.others(leader) as [AgentProcess];
    await bed.network.cutOneWay(bed.hosts(...bed.others(deaf)), bed.hosts(deaf));
    const first = await expectCalm(load, bed.others(deaf), 6000);
    await bed.network.heal();
    await load.untilMore(5, [deaf]);

    const mute = await leaderOf(agents);
    await bed.network.cutOneWay(bed.hosts(mute), bed.hosts(...bed.others(mute)));
    const second = await expectCalm(load, bed.others(mute), 6000);
    await bed.network.heal();
    await load.untilMore(5, [mute]);
    await untilAllAlive(agents);
    return `${first}; ${second}`;
  },
);

scenario("a leader that only half of the others can reach", "long", async (bed) => {
  const agents = await bed.formed(5);
  const load = await bed.startLoad({ writers: 1, pauseMs: 150 });
  const leader = await leaderOf(agents);
  const [one, two, ...reached] = bed.others(leader) as [AgentProcess, AgentProcess, ...AgentProcess[]];
  await bed.network.cut(bed.hosts(leader), bed.hosts(one, two));
  // Everybody but the leader still reaches everybody.
  const story = await expectCalm(load, [leader, ...reached], 30_000);
  await bed.network.heal();
  await load.untilMore(5, [one]);
  await load.untilMore(5, [two]);
  await untilAllAlive(agents);
  return story;
});

scenario("three voters in a chain: the ends cannot see each other", "long", async (bed) => {
  const agents = await bed.formed(3);
  const load = await bed.startLoad();
  const leader = await leaderOf(agents);
  const [middle, end] = bed.others(leader) as [AgentProcess, AgentProcess];
  await bed.network.cut(bed.hosts(leader), bed.hosts(end));
  const story = await expectCalm(load, [leader, middle], 30_000);
  await bed.network.heal();
  await load.untilMore(5, [end]);
  await untilAllAlive(agents);
  return story;
});

scenario(
  "a link that comes and goes every second, of a follower and then of the leader",
  "long",
  async (bed) => {
    const agents = await bed.formed(3);
    const load = await bed.startLoad();
    const flap = async (agent: AgentProcess): Promise<string> => {
      const [host = 0] = bed.hosts(agent);
      const stop = new AbortController();
      const flapping = (async (): Promise<void> => {
        while (!stop.signal.aborted) {
          await bed.network.unplug(host);
          await pause(500);
          await bed.network.plug(host);
          await pause(500);
        }
      })();
      try {
        return await expectCalm(load, bed.others(agent), 30_000);
      } finally {
        stop.abort();
        await flapping;
        await load.untilMore(5, [agent]);
      }
    };
    const [follower] = bed.others(await leaderOf(agents)) as [AgentProcess];
    const first = await flap(follower);
    const second = await flap(await leaderOf(agents));
    await untilAllAlive(agents);
    return `${first}; ${second}`;
  },
);

scenario("20 % loss on every path: the cluster stays writable", "long", async (bed) => {
  const agents = await bed.formed(3);
  const load = await bed.startLoad();
  await bed.network.lose(0.2);
  const story = await expectCalm(load, agents, 30_000);
  for (const agent of agents) await load.untilMore(5, [agent]);
  await bed.network.heal();
  await untilAllAlive(agents);
  return story;
});
