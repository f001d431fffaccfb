import { Bundle } from "#test/support/bundle.ts";
import { TestFleet } from "#test/support/agents.ts";
import { AS_THE_UNIT } from "#test/bench/fleets.ts";
import { residentMegabytes } from "#test/bench/processes.ts";
import type { Report } from "#test/bench/report.ts";
import { median } from "#test/bench/statistics.ts";

/** When what the start needed is given back (agent/main.ts) and the numbers stand still. */
const SETTLE_MS = 40_000;

/** From the sources and from the bundle, in turns: until a new agent's API answers, and what one keeps of the memory that this took. */
export async function starts(report: Report, runs: number): Promise<void> {
  report.chapter(`the first start of an agent, ${3 * runs} of each kind in turns`);
  await using bundle = await Bundle.make();
  const kinds = [
    { what: "sources", main: undefined },
    { what: "bundle", main: bundle.main },
  ] as const;
  const took = new Map<string, number[]>();
  const keeps = new Map<string, number[]>();
  for (let run = 0; run < 3 * runs; run += 1) {
    for (const { what, main } of kinds) {
      await using fleet = await TestFleet.create({
        env: AS_THE_UNIT,
        ...(main === undefined ? {} : { main }),
      });
      const agent = await fleet.add();
      const began = performance.now();
      await agent.start();
      took.set(what, [...(took.get(what) ?? []), performance.now() - began]);
      if (run >= runs) continue;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      keeps.set(what, [...(keeps.get(what) ?? []), residentMegabytes(agent.pid)]);
    }
  }
  for (const { what } of kinds) {
    report.row(`${what}: until the API answers`, median(took.get(what) ?? []), "ms");
    report.row(`${what}: memory after ${SETTLE_MS / 1000} s (RSS)`, median(keeps.get(what) ?? []), "MB");
  }
}
