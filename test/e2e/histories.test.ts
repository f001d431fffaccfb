import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import type { Wish } from "#test/histories/attempt.ts";
import { Clients } from "#test/histories/clients.ts";
import { saveHistory, type Call } from "#test/histories/history.ts";
import { appendResult } from "#test/histories/report.ts";
import { judge } from "#test/histories/verdict.ts";
import { leaderOf, TestFleet, type AgentProcess } from "#test/support/agents.ts";

// Goal: whatever happens to the agents, what clients see is what one registry that does one thing at a time would show.
// Method: clients at all agents write and read; agents are killed, stopped and woken up meanwhile; then the whole history is
// judged. HISTORIES_SEED draws other choices; timing is never the same, so a failed history is kept in a file.

const seed = Number(process.env["HISTORIES_SEED"] ?? 1);
const CLIENTS = 6;
/** Some ten seconds on an idle machine; a loaded one may take its time, for nothing here depends on it. */
const RUN_MS_MAX = 240_000;
const READ_ZONES: Wish = {
  action: { type: "read_zones" },
  read: { consistency: "linearizable", min_index: 0 },
  key: null,
};
/** Pause between reads asked of a stopped agent. */
const PROBE_MS = 100;

/** What a test does to the agents, in between so many acknowledged writes. */
class Trial {
  readonly agents: readonly AgentProcess[];
  readonly clients: Clients;

  constructor(agents: readonly AgentProcess[], clients: Clients) {
    this.agents = agents;
    this.clients = clients;
  }

  /** Waits for that many more acknowledged writes. */
  async progress(writes: number): Promise<void> {
    const goal = this.clients.acknowledged + writes;
    await this.#other().until(`${writes} more writes are acknowledged`, () =>
      Promise.resolve(this.clients.acknowledged >= goal),
    );
  }

  async leader(): Promise<AgentProcess> {
    return leaderOf(this.agents, this.#other());
  }

  async follower(): Promise<AgentProcess> {
    const leader = await this.leader();
    return this.agents.find((agent) => agent !== leader) as AgentProcess;
  }

  /** Kill -9; writes go on without it; then it comes back. */
  async kill(agent: AgentProcess, writes: number): Promise<void> {
    this.clients.away(agent);
    await agent.stop("SIGKILL");
    await this.progress(writes);
    this.clients.reborn(agent);
    await agent.start();
    this.clients.back(agent);
  }

  /**
   * Stops it while others write on, and keeps asking it for linearizable reads. They are answered when it wakes up: the moment
   * in which an old leader knows least.
   */
  async stop(agent: AgentProcess, writes: number): Promise<void> {
    this.clients.away(agent);
    agent.signal("SIGSTOP");
    const probes: Promise<Call>[] = [];
    const probing = setInterval(() => probes.push(this.clients.ask(agent, READ_ZONES)), PROBE_MS);
    try {
      await this.progress(writes);
    } finally {
      clearInterval(probing);
      agent.signal("SIGCONT");
    }
    this.clients.back(agent);
    await Promise.all(probes);
  }

  /** Everything that clients were told must now be there, whoever is asked. */
  async finish(): Promise<void> {
    await this.clients.stop();
    for (const agent of this.agents) {
      await agent.until("reads linearizably", async () => {
        const { outcome } = await this.clients.ask(agent, READ_ZONES);
        return outcome.type === "answered";
      });
    }
  }

  #other(): AgentProcess {
    return this.agents.find((agent) => !this.clients.isAway(agent)) as AgentProcess;
  }
}

async function run(scenario: string, size: number, faults: (trial: Trial) => Promise<void>): Promise<void> {
  await using fleet = await TestFleet.create();
  const agents = await fleet.formed(size);
  const [first] = agents as [AgentProcess];
  const detected = (await first.get("/api/v1/registry/nodes/new")).json.data as { uuid: string }[];
  const nodes = detected.map(({ uuid }) => uuid) as [string, ...string[]];
  const clients = new Clients(agents, { scenario, seed, nodes });
  const trial = new Trial(agents, clients);
  await clients.start(CLIENTS);
  try {
    await trial.progress(40);
    await faults(trial);
    await trial.finish();
  } finally {
    await clients.stop();
  }
  const kept = await mkdtemp(join(tmpdir(), "muster-history-"));
  const path = join(kept, "history.jsonl");
  await saveHistory(path, clients.history);
  const { problems, result } = judge(clients.history);
  await appendResult({ ...result, notes: `${size} agents; ${result.notes}` });
  if (problems.length > 0) {
    expect.fail(`${problems.join("\n")}\njudge it again: node test/histories/judge.ts ${path}`);
  }
  await rm(kept, { recursive: true });
}

test(
  "three agents: the leader is killed, the next one stopped, then a follower",
  { timeout: RUN_MS_MAX },
  async () => {
    await run(
      "3 agents: kill -9 of the leader, SIGSTOP of the leader, SIGSTOP of a follower",
      3,
      async (trial) => {
        await trial.kill(await trial.leader(), 60);
        await trial.progress(40);
        await trial.stop(await trial.leader(), 60);
        await trial.progress(40);
        await trial.stop(await trial.follower(), 60);
        await trial.progress(40);
      },
    );
  },
);

test(
  "five agents: leader and follower are stopped together, then the leader is killed",
  { timeout: RUN_MS_MAX },
  async () => {
    await run("5 agents: SIGSTOP of leader and follower, kill -9 of the leader", 5, async (trial) => {
      const [leader, follower] = [await trial.leader(), await trial.follower()];
      await Promise.all([trial.stop(leader, 60), trial.stop(follower, 60)]);
      await trial.progress(40);
      await trial.kill(await trial.leader(), 60);
      await trial.progress(40);
    });
  },
);
