import { SystemClock } from "#agent/clock/system-clock.ts";
import { Replica } from "#agent/registry/replica.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import { FakeMesh } from "#test/support/fake-mesh.ts";
import { openMemoryStores, MemoryDisk } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";
import type { Report } from "#test/bench/report.ts";
import { median, percentile } from "#test/bench/statistics.ts";

const WRITES = 200;
const PAUSE_MS = 20;
/** One way, on every link: half of what a host in the same data centre is away. */
const LATENCY_MS = 1;

/**
 * The registry's real driver many times in one process, over a mesh in memory with a delay on every link: how the way of a write to
 * all agents grows with their number, where a machine is too small for so many processes.
 */
export async function inProcess(report: Report, sizes: readonly number[]): Promise<void> {
  report.chapter(`a write → applied on all, in one process, ${LATENCY_MS} ms one way, ${WRITES} writes`);
  // The agent's own timers keep no process alive.
  const alive = setInterval(() => undefined, 1000);
  for (const size of sizes) {
    const agents = await agentsInMemory(size);
    const [leader] = agents as [Replica];
    const samples: number[] = [];
    for (let n = 0; n < WRITES; n += 1) {
      const start = performance.now();
      const { index } = await leader.submit({ type: "zone.create", name: `z${n}` }, { by: "bench" });
      await Promise.all(agents.map((agent) => agent.waitForIndex(index, { timeoutMs: 30_000 })));
      samples.push(performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    report.row(`${size} agents, p50`, median(samples), "ms");
    report.row(`${size} agents, p99`, percentile(samples, 0.99), "ms");
    await Promise.all(agents.map((agent) => agent.stop()));
  }
  clearInterval(alive);
}

async function agentsInMemory(size: number): Promise<Replica[]> {
  const clock = new SystemClock();
  const mesh = new FakeMesh({ clock });
  mesh.latencyMs = LATENCY_MS;
  const agents: Replica[] = [];
  for (let n = 1; n <= size; n += 1) {
    const member = makeMember(n);
    const replica = new Replica({
      transport: mesh.join(member.peer),
      stores: openMemoryStores(new MemoryDisk()),
      clock,
      log: new RecordingLog(),
      random: Math.random,
      createCore: (options, start) => new RaftCore(options, start),
      membership: { isAlive: () => true, self: () => ({ score: 0, loopDelayMs: 0 }) },
      session: 1,
    });
    const identity = { clusterId: "bench", incarnation: 1, uid: n, contacts: [] };
    const [leader] = agents;
    if (leader === undefined) {
      await replica.found(identity);
      await replica.submit(makeCluster(member), { by: "bench" });
    } else {
      await leader.submit({ type: "member.add", member }, { by: "bench" });
      await replica.follow(identity);
      await leader.submit({ type: "member.activate", peer: member.peer }, { by: "bench" });
    }
    agents.push(replica);
  }
  const [leader] = agents as [Replica];
  while (leader.status().config.voters.length !== 5 || leader.status().config.outgoing.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return agents.toSorted((a, b) => rank(a) - rank(b));
}

function rank(replica: Replica): number {
  return replica.status().role === "leader" ? 0 : 1;
}
