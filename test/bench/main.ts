import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, release, totalmem, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { Level } from "level";

import { ADMIN, AUTH, leaderOf, TestFleet, untilVoters, type AgentProcess } from "#test/support/agents.ts";
import { RawConnection, requestText } from "#test/bench/raw-client.ts";
import { median, percentile, short } from "#test/bench/statistics.ts";

// `npm run bench`: real agents as processes on loopback. Every number is the median of several runs; nothing here asserts.

const { values } = parseArgs({
  options: { runs: { type: "string", default: "3" }, seconds: { type: "string", default: "4" } },
});
const RUNS = Number(values.runs);
const SECONDS = Number(values.seconds);

const rows: [what: string, value: string, unit: string][] = [];
function row(what: string, value: number, unit: string): void {
  rows.push([what, short(value), unit]);
  console.log(`  ${what.padEnd(64)} ${short(value).padStart(8)} ${unit}`);
}

/** A synced put of 1 KiB on this disk: what every commit must pay at least once. */
async function syncedPut(): Promise<void> {
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
  row("synced Level put of 1 KiB, p50", median(samples), "ms");
  row("synced Level put of 1 KiB, p99", percentile(samples, 0.99), "ms");
}

/** From three idle agents that answer, to three that say `completed`; asked every 10 ms. */
async function formation(): Promise<void> {
  const samples: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    await using fleet = await TestFleet.create();
    const agents = await Promise.all([fleet.add(), fleet.add(), fleet.add()]);
    await Promise.all(agents.map((agent) => agent.start()));
    const [first, ...others] = agents as [AgentProcess, ...AgentProcess[]];
    const start = performance.now();
    await first.create();
    await completed(first);
    await Promise.all(others.map((agent) => agent.join([first])));
    await Promise.all(others.map((agent) => completed(agent)));
    samples.push(performance.now() - start);
  }
  row("three idle agents → three completed", median(samples), "ms");
}

async function completed(agent: AgentProcess): Promise<void> {
  for (;;) {
    const state = await agent.bootstrapState();
    if (state === "completed") return;
    if (state === "error") throw new Error((await agent.get("/v1/bootstrap")).text);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Latencies of requests kept going by so many clients for SECONDS, round-robin over the agents. */
async function load(
  urls: readonly string[],
  clients: number,
  make: (client: number, i: number) => string,
  expected: number,
): Promise<{ perSecond: number; latencies: number[] }> {
  const latencies: number[] = [];
  const connections = await Promise.all(
    Array.from({ length: clients }, (_, i) => RawConnection.open(urls[i % urls.length] as string)),
  );
  const start = performance.now();
  const until = start + SECONDS * 1000;
  await Promise.all(
    connections.map(async (connection, client) => {
      for (let i = 0; performance.now() < until; i += 1) {
        const sent = performance.now();
        const status = await connection.exchange(make(client, i));
        latencies.push(performance.now() - sent);
        if (status !== expected) throw new Error(`status ${status}`);
      }
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  for (const connection of connections) connection.close();
  return { perSecond: latencies.length / seconds, latencies };
}

async function writes(agents: readonly AgentProcess[]): Promise<void> {
  const leader = await leaderOf(agents);
  const follower = agents.find((agent) => agent !== leader) as AgentProcess;
  const zone = (await leader.post("/api/v1/zone", { name: "bench" })).json.data.id as number;
  const make = (client: number, i: number): string =>
    requestText("PUT", `/api/v1/zone/${zone}`, AUTH, JSON.stringify({ name: `bench ${client} ${i}` }));
  const cases: [string, string[], number][] = [
    ["1 client at the leader", [leader.plainUrl], 1],
    ["1 client at a follower", [follower.plainUrl], 1],
    ["64 clients at the leader", [leader.plainUrl], 64],
    ["64 clients over all three", agents.map(({ plainUrl }) => plainUrl), 64],
  ];
  for (const [what, urls, clients] of cases) {
    const p50: number[] = [];
    const p99: number[] = [];
    const rate: number[] = [];
    for (let run = 0; run < RUNS; run += 1) {
      const { latencies, perSecond } = await load(urls, clients, make, 200);
      p50.push(median(latencies));
      p99.push(percentile(latencies, 0.99));
      rate.push(perSecond);
    }
    row(`commit over REST, ${what}, p50`, median(p50), "ms");
    row(`commit over REST, ${what}, p99`, median(p99), "ms");
    row(`commit over REST, ${what}`, median(rate), "writes/s");
  }
}

/** Reads of the whole registry at one agent; the agent's own CPU time tells how many one core would serve. */
async function reads(agent: { plainUrl: string; pid: number }, nodes: number, auth = AUTH): Promise<void> {
  const request = requestText("GET", "/api/v1/registry/node", auth);
  const rate: number[] = [];
  const perCore: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    const before = cpuSeconds(agent.pid);
    const { perSecond, latencies } = await load([agent.plainUrl], 32, () => request, 200);
    const used = cpuSeconds(agent.pid) - before;
    rate.push(perSecond);
    perCore.push(latencies.length / used);
  }
  row(`GET /api/v1/registry/node, ${nodes} nodes, 32 clients`, median(rate), "req/s");
  row(`GET /api/v1/registry/node, ${nodes} nodes, per core-second of the agent`, median(perCore), "req");
}

/** The same of a registry that no three hosts of a test can have: the real API over a registry of one, in its own process. */
async function readsOfMany(nodes: number): Promise<void> {
  const main = new URL("registry-server.ts", import.meta.url).pathname;
  const server = spawn(process.execPath, [main, String(nodes)], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(server, "exit");
  try {
    const [said] = (await Promise.race([once(server.stdout, "data"), ended])) as [unknown];
    if (!Buffer.isBuffer(said)) throw new Error("the registry's server ended at start");
    await reads({ plainUrl: said.toString().trim(), pid: server.pid ?? Number.NaN }, nodes, "admin:secret");
  } finally {
    server.stdin.end();
    await ended;
  }
}

/** User and system time of a process so far. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function residentMegabytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) / 1024;
}

/** Fresh agents that nobody talks to, watched for a while. */
async function idle(): Promise<void> {
  await using fleet = await TestFleet.create();
  const agents = await fleet.formed(3);
  await new Promise((resolve) => setTimeout(resolve, 15_000));
  const seconds = 30;
  const before = agents.map(({ pid }) => cpuSeconds(pid));
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const shares = agents.map(({ pid }, i) => ((cpuSeconds(pid) - (before[i] ?? 0)) / seconds) * 100);
  row("idle agent in a cluster of 3, CPU", median(shares), "% of a core");
  row(
    "idle agent in a cluster of 3, memory (RSS)",
    median(agents.map(({ pid }) => residentMegabytes(pid))),
    "MB",
  );
}

/** Registers nodes until there are so many; the hosts' own first, as only detected nodes can be registered. */
async function registerOwnNodes(agents: readonly AgentProcess[]): Promise<void> {
  const [first] = agents as [AgentProcess];
  const detected = (await first.get("/api/v1/registry/nodes/new")).json.data as {
    uuid: string;
    hostname: string;
  }[];
  for (const { uuid, hostname } of detected) {
    const body = {
      zone_id: 1,
      uuid,
      uri: `${hostname}:3301`,
      user: "user1:pass1",
      cfg: { listen: "0.0.0.0:3301" },
    };
    const answer = await first.post("/api/v1/registry/node", body);
    if (answer.status !== 200) throw new Error(answer.text);
  }
}

function machine(): string {
  const [cpu] = cpus();
  const disk = execFileSync("findmnt", ["-no", "FSTYPE", "-T", tmpdir()], { encoding: "utf8" }).trim();
  return `${cpus().length} × ${cpu?.model.trim() ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${disk}, Linux ${release()}, Node ${process.version}`;
}

console.log(`machine: ${machine()}`);
console.log(
  `medians of ${RUNS} runs of ${SECONDS} s; user ${ADMIN.username}; agents, clients and disk share the machine\n`,
);
await syncedPut();
await formation();
{
  await using fleet = await TestFleet.create();
  const agents = await fleet.formed(3);
  await untilVoters(agents, 3);
  await writes(agents);
  await registerOwnNodes(agents);
  await reads(agents[0] as AgentProcess, 3);
}
await readsOfMany(1000);
await idle();
console.log(`\n| what | median | unit |\n|---|---:|---|`);
for (const [what, value, unit] of rows) console.log(`| ${what} | ${value} | ${unit} |`);
