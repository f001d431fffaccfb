import type { AgentProcess, TestFleet } from "#test/support/agents.ts";
import { AUTH, leaderOf } from "#test/support/agents.ts";
import { largeCluster } from "#test/bench/fleets.ts";
import type { Report } from "#test/bench/report.ts";
import { median, percentile } from "#test/bench/statistics.ts";

const WRITES = 200;
const PAUSE_MS = 20;

/** One write after the other at the leader; when the event stream of the last of the agents told of it. */
export async function spread(report: Report, fleet: TestFleet, size: number): Promise<void> {
  report.chapter(`a write → visible on all of ${size} agents, as processes, ${WRITES} writes`);
  const agents = await largeCluster(fleet, size);
  const arrivals = new Map<number, number[]>();
  let told: () => void = () => undefined;
  const stop = new AbortController();
  await Promise.all(
    agents.map((agent) =>
      follow(agent, stop.signal, (index) => {
        arrivals.set(index, [...(arrivals.get(index) ?? []), performance.now()]);
        told();
      }),
    ),
  );
  const leader = await leaderOf(agents);
  const acknowledged: number[] = [];
  const everywhere: number[] = [];
  for (let n = 0; n < WRITES; n += 1) {
    const start = performance.now();
    const answer = await leader.post("/api/v1/zone", { name: `spread ${n}` });
    acknowledged.push(performance.now() - start);
    const index = Number(answer.headers["x-muster-index"]);
    while ((arrivals.get(index)?.length ?? 0) < size) {
      await new Promise<void>((resolve) => {
        told = resolve;
      });
    }
    everywhere.push(Math.max(...(arrivals.get(index) ?? [])) - start);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  stop.abort();
  report.row("acknowledged, p50", median(acknowledged), "ms");
  report.row("visible on all, p50", median(everywhere), "ms");
  report.row("visible on all, p99", percentile(everywhere, 0.99), "ms");
}

/** Reads an agent's event stream; resolves once it has begun. */
async function follow(
  agent: AgentProcess,
  signal: AbortSignal,
  onIndex: (index: number) => void,
): Promise<void> {
  const authorization = `Basic ${Buffer.from(AUTH).toString("base64")}`;
  const answer = await fetch(`${agent.plainUrl}/muster/v1/events`, { headers: { authorization }, signal });
  const { body } = answer;
  if (!answer.ok || body === null) throw new Error(`events: ${answer.status}`);
  const read = async (): Promise<void> => {
    let rest = "";
    for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (!line.startsWith("data: ")) continue;
        const event = JSON.parse(line.slice(6)) as { index?: number; changes?: unknown };
        if (event.index !== undefined) onIndex(event.index);
      }
    }
  };
  void read().catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
