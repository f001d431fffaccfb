import { AUTH, leaderOf, untilVoters, type AgentProcess, type TestFleet } from "#test/support/agents.ts";
import { RawConnection, requestText } from "#test/bench/raw-client.ts";
import type { Report } from "#test/bench/report.ts";
import { median, percentile } from "#test/bench/statistics.ts";

/** Pause between two tries of the client that waits for the cluster to come back. */
const TRY_MS = 20;

/**
 * The leader is killed with kill -9 while a client writes at another agent; how long until a write is acknowledged again. Every
 * acknowledged write is looked for in the end.
 */
export async function failovers(report: Report, fleet: TestFleet, kills: number): Promise<void> {
  report.chapter(`failover: kill -9 of the leader of three, ${kills} times`);
  const agents = await fleet.formed(3);
  const gaps: number[] = [];
  const acknowledged: string[] = [];
  for (let kill = 0; kill < kills; kill += 1) {
    await untilVoters(agents, 3);
    const leader = await leaderOf(agents);
    const survivor = agents.find((agent) => agent !== leader) as AgentProcess;
    const write = await writer(survivor, acknowledged, `kill${kill}`);
    await write();
    const killed = performance.now();
    await leader.stop("SIGKILL");
    await write();
    gaps.push(performance.now() - killed);
    await leader.start();
  }
  report.row("leader killed → first write acknowledged, p50", median(gaps), "ms");
  report.row("leader killed → first write acknowledged, p99", percentile(gaps, 0.99), "ms");
  report.row("leader killed → first write acknowledged, slowest", Math.max(...gaps), "ms");
  const [last] = agents as [AgentProcess];
  const zones = (await last.get("/api/v1/zone?consistency=linearizable")).json.data as { name: string }[];
  const names = new Set(zones.map(({ name }) => name));
  report.row("acknowledged writes", acknowledged.length, "");
  report.row("acknowledged writes that are lost", acknowledged.filter((name) => !names.has(name)).length, "");
}

/** Makes a zone; tries again under the same key until it is acknowledged. */
async function writer(
  agent: AgentProcess,
  acknowledged: string[],
  prefix: string,
): Promise<() => Promise<void>> {
  let n = 0;
  let connection = await RawConnection.open(agent.plainUrl);
  return async () => {
    n += 1;
    const name = `${prefix}-${n}`;
    const request = requestText("POST", "/api/v1/zone", AUTH, JSON.stringify({ name }));
    const keyed = request.replace("\r\n", `\r\nIdempotency-Key: ${name}\r\n`);
    for (;;) {
      try {
        if ((await connection.exchange(keyed)) === 200) break;
      } catch {
        connection = await RawConnection.open(agent.plainUrl);
      }
      await new Promise((resolve) => setTimeout(resolve, TRY_MS));
    }
    acknowledged.push(name);
  };
}
