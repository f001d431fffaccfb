import { AUTH, leaderOf, untilVoters, type AgentProcess, type TestFleet } from "#test/support/agents.ts";
import { BareTrio } from "#test/bench/bare.ts";
import { EtcdCluster } from "#test/bench/etcd.ts";
import { fire, type Fired, type Shot } from "#test/bench/load.ts";
import type { Report } from "#test/bench/report.ts";
import { median, percentile } from "#test/bench/statistics.ts";

const CLIENTS = [1, 16, 64, 256];
const SETTLE_MS = 35_000;
const WARM_UP_S = 10;
const WARM_UP_CLIENTS = 16;

interface Case {
  readonly who: string;
  readonly shot: () => Promise<Shot>;
  /** More than so many at a time it cannot take. */
  readonly clientsMax?: number;
}

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
  const cases: readonly Case[] = [
    { who: "muster (PUT over HTTP/1.1)", shot: async () => ours(await leaderOf(agents)) },
    { who: "etcd (put over gRPC)", shot: () => etcd.put("bench", "x".repeat(100)) },
    { who: "three bare processes in Node", shot: async () => bare.shot("x".repeat(100)), clientsMax: 1 },
  ];
  await using etcd = await EtcdCluster.start();
  await using bare = await BareTrio.start();
  // Each is measured as one that has been up for a while: an agent with nothing to do then throws away what only its start needed.
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  for (const { shot, clientsMax = WARM_UP_CLIENTS } of cases) await fire(await shot(), clientsMax, WARM_UP_S);
  for (const clients of CLIENTS) {
    const fired = new Map<Case, Fired[]>();
    const measured = cases.filter(({ clientsMax = Infinity }) => clients <= clientsMax);
    for (let run = 0; run < runs; run += 1) {
      for (const one of measured) {
        const done = await fire(await one.shot(), clients, seconds);
        fired.set(one, [...(fired.get(one) ?? []), done]);
      }
    }
    const plural = clients === 1 ? "client" : "clients";
    for (const [{ who }, all] of fired) {
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
