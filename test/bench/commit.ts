import { AUTH, leaderOf, untilVoters, type AgentProcess, type TestFleet } from "#test/support/agents.ts";
import { EtcdCluster } from "#test/bench/etcd.ts";
import { fire, type Fired, type Shot } from "#test/bench/load.ts";
import type { Report } from "#test/bench/report.ts";
import { median, percentile } from "#test/bench/statistics.ts";

const CLIENTS = [1, 16, 64, 256];
const WARM_UP_S = 10;

/** Three voters each, fsync, loopback, the same disk and the same load generator, in turns. */
export async function commits(
  report: Report,
  fleet: TestFleet,
  runs: number,
  seconds: number,
): Promise<void> {
  report.chapter(
    `commit: three voters, one record overwritten over and over, ${runs} runs of ${seconds} s in turns`,
  );
  const agents = await fleet.formed(3);
  await untilVoters(agents, 3);
  const ours = await registeredNode(agents);
  const cases: readonly [string, () => Promise<Shot>, Map<number, Fired[]>][] = [
    ["muster (PUT over HTTP/1.1)", async () => ours(await leaderOf(agents)), new Map()],
    ["etcd (put over gRPC)", () => etcd.put("bench", "x".repeat(100)), new Map()],
  ];
  await using etcd = await EtcdCluster.start();
  // A server is measured as one that has been up for a while.
  for (const [, shot] of cases) await fire(await shot(), 16, WARM_UP_S);
  for (const clients of CLIENTS) {
    for (let run = 0; run < runs; run += 1) {
      for (const [, shot, fired] of cases) {
        const done = await fire(await shot(), clients, seconds);
        fired.set(clients, [...(fired.get(clients) ?? []), done]);
      }
    }
    const plural = clients === 1 ? "client" : "clients";
    for (const [who, , fired] of cases) {
      const all = fired.get(clients) ?? [];
      const of = (value: (one: Fired) => number): number => median(all.map(value));
      report.row(
        `${who}, ${clients} ${plural}, p50`,
        of(({ latencies }) => median(latencies)),
        "ms",
      );
      report.row(
        `${who}, ${clients} ${plural}, p99`,
        of(({ latencies }) => percentile(latencies, 0.99)),
        "ms",
      );
      report.row(
        `${who}, ${clients} ${plural}`,
        of(({ perSecond }) => perSecond),
        "writes/s",
      );
    }
  }
}

/** Registers a node and answers with the request that overwrites its record, at any agent. */
async function registeredNode(agents: readonly AgentProcess[]): Promise<(agent: AgentProcess) => Shot> {
  const [first] = agents as [AgentProcess];
  const zone = (await first.post("/api/v1/zone", { name: "bench" })).json.data.id as number;
  const [node] = (await first.get("/api/v1/registry/nodes/new")).json.data as { uuid: string }[];
  const uuid = node?.uuid ?? "";
  const made = await first.post("/api/v1/registry/node", { zone_id: zone, uuid, uri: "bench:3301", cfg: {} });
  if (made.status !== 200) throw new Error(made.text);
  const body = JSON.stringify({ cfg: { value: "x".repeat(100) } });
  return (agent) => ({
    url: `${agent.plainUrl}/api/v1/registry/node/${uuid}`,
    http1: true,
    headers: [
      ":method: PUT",
      `authorization: Basic ${Buffer.from(AUTH).toString("base64")}`,
      "content-type: application/json",
    ],
    body,
  });
}
