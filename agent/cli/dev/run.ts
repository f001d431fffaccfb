import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";

import type { Credentials } from "#agent/cli/client.ts";
import { listMembers, membersTable } from "#agent/cli/members.ts";
import type { Member } from "#shared/contract/native.ts";

import { Children, RunRecord, type Ending } from "./children.ts";
import { form, targetOf } from "./form.ts";
import { checkPorts, DevRefused, layOut, loadCredentials, prepare, type DevAgent } from "./layout.ts";

export interface DevOptions {
  readonly dir: string;
  readonly agents: number;
  readonly basePort: number;
}

/** npm and the terminal both pass on one Ctrl-C: signals this close together count as one. */
const SAME_KEY_MS = 1000;
/** Longest we wait for the agents to find their roles before the table is printed. */
const ROLES_MS_MAX = 20_000;
const POLL_MS = 100;

/**
 * A cluster on one machine, for trying things out: each agent its own process, bootstrapped through the public API, until
 * Ctrl-C. Answers with the exit code. Throws DevRefused for what the person at the terminal can mend.
 */
export async function runDev(options: DevOptions): Promise<number> {
  const dir = resolve(options.dir);
  const agents = layOut(options);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const record = new RunRecord(dir);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await record.takeOver(say);
  await checkPorts(agents);
  const credentials = await loadCredentials(dir);

  const children = new Children();
  const ended = Promise.withResolvers<"stopped" | "all ended">();
  const forming = new AbortController();
  let phase: "forming" | "running" | "stopping" = "forming";
  onSignal(
    () => {
      phase = "stopping";
      forming.abort(new DevRefused("stopped"));
      ended.resolve("stopped");
    },
    () => children.kill(),
  );
  const onEnd = (agent: DevAgent, ending: Ending): void => {
    if (phase === "stopping") return;
    if (phase === "forming")
      forming.abort(new DevRefused(`${agent.name} ended: ${ending}; see ${agent.logFile}`));
    else say(`\n${agent.name} has ended (${ending}). To start it again:\n  ${startAgain(agent)}`);
    if (children.count === 0) ended.resolve("all ended");
  };

  try {
    say(`Starting ${agents.length} agents; their data and logs are in ${dir}`);
    for (const agent of agents) {
      await prepare(agent);
      await children.start(agent, (ending) => onEnd(agent, ending));
    }
    await record.save(agents.flatMap(({ name }) => children.pid(name) ?? []));
    const { isNew } = await form(agents, credentials, forming.signal);
    const members = await untilRoles(agents, credentials, forming.signal);
    phase = "running";
    say(`${isNew ? "A new cluster" : "The same cluster as before"}:\n\n${membersTable(members)}\n`);
    say(instructions(agents, credentials, children, dir));
    if ((await ended.promise) === "stopped") return 0;
    say("All agents have ended.");
    return 1;
  } catch (error) {
    if (forming.signal.aborted && forming.signal.reason !== error) throw forming.signal.reason;
    throw error;
  } finally {
    say("\nStopping …");
    phase = "stopping";
    await children.stop();
    await record.clear();
  }
}

function startAgain(agent: DevAgent): string {
  return `npm run agent -- --config ${agent.configFile}`;
}

/** The members once each has told what it is and as many vote as should, or as far as they are when the time is up. */
async function untilRoles(
  agents: readonly DevAgent[],
  credentials: Credentials,
  signal: AbortSignal,
): Promise<readonly Member[]> {
  const [first] = agents as [DevAgent, ...DevAgent[]];
  const voters = agents.length >= 5 ? 5 : agents.length >= 3 ? 3 : 1;
  const deadline = Date.now() + ROLES_MS_MAX;
  for (;;) {
    signal.throwIfAborted();
    const members = await listMembers(targetOf(first, credentials));
    const leads = members.some(({ role }) => role === "leader");
    const voting = members.filter(({ role }) => role === "leader" || role === "voter").length;
    const known = members.filter(({ cores, liveness }) => cores !== null && liveness === "alive").length;
    if ((leads && voting >= voters && known >= agents.length) || Date.now() > deadline) return members;
    await new Promise((go) => setTimeout(go, POLL_MS));
  }
}

function instructions(
  agents: readonly DevAgent[],
  { username, password }: Credentials,
  children: Children,
  dir: string,
): string {
  const login = `-u '${username}:${password}'`;
  const url = (index: number): string => (agents[index % agents.length] as DevAgent).url;
  const killed = agents[agents.length - 1] as DevAgent;
  return [
    `User ${username}, password ${password} (kept in ${dir}/credentials.json)`,
    "",
    "Create a zone through one agent, read it from another, list the members:",
    "",
    `  curl -sk ${login} -X POST -d '{"name":"zone 1"}' ${url(0)}/api/v1/zone`,
    `  curl -sk ${login} ${url(1)}/api/v1/zone`,
    `  curl -sk ${login} ${url(2)}/muster/v1/members`,
    "",
    `Kill one and go on writing: kill -9 ${String(children.pid(killed.name))} ends ${killed.name}.`,
    "Ctrl-C stops all agents; the next start on the same folder brings the same cluster back.",
  ].join("\n");
}

/** A second signal counts only later than one key press explains. */
function onSignal(first: () => void, second: () => void): void {
  let firstAt: number | null = null;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (firstAt === null) {
        firstAt = now;
        first();
      } else if (now - firstAt > SAME_KEY_MS) {
        second();
      }
    });
  }
}
