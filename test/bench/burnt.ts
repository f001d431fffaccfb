import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import type { TestFleet } from "#test/support/agents.ts";
import { largeCluster } from "#test/bench/fleets.ts";
import type { Report } from "#test/bench/report.ts";

/** Agents that share a machine with somebody who burns one core: nobody is dead, so nobody may be taken for dead. */
export async function burnt(report: Report, fleet: TestFleet, size: number, minutes: number): Promise<void> {
  report.chapter(`${size} agents while stress burns one core, ${minutes} minutes`);
  const agents = await largeCluster(fleet, size);
  const counts = { suspect: 0, dead: 0 };
  const watches = agents.map((agent) =>
    agent.onLine((line) => {
      if (!line.includes('"member liveness"')) return;
      if (line.includes('"liveness":"dead"')) counts.dead += 1;
      if (line.includes('"liveness":"suspect"')) counts.suspect += 1;
    }),
  );
  const stress = spawn("stress", ["--cpu", "1", "--timeout", `${minutes * 60}s`], { stdio: "ignore" });
  const ended = once(stress, "exit");
  await sleep(minutes * 60_000);
  await ended;
  for (const watch of watches) watch[Symbol.dispose]();
  report.row("agents taken for dead, told by all", counts.dead, "times");
  report.row("agents suspected, told by all", counts.suspect, "times");
}
