import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { Clients } from "#test/histories/clients.ts";
import { saveHistory } from "#test/histories/history.ts";
import { appendResult } from "#test/histories/report.ts";
import { Trial } from "#test/histories/trial.ts";
import { judge } from "#test/histories/verdict.ts";
import { TestFleet, type AgentProcess } from "#test/support/agents.ts";

// Goal: whatever happens to the agents, what clients see is what one registry that does one thing at a time would show.
// Method: clients at all agents write and read; agents are killed, stopped and woken up meanwhile; then the whole history is
// judged. HISTORIES_SEED draws other choices; timing is never the same, so a failed history is kept in a file.

const seed = Number(process.env["HISTORIES_SEED"] ?? 1);
const CLIENTS = 6;
/** Half a minute each on a machine that is not idle; a loaded one may take its time, for nothing here depends on it. */
const RUN_MS_MAX = 300_000;

async function run(scenario: string, size: number, faults: (trial: Trial) => Promise<void>): Promise<void> {
  await using fleet = await TestFleet.create();
  const agents = await fleet.formed(size);
  const [first] = agents as [AgentProcess];
  const detected = (await first.get("/api/v1/registry/nodes/new")).json.data as { uuid: string }[];
  const nodes = detected.map(({ uuid }) => uuid) as [string, string, ...string[]];
  const clients = new Clients(agents, { scenario, seed, nodes });
  const trial = new Trial(agents, clients, nodes);
  await clients.start(CLIENTS);
  const trouble: string[] = [];
  try {
    await trial.progress(40);
    await faults(trial);
    await trial.finish();
  } catch (error) {
    // Something did not come about. What clients saw until then may say why.
    trouble.push(String(error));
  }
  await clients.stop();
  const kept = await mkdtemp(join(tmpdir(), "muster-history-"));
  const path = join(kept, "history.jsonl");
  await saveHistory(path, clients.history);
  const { problems, result } = judge(clients.history);
  await appendResult({ ...result, notes: `${size} agents; ${result.notes}` });
  if (problems.length + trouble.length > 0) {
    const told = [...problems, `judge it again: node test/histories/judge.ts ${path}`, ...trouble];
    expect.fail(told.join("\n"));
  }
  await rm(kept, { recursive: true });
}

test(
  "three agents: the leader is killed, the next one deposed in its sleep, a follower stopped, a leader left alone",
  { timeout: RUN_MS_MAX },
  async () => {
    await run(
      "3 agents: leadership handed over; leader killed, deposed asleep, left alone; follower asleep; at times none is up",
      3,
      async (trial) => {
        await trial.handOver(10);
        await trial.kill(await trial.leader(), 30);
        await trial.progress(20);
        await trial.depose(await trial.leader(), 30);
        await trial.progress(20);
        await trial.stop([await trial.follower()], 30);
        await trial.progress(20);
        await trial.outvote(await trial.leader(), 20);
        await trial.progress(20);
      },
    );
  },
);

test(
  "five agents: leader and follower are stopped together, then the leader is killed",
  { timeout: RUN_MS_MAX },
  async () => {
    await run("5 agents: leader and follower asleep; leader killed", 5, async (trial) => {
      await trial.stop([await trial.leader(), await trial.follower()], 30);
      await trial.progress(20);
      await trial.kill(await trial.leader(), 30);
      await trial.progress(20);
    });
  },
);
