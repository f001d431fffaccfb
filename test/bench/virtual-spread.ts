import { Replicas } from "#test/unit/agent/registry/replicas.ts";
import type { Report } from "#test/bench/report.ts";
import { median } from "#test/bench/statistics.ts";

const WRITES = 50;
/** One way, on every link. */
const LATENCY_MS = 1;

/**
 * The same in virtual time, where computing costs nothing: what is left is the number of messages that a write needs one after
 * another until it is everywhere, and how that grows with the number of agents.
 */
export async function virtualSpread(report: Report, sizes: readonly number[]): Promise<void> {
  report.chapter(`a write → applied on all, in virtual time, ${LATENCY_MS} ms one way, ${WRITES} writes`);
  for (const size of sizes) {
    const replicas = await Replicas.form(size);
    replicas.mesh.latencyMs = LATENCY_MS;
    await replicas.clock.advance(5000);
    const { leader, clock, hosts } = replicas;
    if (leader === null) throw new Error("nobody leads");
    const samples: number[] = [];
    for (let n = 0; n < WRITES; n += 1) {
      const start = clock.monotonicMs();
      let index = Number.POSITIVE_INFINITY;
      const written = leader.replica.submit({ type: "zone.create", name: `v${n}` }, { by: "bench" });
      void written.then((submitted) => (index = submitted.index));
      await clock.until(() => hosts.every(({ replica }) => replica.status().applied >= index), 60_000, 1);
      await written;
      samples.push(clock.monotonicMs() - start);
      await clock.advance(37);
    }
    report.row(`${size} agents, median`, median(samples), "virtual ms");
    report.row(`${size} agents, most`, Math.max(...samples), "virtual ms");
  }
}
