import { spawn } from "node:child_process";
import { once } from "node:events";

import { AUTH, type AgentProcess, type TestFleet } from "#test/support/agents.ts";
import { cpuSeconds } from "#test/bench/processes.ts";
import { RawConnection, requestText } from "#test/bench/raw-client.ts";
import type { Report } from "#test/bench/report.ts";
import { median } from "#test/bench/statistics.ts";

const CLIENTS = 32;

/** Reads of the whole registry at one agent: three nodes in a real cluster, then many in a registry of one. */
export async function reads(report: Report, fleet: TestFleet, runs: number, seconds: number): Promise<void> {
  report.chapter(`reads of all registered nodes, ${CLIENTS} clients, ${runs} runs of ${seconds} s`);
  const agents = await fleet.formed(3);
  await registerOwnNodes(agents);
  await measure(report, agents[0] as AgentProcess, 3, AUTH, runs, seconds);
  await ofMany(report, 1000, runs, seconds);
}

/** The agent's own CPU time tells how many one core would serve. */
async function measure(
  report: Report,
  agent: { plainUrl: string; pid: number },
  nodes: number,
  auth: string,
  runs: number,
  seconds: number,
): Promise<void> {
  const request = requestText("GET", "/api/v1/registry/node", auth);
  const rate: number[] = [];
  const perCore: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const before = cpuSeconds(agent.pid);
    const answers = await keepAsking(agent.plainUrl, request, seconds);
    rate.push(answers / seconds);
    perCore.push(answers / (cpuSeconds(agent.pid) - before));
  }
  report.row(`${nodes} nodes`, median(rate), "req/s");
  report.row(`${nodes} nodes, per core-second of the agent`, median(perCore), "req");
}

async function keepAsking(url: string, request: string, seconds: number): Promise<number> {
  const connections = await Promise.all(Array.from({ length: CLIENTS }, () => RawConnection.open(url)));
  const until = performance.now() + seconds * 1000;
  let answers = 0;
  await Promise.all(
    connections.map(async (connection) => {
      while (performance.now() < until) {
        const status = await connection.exchange(request);
        if (status !== 200) throw new Error(`status ${status}`);
        answers += 1;
      }
    }),
  );
  for (const connection of connections) connection.close();
  return answers;
}

/** A registry that no three hosts of a test can have: the real API over a registry of one, in its own process. */
async function ofMany(report: Report, nodes: number, runs: number, seconds: number): Promise<void> {
  const main = new URL("registry-server.ts", import.meta.url).pathname;
  const server = spawn(process.execPath, [main, String(nodes)], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(server, "exit");
  try {
    const [said] = (await Promise.race([once(server.stdout, "data"), ended])) as [unknown];
    if (!Buffer.isBuffer(said)) throw new Error("the registry's server ended at start");
    const agent = { plainUrl: said.toString().trim(), pid: server.pid ?? Number.NaN };
    await measure(report, agent, nodes, "admin:secret", runs, seconds);
  } finally {
    server.stdin.end();
    await ended;
  }
}

/** Only detected nodes can be registered: the hosts' own. */
async function registerOwnNodes(agents: readonly AgentProcess[]): Promise<void> {
  const [first] = agents as [AgentProcess];
  const zone = (await first.post("/api/v1/zone", { name: "bench" })).json.data.id as number;
  const detected = (await first.get("/api/v1/registry/nodes/new")).json.data as {
    uuid: string;
    hostname: string;
  }[];
  for (const { uuid, hostname } of detected) {
    const uri = `${hostname}:3301`;
    const body = { zone_id: zone, uuid, uri, user: "user1:pass1", cfg: { listen: "0.0.0.0:3301" } };
    const answer = await first.post("/api/v1/registry/node", body);
    if (answer.status !== 200) throw new Error(answer.text);
  }
}
