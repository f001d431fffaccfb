import { rm } from "node:fs/promises";

import { AUTH, type AgentProcess } from "#test/support/agents.ts";

/** A member as GET /muster/v1/members tells it. */
export interface MemberView {
  readonly name: string;
  readonly peer: string;
  readonly uuid: string;
  readonly uid: number;
  readonly rack_id: string | null;
  readonly role: string;
  readonly liveness: string;
  readonly failed_since_ms: number | null;
}

export async function membersOf(agent: AgentProcess): Promise<MemberView[]> {
  return ((await agent.get("/muster/v1/members")).json?.members ?? []) as MemberView[];
}

/** Where an agent's bootstrap stands, and which of its steps have begun, in their order. */
export async function stepsOf(agent: AgentProcess): Promise<{ state: string; steps: string[] }> {
  const { bootstrap_status: status } = (await agent.get("/v1/bootstrap")).json ?? {};
  const steps = (status?.steps ?? []) as { name: string }[];
  return { state: String(status?.state), steps: steps.map(({ name }) => name) };
}

/** Waits until an agent sees a cluster of so many, all alive, with a leader and as many voters as such a cluster has. */
export async function untilWhole(agent: AgentProcess, size: number): Promise<void> {
  const voters = size >= 5 ? 5 : size >= 3 ? 3 : 1;
  await agent.until(`sees a whole cluster of ${size}`, async () => {
    const members = await membersOf(agent);
    const voting = members.filter(({ role }) => role === "leader" || role === "voter");
    return (
      members.length === size &&
      members.every(({ liveness, failed_since_ms }) => liveness === "alive" && failed_since_ms === null) &&
      voting.length === voters &&
      voting.some(({ role }) => role === "leader")
    );
  });
}

const CREDENTIALS = { username: "admin@example.com", password: "correct horse battery" };

/** Posts a bootstrap request with the administrator's password, which must be taken. */
export async function ask(
  agent: AgentProcess,
  action: "create_cluster" | "join_cluster" | "recover_cluster",
  body: object,
): Promise<void> {
  const path = `/v1/bootstrap/${action}`;
  const { status, text } = await agent.post(path, { action, credentials: CREDENTIALS, ...body });
  if (status !== 200) throw new Error(`${agent.name} ${path}: ${status} ${text}`);
}

/** The same, and waits until it is over; the state it ends in. */
export async function untilOver(
  agent: AgentProcess,
  action: Parameters<typeof ask>[1],
  body: object,
): Promise<BootstrapStatus> {
  await ask(agent, action, body);
  const over = (state: string): boolean => state === "completed" || state === "error";
  await agent.until(`${action} is over`, async () => over(await agent.bootstrapState()));
  return statusOf(agent);
}

/** `bootstrap_status` of GET /v1/bootstrap. */
export interface BootstrapStatus {
  readonly state: string;
  readonly reason?: string;
  readonly error_code?: string;
  readonly error_details?: { readonly message: string; readonly [key: string]: unknown };
}

async function statusOf(agent: AgentProcess): Promise<BootstrapStatus> {
  return (await agent.get("/v1/bootstrap")).json.bootstrap_status as BootstrapStatus;
}

/** Where agents answer, as `cluster.nodes` wants it. */
export function nodesOf(...agents: readonly AgentProcess[]): { readonly nodes: string[] } {
  return { nodes: agents.map(({ address, apiPort }) => `${address}:${apiPort}`) };
}

export async function configure(agent: AgentProcess, settings: object): Promise<void> {
  const { status, text } = await agent.call("/muster/v1/cluster", {
    method: "PATCH",
    auth: AUTH,
    body: { settings },
  });
  if (status !== 200) throw new Error(`${agent.name}: ${status} ${text}`);
}

/** As by a fire: the process is gone, and its disk with it. */
export async function burn(agent: AgentProcess): Promise<void> {
  await agent.stop("SIGKILL");
  await rm(agent.dir, { recursive: true, force: true });
}

/** Waits until a host is out of its cluster and answers under another peer id than there; why it says that it is out. */
export async function untilOut(agent: AgentProcess, formerPeer: string): Promise<string> {
  let reason = "";
  await agent.until("is idle under another peer id", async () => {
    const { status, json } = await agent.call("/muster/v1/mesh");
    if (status !== 200 || json.peer_id === formerPeer) return false;
    const now = await statusOf(agent);
    reason = now.reason ?? "";
    return now.state === "idle";
  });
  return reason;
}
