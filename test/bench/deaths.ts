import type { AgentProcess, TestFleet } from "#test/support/agents.ts";
import { largeCluster } from "#test/bench/fleets.ts";
import type { Report } from "#test/bench/report.ts";
import { SerfCluster } from "#test/bench/serf.ts";
import { median } from "#test/bench/statistics.ts";

/** Longest a death may take to be known to all before the run counts as failed. */
const KNOWN_MS_MAX = 120_000;

/** Agents that can be hurt, and that say on their output whom they take for dead. */
export interface Mortals {
  readonly who: string;
  readonly size: number;
  /** Hurts the one of that number and mends it again: kill -9 or SIGSTOP. */
  hurt(n: number, signal: "SIGKILL" | "SIGSTOP"): void;
  mend(n: number): Promise<void>;
  /** Calls back with every line of every agent's output, as it is read. */
  onLine(listener: (from: number, line: string) => void): Disposable;
  /** Whom the line takes for dead. */
  deathIn(line: string): number | null;
  /** Whether all are taken for alive by all. */
  whole(): Promise<boolean>;
}

/** Twenty agents of muster and of Serf (LAN defaults), one of them killed or stopped; when the last of the others knew. */
export async function deaths(report: Report, fleet: TestFleet, size: number, runs: number): Promise<void> {
  report.chapter(`death of one of ${size} agents → known to all others, ${runs} runs each`);
  {
    await using serf = await SerfCluster.start(size);
    await measure(report, serf, runs);
  }
  await measure(report, await agentsOf(fleet, size), runs);
}

async function measure(report: Report, mortals: Mortals, runs: number): Promise<void> {
  for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
    const first: number[] = [];
    const all: number[] = [];
    for (let run = 0; run < runs; run += 1) {
      const victim = 1 + (run % (mortals.size - 1)); // Never the first, whom the others joined at.
      const known = await death(mortals, victim, signal);
      first.push(Math.min(...known));
      all.push(Math.max(...known));
      await mortals.mend(victim);
      while (!(await mortals.whole())) await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const what = signal === "SIGKILL" ? "kill -9" : "SIGSTOP";
    report.row(`${mortals.who}, ${what} → known to the first`, median(first), "ms");
    report.row(`${mortals.who}, ${what} → known to all`, median(all), "ms");
  }
}

/** Milliseconds until each of the others said that the victim is dead. */
async function death(mortals: Mortals, victim: number, signal: "SIGKILL" | "SIGSTOP"): Promise<number[]> {
  const known = new Map<number, number>();
  const everybody = Promise.withResolvers<void>();
  const late = setTimeout(
    () => everybody.reject(new Error(`${mortals.who}: a death is not known to all`)),
    KNOWN_MS_MAX,
  );
  const hurtAt = performance.now();
  using _listening = mortals.onLine((from, line) => {
    if (mortals.deathIn(line) !== victim || known.has(from)) return;
    known.set(from, performance.now() - hurtAt);
    if (known.size === mortals.size - 1) everybody.resolve();
  });
  mortals.hurt(victim, signal);
  await everybody.promise.finally(() => clearTimeout(late));
  return [...known.values()];
}

async function agentsOf(fleet: TestFleet, size: number): Promise<Mortals> {
  const agents = await largeCluster(fleet, size);
  const numberOf = new Map(agents.map(({ name }, n) => [name, n]));
  const at = (n: number): AgentProcess => agents[n] as AgentProcess;
  return {
    who: "muster",
    size,
    hurt: (n, signal) => {
      if (signal === "SIGKILL") void at(n).stop("SIGKILL");
      else at(n).signal("SIGSTOP");
    },
    mend: async (n) => {
      at(n).signal("SIGCONT");
      if (!at(n).running) await at(n).start();
    },
    onLine: (listener) => {
      const watches = agents.map((agent, n) => agent.onLine((line) => listener(n, line)));
      return { [Symbol.dispose]: () => watches.forEach((watch) => watch[Symbol.dispose]()) };
    },
    deathIn: (line) => {
      if (!line.includes('"member liveness"')) return null;
      const { member, liveness } = JSON.parse(line) as { member?: string; liveness?: string };
      return liveness === "dead" ? (numberOf.get(member ?? "") ?? null) : null;
    },
    whole: async () => {
      for (const agent of agents) {
        const { json } = await agent.get("/muster/v1/members");
        const members = (json?.members ?? []) as { liveness: string }[];
        if (members.length !== size || members.some(({ liveness }) => liveness !== "alive")) return false;
      }
      return true;
    },
  };
}
