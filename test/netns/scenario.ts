import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import { appendResult } from "#test/histories/report.ts";

import { Bed } from "./bed.ts";
import { judge } from "./judge.ts";
import { guardEnd, sweep } from "./leftovers.ts";
import { whyNot } from "./requirements.ts";

const reason = whyNot();
if (reason === null) {
  sweep();
  guardEnd();
} else {
  console.warn(`no host can be built of network namespaces here, so nothing is tested: ${reason}`);
}

const short = process.env["MUSTER_NETNS"] === "short";

/**
 * One fault on real processes and a real network. The body breaks things and mends them again, under a load that it started;
 * then every agent must hold every acknowledged write exactly once. `short`: part of the set for every change, which takes
 * 90 seconds; `long` runs when nobody asked for the short set. The body answers with what else the report should say.
 */
export function scenario(
  name: string,
  set: "short" | "long",
  body: (bed: Bed) => Promise<string | void>,
): void {
  test(name, async (context) => {
    if (reason !== null) context.skip(reason);
    if (short && set === "long") context.skip("not in the short set");
    const seed = Number(process.env["MUSTER_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
    await using bed = await Bed.create(new Prng(seed));
    try {
      const notes = await body(bed);
      await conclude({ name, seed, notes: notes ?? "" }, bed);
    } catch (error) {
      const logs = await keepLogs(name, bed);
      throw new Error(`${String(error)}\nMUSTER_SEED=${seed}; what the agents said: ${logs}`, {
        cause: error,
      });
    }
  });
}

async function conclude(
  { name, seed, notes }: { readonly name: string; readonly seed: number; readonly notes: string },
  { load, agents }: Bed,
): Promise<void> {
  if (load === null) throw new Error("a scenario without load proves nothing");
  await load.stop();
  const verdict = await judge(load, agents);
  await appendResult({
    scenario: `netns: ${name}`,
    seed,
    acknowledged: load.acknowledged.length,
    refused: load.refused.length,
    unknown: load.unknown.length,
    lost: verdict.lost.length,
    doubled: verdict.doubled.length,
    unavailable_ms: Math.round(load.unavailableMs),
    notes: `${agents.length} agents; ${load.linearizableReads.answered} linearizable reads${notes === "" ? "" : `; ${notes}`}`,
  });
  expect({ ...verdict, surprises: load.surprises }).toEqual({
    lost: [],
    doubled: [],
    untrue: [],
    different: [],
    surprises: [],
  });
}

async function keepLogs(name: string, { agents }: Bed): Promise<string> {
  const folder = join(tmpdir(), `muster-netns-failed-${name.replaceAll(/[^a-z0-9]+/gi, "-").slice(0, 60)}`);
  await mkdir(folder, { recursive: true });
  for (const agent of agents) await writeFile(join(folder, `${agent.name}.log`), agent.output);
  return folder;
}
