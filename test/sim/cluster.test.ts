import { createHash } from "node:crypto";

import { expect, test } from "vitest";

import { ClusterWorld } from "./cluster-world.ts";

// Goal: whatever happens to hosts, disks, clocks and the network, a cluster loses nothing that it acknowledged, and once they
// behave it comes back by itself.
// Method: the agent's own parts, wired as in the agent, over simulated ports; the seed decides everything, so a failure
// replays: SIM_SEED=k runs only that one, SIM_SEEDS=n so many. SIM_TRACE=1 prints what happened.

const one = process.env["SIM_SEED"];
const many = Number(process.env["SIM_SEEDS"] ?? 300);
const seeds = one === undefined ? Array.from({ length: many }, (_, i) => i + 1) : [Number(one)];
const counts = new Map<string, number>();
const print = (line: string): void => void process.stderr.write(`${line}\n`);

async function run(seed: number, trace?: (line: string) => void): Promise<void> {
  using world = new ClusterWorld(seed, { counts, ...(trace === undefined ? {} : { trace }) });
  await world.run();
}

test.each(seeds)("nothing is lost and all comes back (SIM_SEED=%i)", async (seed) => {
  await run(seed, process.env["SIM_TRACE"] === undefined ? undefined : print);
});

test.each([1, 2, 3])("the same seed gives the same run, to the last message (seed %i)", async (seed) => {
  const hashes: string[] = [];
  for (let i = 0; i < 2; i += 1) {
    const hash = createHash("sha256");
    await run(seed, (line) => void hash.update(line));
    hashes.push(hash.digest("hex"));
  }
  expect(hashes[1]).toBe(hashes[0]);
});
