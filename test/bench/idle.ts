import { AUTH, leaderOf, type AgentProcess, type TestFleet } from "#test/support/agents.ts";
import { EtcdCluster } from "#test/bench/etcd.ts";
import { largeCluster } from "#test/bench/fleets.ts";
import { cpuSeconds, residentMegabytes, sentBetween, sentBytes } from "#test/bench/processes.ts";
import { RawConnection, requestText } from "#test/bench/raw-client.ts";
import type { Report } from "#test/bench/report.ts";
import { median } from "#test/bench/statistics.ts";

/** So that what the start brought is over: facts told, voters chosen, and what runs often compiled, which V8 takes its time over. */
const SETTLE_MS = 60_000;
const WATCH_S = 30;
/** Writes per second while the leader's traffic is watched. */
const WRITES_PER_S = 50;

/** What agents cost that nobody talks to, and what a steady trickle of writes costs the leader and the others. */
export async function idle(report: Report, fleet: TestFleet, size: number): Promise<void> {
  report.chapter(`${size} agents, idle for ${WATCH_S} s, then ${WRITES_PER_S} writes/s at the leader`);
  const agents = await largeCluster(fleet, size);
  await pause(SETTLE_MS);
  const quiet = await watch(agents, WATCH_S);
  report.row("idle: CPU of an agent", median(quiet.cpu), "% of a core");
  report.row("idle: memory of an agent (RSS)", median(agents.map(({ pid }) => residentMegabytes(pid))), "MB");
  report.row("idle: sent by an agent, median", median(quiet.sent), "bytes/s");
  const leader = await leaderOf(agents);
  const at = agents.indexOf(leader);
  report.row("idle: sent by the leader", quiet.sent[at] ?? Number.NaN, "bytes/s");
  const stop = new AbortController();
  const writing = trickle(leader, stop.signal);
  const busy = await watch(agents, WATCH_S);
  stop.abort();
  await writing;
  report.row("writes: sent by the leader", busy.sent[at] ?? Number.NaN, "bytes/s");
  report.row("writes: CPU of the leader", busy.cpu[at] ?? Number.NaN, "% of a core");
  const others = busy.sent.filter((_, n) => n !== at);
  report.row("writes: sent by another agent, median", median(others), "bytes/s");
  report.row("writes: sent by another agent, most", Math.max(...others), "bytes/s");
}

/** What three members of etcd cost meanwhile on the same machine, which decides what a process costs that is woken some ten times a second. */
export async function idleEtcd(report: Report): Promise<void> {
  report.chapter(`3 members of etcd, idle for ${WATCH_S} s`);
  await using etcd = await EtcdCluster.start();
  await pause(SETTLE_MS);
  const members = etcd.pids.map((pid) => ({ pid }));
  const quiet = await watch(members, WATCH_S);
  report.row("idle: CPU of a member", median(quiet.cpu), "% of a core");
  report.row("idle: memory of a member (RSS)", median(etcd.pids.map((pid) => residentMegabytes(pid))), "MB");
  report.row("idle: sent by a member, median", median(quiet.sent), "bytes/s");
  report.row("idle: sent by a member, most", Math.max(...quiet.sent), "bytes/s");
}

async function watch(
  agents: readonly { readonly pid: number }[],
  seconds: number,
): Promise<{ cpu: number[]; sent: number[] }> {
  const cpuBefore = agents.map(({ pid }) => cpuSeconds(pid));
  const sentBefore = sentBytes();
  await pause(seconds * 1000);
  const sentAfter = sentBytes();
  return {
    cpu: agents.map(({ pid }, n) => ((cpuSeconds(pid) - (cpuBefore[n] ?? 0)) / seconds) * 100),
    sent: agents.map(({ pid }) => sentBetween(pid, sentBefore, sentAfter) / seconds),
  };
}

async function trickle(leader: AgentProcess, signal: AbortSignal): Promise<void> {
  const zone = (await leader.post("/api/v1/zone", { name: "trickle" })).json.data.id as number;
  const connection = await RawConnection.open(leader.plainUrl);
  for (let n = 0; !signal.aborted; n += 1) {
    const body = JSON.stringify({ name: `trickle ${n}` });
    await connection.exchange(requestText("PUT", `/api/v1/zone/${zone}`, AUTH, body));
    await pause(1000 / WRITES_PER_S);
  }
  connection.close();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
