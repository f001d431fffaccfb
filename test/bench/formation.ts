import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Level } from "level";

import type { AgentProcess, TestFleet } from "#test/support/agents.ts";
import type { Report } from "#test/bench/report.ts";
import { median, percentile } from "#test/bench/statistics.ts";

/** A synced put of 1 KiB on this disk: what every commit must pay at least once. */
export async function syncedPut(report: Report): Promise<void> {
  report.chapter("the disk");
  const dir = await mkdtemp(join(tmpdir(), "muster-bench-"));
  const level = new Level(dir);
  const samples: number[] = [];
  for (let i = 0; i < 500; i += 1) {
    const start = performance.now();
    await level.put(`k${i}`, "x".repeat(1024), { sync: true });
    samples.push(performance.now() - start);
  }
  await level.close();
  await rm(dir, { recursive: true, force: true });
  report.row("synced Level put of 1 KiB, p50", median(samples), "ms");
  report.row("synced Level put of 1 KiB, p99", percentile(samples, 0.99), "ms");
}

/** From three idle agents that answer, to three that say `completed`; asked every 10 ms. */
export async function formation(
  report: Report,
  runs: number,
  withFleet: (measure: (fleet: TestFleet) => Promise<void>) => Promise<void>,
): Promise<void> {
  report.chapter(`bootstrap, ${runs} runs`);
  const samples: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    await withFleet(async (fleet) => {
      const agents = await Promise.all([fleet.add(), fleet.add(), fleet.add()]);
      await Promise.all(agents.map((agent) => agent.start()));
      const [first, ...others] = agents as [AgentProcess, ...AgentProcess[]];
      const start = performance.now();
      await first.create();
      await completed(first);
      await Promise.all(others.map((agent) => agent.join([first])));
      await Promise.all(others.map((agent) => completed(agent)));
      samples.push(performance.now() - start);
    });
  }
  report.row("three idle agents → three completed", median(samples), "ms");
}

async function completed(agent: AgentProcess): Promise<void> {
  for (;;) {
    const state = await agent.bootstrapState();
    if (state === "completed") return;
    if (state === "error") throw new Error((await agent.get("/v1/bootstrap")).text);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
