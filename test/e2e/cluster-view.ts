import type { AgentProcess } from "#test/support/agents.ts";

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
