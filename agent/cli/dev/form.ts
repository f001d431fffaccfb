import { call, NoAnswer, type Answer, type Credentials, type Target } from "#agent/cli/client.ts";

import { DevRefused, type DevAgent } from "./layout.ts";

/** Longest the whole forming may take before we give up; on a quiet machine it takes a few seconds. */
const FORM_MS_MAX = 90_000;
const POLL_MS = 100;

/** The part of `GET /v1/bootstrap` (seed 003) that matters here. */
interface BootstrapStatus {
  readonly state: string;
  readonly reason: string;
}

/** Forms the cluster through the public bootstrap API, or finds it formed. Answers whether it was new. */
export async function form(
  agents: readonly DevAgent[],
  credentials: Credentials,
  signal: AbortSignal,
): Promise<{ readonly isNew: boolean }> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(FORM_MS_MAX)]);
  const states = await Promise.all(agents.map((agent) => untilState(agent, credentials, limit, isSettled)));
  const isNew = states.every((status) => status.state !== "completed");
  const members = agents.filter((_, index) => states[index]?.state === "completed");
  let strangers = agents.filter((_, index) => states[index]?.state !== "completed");

  if (members.length === 0) {
    const [first, ...others] = strangers as [DevAgent, ...DevAgent[]];
    await post(first, "create_cluster", {
      action: "create_cluster",
      cluster: { nodes: [], name: "dev.muster.local" },
      credentials,
    });
    await untilState(first, credentials, limit, ({ state }) => state === "completed");
    members.push(first);
    strangers = others;
  }
  const nodes = members.map(({ address, apiPort }) => `${address}:${apiPort}`);
  // One after the other, so that a new cluster numbers its members in the order of their names.
  for (const agent of strangers) {
    await post(agent, "join_cluster", { action: "join_cluster", cluster: { nodes }, credentials });
    await untilState(agent, credentials, limit, ({ state }) => state === "completed");
  }
  return { isNew };
}

/** Waits until an agent answers at all; a process that ends meanwhile aborts the signal. */
async function untilState(
  agent: DevAgent,
  credentials: Credentials,
  signal: AbortSignal,
  wanted: (status: BootstrapStatus) => boolean,
): Promise<BootstrapStatus> {
  let last = "it gives no answer";
  while (!signal.aborted) {
    const status = await bootstrapStatus(agent, credentials);
    if (status !== null) {
      if (wanted(status)) return status;
      if (status.state === "error") throw new DevRefused(`${agent.name} could not join: ${status.reason}`);
      last = `its bootstrap is still ${status.state}`;
    }
    await new Promise((go) => setTimeout(go, POLL_MS));
  }
  throw signal.reason instanceof DevRefused
    ? signal.reason
    : new DevRefused(`${agent.name}: ${last}; see ${agent.logFile}`);
}

/** Null while the agent does not answer yet. */
async function bootstrapStatus(agent: DevAgent, credentials: Credentials): Promise<BootstrapStatus | null> {
  let answer: Answer;
  try {
    answer = await call(targetOf(agent, credentials), "GET", "/v1/bootstrap");
  } catch (error) {
    if (error instanceof NoAnswer) return null;
    throw error;
  }
  if (answer.status === 401) {
    throw new DevRefused(
      `${agent.name} belongs to a cluster with other credentials; remove its folder ${agent.dir} to start anew`,
    );
  }
  const body = answer.json as {
    bootstrap_status?: { state?: unknown; error_details?: { message?: unknown } };
  } | null;
  const status = body?.bootstrap_status;
  if (typeof status?.state !== "string") return null;
  const message = status.error_details?.message;
  return { state: status.state, reason: typeof message === "string" ? message : "no reason given" };
}

async function post(agent: DevAgent, action: string, body: object): Promise<void> {
  const { status, text } = await call(targetOf(agent, null), "POST", `/v1/bootstrap/${action}`, body);
  if (status !== 200) throw new DevRefused(`${agent.name} refused ${action}: ${text.slice(0, 500)}`);
}

/** Nothing is under way: a POST will be taken, or the agent is a member. */
function isSettled({ state }: BootstrapStatus): boolean {
  return state === "idle" || state === "error" || state === "completed";
}

/** The agent as its neighbours reach it. Its certificate is its own work, made on first start. */
export function targetOf(agent: DevAgent, credentials: Credentials | null): Target {
  return { url: agent.url, credentials, insecure: true };
}
