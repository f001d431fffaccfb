import { afterAll, beforeAll, expect, test } from "vitest";

import { leaderOf, TestFleet, type AgentProcess } from "#test/support/agents.ts";

import {
  burn,
  configure,
  membersOf,
  nodesOf,
  untilOut,
  untilOver,
  untilWhole,
  type MemberView,
} from "./cluster-view.ts";

// Hosts that die for good, and others that take their places: one rack-aware cluster of three; tests run in order and leave it whole.

let fleet: TestFleet;
let agents: AgentProcess[] = [];

beforeAll(async () => {
  fleet = await TestFleet.create();
  agents = await fresh(3);
  for (const [i, agent] of agents.entries()) {
    const node = { identity: { rack_id: `rack-${i + 1}` } };
    const { state } = await (i === 0
      ? untilOver(agent, "create_cluster", {
          cluster: { name: "test.cluster" },
          policy: { rack_aware: true },
          node,
        })
      : untilOver(agent, "join_cluster", { cluster: nodesOf(first(agents)), node }));
    expect(state).toBe("completed");
  }
  await untilWhole(first(agents), 3);
  await configure(first(agents), { failed_after_ms: 1500 });
});

afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const first = (list: readonly AgentProcess[]): AgentProcess => list[0] as AgentProcess;

const but = (gone: AgentProcess): AgentProcess[] => agents.filter((agent) => agent !== gone);

async function fresh(count: number): Promise<AgentProcess[]> {
  const made = await Promise.all(Array.from({ length: count }, () => fleet.add()));
  await Promise.all(made.map((agent) => agent.start()));
  return made;
}

async function memberOf(asked: AgentProcess, name: string): Promise<MemberView> {
  const found = (await membersOf(asked)).find((member) => member.name === name);
  if (found === undefined) throw new Error(`${asked.name} knows no ${name}`);
  return found;
}

/** Some voter that does not lead, and what the cluster knows of it. */
async function someFollower(): Promise<{ agent: AgentProcess; member: MemberView }> {
  const leader = await leaderOf(agents);
  const agent = first(but(leader));
  return { agent, member: await memberOf(leader, agent.name) };
}

async function untilFailed(name: string, asked: AgentProcess): Promise<void> {
  await asked.until(
    `${name} counts as failed`,
    async () => (await memberOf(asked, name)).failed_since_ms !== null,
  );
}

test("a dead host's place is taken by its uid: rack, registration and vote go over; it is out when it comes back", async () => {
  const { agent: dead, member } = await someFollower();
  const asked = first(but(dead));
  expect((await asked.post("/api/v1/zone", { name: "zone" })).status).toBe(200);
  const node = { zone_id: 1, uuid: member.uuid, uri: "dead:3301", cfg: { listen: "0.0.0.0:3301" } };
  expect((await asked.post("/api/v1/registry/node", node)).status).toBe(200);
  await dead.stop("SIGKILL");
  await untilFailed(dead.name, asked);

  const [newcomer, late] = (await fresh(2)) as [AgentProcess, AgentProcess];
  const cluster = nodesOf(asked);
  const refused = await untilOver(newcomer, "join_cluster", {
    cluster,
    node: { identity: { rack_id: "rack-9" } },
  });
  expect(refused).toMatchObject({
    state: "error",
    error_code: "repair_required",
    error_details: {
      failed_nodes: [{ uid: member.uid, rack_id: member.rack_id }],
      replace_candidate: member.uid,
    },
  });
  // The rehearsal says the same before anybody tries.
  const rehearsed = await late.post("/v1/bootstrap/validate/join_cluster", {
    action: "join_cluster",
    cluster,
    credentials: { username: "admin@example.com", password: "correct horse battery" },
    node: { identity: { rack_id: "rack-9" } },
  });
  expect([
    rehearsed.status,
    rehearsed.json.bootstrap_status?.error_code ?? rehearsed.json.error_code,
  ]).toEqual([406, "repair_required"]);

  // Two want the place at once, and one gets it.
  const place = { cluster, node: { identity: { uid: member.uid } } };
  const ends = await Promise.all([newcomer, late].map((agent) => untilOver(agent, "join_cluster", place)));
  expect(ends.map(({ state }) => state).toSorted()).toEqual(["completed", "error"]);
  const winner = ends[0]?.state === "completed" ? newcomer : late;
  expect(ends.find(({ state }) => state === "error")?.error_code).toBe("config_error");
  agents = [...but(dead), winner];

  await untilWhole(asked, 3);
  const replaced = await memberOf(asked, winner.name);
  expect([replaced.uid, replaced.rack_id]).toEqual([member.uid, member.rack_id]);
  expect(replaced.peer).not.toBe(member.peer);
  expect(["voter", "leader"]).toContain(replaced.role);
  const moved = await winner.get(`/api/v1/registry/node/${replaced.uuid}`);
  expect([moved.status, moved.text]).toEqual([200, expect.stringContaining("dead:3301")]);
  expect((await winner.get(`/api/v1/registry/node/${member.uuid}`)).status).toBe(404);
  expect((await winner.get("/v1/cluster/check")).json.cluster_test_result).toBe(true);

  await dead.start();
  expect(await untilOut(dead, member.peer)).toContain("was removed");
  expect((await asked.post("/api/v1/zone", { name: "after" })).status).toBe(200);
  expect(await membersOf(asked)).toHaveLength(3);
  await dead.stop();
  await (winner === newcomer ? late : newcomer).stop();
});

test("the leader's disk is gone: the same host, empty, takes its own place again", async () => {
  const dead = await leaderOf(agents);
  const [asked] = but(dead) as [AgentProcess];
  const before = await memberOf(asked, dead.name);
  await burn(dead);
  await dead.start();
  await untilFailed(dead.name, asked);
  const cluster = nodesOf(...but(dead));
  const refused = await untilOver(dead, "join_cluster", { cluster });
  expect([refused.error_code, refused.error_details?.["replace_candidate"]]).toEqual([
    "repair_required",
    before.uid,
  ]);
  const other = await untilOver(dead, "join_cluster", {
    cluster,
    node: { identity: { uid: before.uid, rack_id: "rack-7" } },
  });
  expect([other.error_code, other.error_details?.["field"]]).toEqual([
    "config_error",
    "node.identity.rack_id",
  ]);
  const done = await untilOver(dead, "join_cluster", {
    cluster,
    node: { identity: { uid: before.uid, rack_id: "rack-7", override_rack_id: true } },
  });
  expect(done.state).toBe("completed");
  await untilWhole(asked, 3);
  expect(await memberOf(asked, dead.name)).toMatchObject({ uid: before.uid, rack_id: "rack-7" });
  expect((await dead.get("/api/v1/zone")).json.data).toHaveLength(2);
});

test("a living host's place is not given away; with repair_policy open a plain join is let in beside a dead one", async () => {
  const { agent: dead } = await someFollower();
  const [asked, other] = but(dead) as [AgentProcess, AgentProcess];
  const [newcomer] = (await fresh(1)) as [AgentProcess];
  const living = await memberOf(asked, other.name);
  const refused = await untilOver(newcomer, "join_cluster", {
    cluster: nodesOf(asked),
    node: { identity: { uid: living.uid } },
  });
  expect([refused.error_code, refused.error_details?.["field"]]).toEqual([
    "config_error",
    "node.identity.uid",
  ]);

  await burn(dead);
  await untilFailed(dead.name, asked);
  await configure(asked, { repair_policy: "open" });
  const plain = { cluster: nodesOf(asked, other), node: { identity: { rack_id: "rack-5" } } };
  expect((await untilOver(newcomer, "join_cluster", plain)).state).toBe("completed");
  const added = await memberOf(newcomer, newcomer.name);
  expect(added.uid).toBeGreaterThan(3);
  await asked.until("the newcomer votes in place of the dead one", async () =>
    ["voter", "leader"].includes((await memberOf(asked, newcomer.name)).role),
  );
  expect((await newcomer.post("/api/v1/zone", { name: "with it" })).status).toBe(200);
});
