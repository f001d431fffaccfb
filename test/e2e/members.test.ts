import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { AUTH, leaderOf, TestFleet, untilVoters, type AgentProcess } from "#test/support/agents.ts";
import type { Answer } from "#test/support/http.ts";

// Coming and going, with real processes: one cluster of four, tests run in order and leave it whole.

let fleet: TestFleet;
let agents: AgentProcess[] = [];

beforeAll(async () => {
  fleet = await TestFleet.create();
  agents = await fleet.formed(4);
});

afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

interface MemberView {
  readonly name: string;
  readonly peer: string;
  readonly uuid: string;
  readonly uid: number;
  readonly role: string;
  readonly liveness: string;
  readonly failed_since_ms: number | null;
}

async function membersOf(agent: AgentProcess): Promise<MemberView[]> {
  return ((await agent.get("/muster/v1/members")).json?.members ?? []) as MemberView[];
}

async function memberOf(agent: AgentProcess, name: string): Promise<MemberView | undefined> {
  return (await membersOf(agent)).find((member) => member.name === name);
}

const remove = (by: AgentProcess, name: string, query = ""): Promise<Answer> =>
  by.call(`/muster/v1/members/${name}${query}`, { method: "DELETE", auth: AUTH });

const others = (but: AgentProcess): AgentProcess[] => agents.filter((agent) => agent !== but);

const first = (list: readonly AgentProcess[]): AgentProcess => list[0] as AgentProcess;

/** One agent with this role, once the leader sees all four alive and three of them voting. */
async function ofRole(role: string): Promise<AgentProcess> {
  const leader = await leaderOf(agents);
  let found: AgentProcess | undefined;
  await leader.until(`sees a whole cluster and a ${role}`, async () => {
    const members = await membersOf(leader);
    const whole = members.length === 4 && members.every(({ liveness }) => liveness === "alive");
    const voting = members.filter((member) => ["leader", "voter"].includes(member.role)).length;
    const name = members.find((member) => member.role === role)?.name;
    found = agents.find((agent) => agent.name === name);
    return whole && voting === 3 && found !== undefined;
  });
  return found as AgentProcess;
}

/** Waits until it is `idle` and answers as another peer than before; the reason that it gives. */
async function untilAnew(agent: AgentProcess, before: string): Promise<string> {
  await agent.until("is idle under another peer id", async () => {
    const { status, json } = await agent.call("/muster/v1/mesh");
    return status === 200 && json.peer_id !== before && (await agent.bootstrapState()) === "idle";
  });
  return String((await agent.get("/v1/bootstrap")).json.bootstrap_status.reason);
}

async function joinsAnew(agent: AgentProcess, sponsor: AgentProcess): Promise<void> {
  expect((await agent.join([sponsor])).status).toBe(200);
  await agent.untilState("completed");
}

test("leadership is handed over on demand, asked of any agent", async () => {
  const to = await ofRole("voter");
  const asked = await ofRole("standby");
  const answer = await asked.post("/muster/v1/leader", { to: to.name });
  expect([answer.status, answer.json.leader]).toEqual([200, to.name]);
  expect((await asked.post("/api/v1/zone", { name: "under another" })).status).toBe(200);
  expect((await leaderOf(agents)).name).toBe(to.name);

  const unknown = await asked.post("/muster/v1/leader", { to: "nobody" });
  expect(unknown.status).toBe(404);
});

test("the failed mark comes after the grace on all agents, and goes when the host is back", async () => {
  const leader = await leaderOf(agents);
  const patched = await leader.call("/muster/v1/cluster", {
    method: "PATCH",
    auth: AUTH,
    body: { settings: { failed_after_ms: 3000 } },
  });
  expect(patched.json.settings.failed_after_ms).toBe(3000);
  const lost = first(others(leader));
  await lost.stop("SIGKILL");
  for (const agent of others(lost)) {
    await agent.until(`counts ${lost.name} as failed`, async () => {
      return ((await memberOf(agent, lost.name))?.failed_since_ms ?? null) !== null;
    });
    expect((await agent.get("/muster/v1/status")).json.cluster.failed).toEqual([lost.name]);
  }
  await lost.start();
  await lost.until("is counted as well again", async () => {
    const own = await memberOf(lost, lost.name);
    return own !== undefined && own.failed_since_ms === null;
  });
  await leader.call("/muster/v1/cluster", {
    method: "PATCH",
    auth: AUTH,
    body: { settings: { failed_after_ms: 60_000 } },
  });
});

test("a dead voter is replaced and removed; it comes back, hears of it, and joins anew", async () => {
  const leader = await leaderOf(agents);
  const dead = await ofRole("voter");
  const spare = await ofRole("standby");
  const before = (await memberOf(leader, dead.name)) as MemberView;
  await dead.stop("SIGKILL");
  const alive = others(dead);
  await leader.until(`knows that ${dead.name} is dead`, async () => {
    return (await memberOf(leader, dead.name))?.liveness === "dead";
  });

  expect((await remove(leader, dead.name)).status).toBe(204);
  await untilVoters(alive, 3);
  expect((await memberOf(leader, spare.name))?.role).toBe("voter");
  expect((await spare.post("/api/v1/zone", { name: "without it" })).status).toBe(200);

  await dead.start();
  expect(await untilAnew(dead, before.peer)).toContain("while it was away");
  expect((await dead.get("/muster/v1/status")).json.bootstrap.reason).toContain("while it was away");
  await joinsAnew(dead, spare);
  const after = (await memberOf(leader, dead.name)) as MemberView;
  expect([after.uuid, after.peer === before.peer]).toEqual([before.uuid, false]);
  expect((await dead.post("/api/v1/zone", { name: "with it" })).status).toBe(200);
});

test("a live member is removed by force only, and goes to idle by itself", async () => {
  const leader = await leaderOf(agents);
  const goes = first(others(leader));
  const before = (await memberOf(leader, goes.name)) as MemberView;
  const refused = await remove(leader, goes.name);
  expect([refused.status, refused.json.error.code]).toEqual([409, "change_refused"]);
  expect((await remove(leader, goes.name, "?force=true")).status).toBe(204);
  expect(await untilAnew(goes, before.peer)).toContain("was removed from its cluster");
  await untilVoters(others(goes), 3);
  await joinsAnew(goes, leader);
  expect(await membersOf(goes)).toHaveLength(4);
});

test("the leader leaves: others lead and vote, its nodes stay, and it joins anew as the same host under another key", async () => {
  const leader = await leaderOf(agents);
  const rest = others(leader);
  const before = (await memberOf(leader, leader.name)) as MemberView;
  expect((await leader.post("/api/v1/zone", { name: "zone" })).status).toBe(200);
  const node = { zone_id: 1, uuid: before.uuid, uri: "host:3301", cfg: {} };
  expect((await leader.post("/api/v1/registry/node", node)).status).toBe(200);

  const left = await leader.post("/muster/v1/leave", undefined);
  expect([left.status, left.json]).toEqual([
    200,
    expect.objectContaining({ cluster: "test.cluster", state: "idle" }),
  ]);
  expect(await untilAnew(leader, before.peer)).toContain("left its cluster");
  await untilVoters(rest, 3);
  expect(await memberOf(first(rest), leader.name)).toBeUndefined();
  expect((await first(rest).post("/api/v1/zone", { name: "after" })).status).toBe(200);
  expect((await first(rest).get(`/api/v1/registry/node/${before.uuid}`)).status).toBe(200);

  const files = await readdir(leader.dir);
  expect(files).toContain("peer-key.retired.json");
  expect((await stat(join(leader.dir, "peer-key.retired.json"))).mode & 0o077).toBe(0);

  await joinsAnew(leader, first(rest));
  const after = (await memberOf(first(rest), leader.name)) as MemberView;
  expect(after.uuid).toBe(before.uuid);
  expect(after.peer).not.toBe(before.peer);
  expect(after.uid).toBeGreaterThan(before.uid);
  expect((await leader.post("/api/v1/zone", { name: "back" })).status).toBe(200);
});
