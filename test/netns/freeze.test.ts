import { leaderOf } from "#test/support/agents.ts";

import type { Bed } from "./bed.ts";
import { ask, pause, type Load } from "./load.ts";
import { scenario } from "./scenario.ts";

// A stopped process does not notice: when it goes on, it still believes what it believed before. A leader of yesterday must
// not answer reads from its old copy (etcd#20418), and what it had not yet committed is void.

/** Stops the leader for that long while others work; the moment it goes on, it is asked for what was written meanwhile. */
async function freezeLeader(bed: Bed, load: Load, forMs: number): Promise<void> {
  const leader = await leaderOf(bed.agents);
  const frozen = pause(forMs);
  leader.signal("SIGSTOP");
  const successors = bed.others(leader);
  if (forMs >= 5000) await load.untilMore(20, successors);
  await frozen;

  // These wait in its socket and are the first that it sees.
  const newest = load.newest(successors);
  const path = `/api/v1/zone/${newest.id}?consistency=linearizable`;
  const reads = Array.from({ length: 10 }, () => ask(leader, path));
  const writes = Array.from({ length: 10 }, (_, i) => load.writeOnce(leader, `late ${newest.id} ${i}`));
  leader.signal("SIGCONT");
  for (const read of reads) load.judgeRead(leader, newest, await read);
  await Promise.all(writes);
  await load.untilMore(5, [leader]);
}

scenario(
  "SIGSTOP of the leader for 6 s: no stale linearizable read, nothing of its late work counts",
  "short",
  async (bed) => {
    await bed.formed(3);
    await freezeLeader(bed, await bed.startLoad(), 6000);
  },
);

scenario("SIGSTOP of the leader for 1 s, 3 s, 10 s and 30 s", "long", async (bed) => {
  await bed.formed(3);
  const load = await bed.startLoad();
  for (const forMs of [1000, 3000, 10_000, 30_000]) await freezeLeader(bed, load, forMs);
});
