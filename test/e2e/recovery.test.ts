import { cp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { leaderOf, TestFleet, type AgentProcess } from "#test/support/agents.ts";

import {
  ask,
  burn,
  membersOf,
  nodesOf,
  stepsOf,
  untilOut,
  untilOver,
  untilWhole,
  type BootstrapStatus,
} from "./cluster-view.ts";

// Majorities whose disks are lost for good, and what the operator does about it.

let fleet: TestFleet;
type Three = [AgentProcess, AgentProcess, AgentProcess];

beforeEach(async () => {
  fleet = await TestFleet.create();
});

afterEach(async () => {
  await fleet[Symbol.asyncDispose]();
});

/** Three agents with something to lose: a registered node, a second user, and so many zones, each acknowledged. */
async function clusterWith(zones: number): Promise<Three> {
  const agents = (await fleet.formed(3)) as Three;
  const [first] = agents;
  for (let i = 1; i <= zones; i += 1) await write(first, `zone ${i}`);
  const [member] = await membersOf(first);
  const node = { zone_id: 1, uuid: member?.uuid, uri: "host:3301", cfg: {} };
  expect((await first.post("/api/v1/registry/node", node)).status).toBe(200);
  const user = { email: "eve@example.com", password: "a password of hers", role: "db_viewer", name: "Eve" };
  const made = await first.post("/v1/users", user);
  expect([made.status, made.text]).toEqual([200, expect.stringContaining("eve@example.com")]);
  await untilWhole(first, 3);
  return agents;
}

async function write(agent: AgentProcess, name: string): Promise<void> {
  const { status, text } = await agent.post("/api/v1/zone", { name });
  if (status !== 200) throw new Error(`${agent.name}: ${status} ${text}`);
}

async function zonesAt(agent: AgentProcess): Promise<{ id: number; name: string }[]> {
  return (await agent.get("/api/v1/zone")).json?.data ?? [];
}

async function uidOf(agent: AgentProcess): Promise<number> {
  return Number((await agent.get("/v1/bootstrap")).json.local_node_info.uid);
}

async function peerOf(agent: AgentProcess): Promise<string> {
  return String((await agent.call("/muster/v1/mesh")).json.peer_id);
}

async function incarnationAt(agent: AgentProcess): Promise<number> {
  return Number((await agent.get("/muster/v1/cluster")).json.incarnation);
}

/** A leader that has lost its majority goes on believing in itself for a moment. */
async function untilLost(agent: AgentProcess): Promise<void> {
  await agent.until("knows no leader", async () => {
    const { registry } = (await agent.get("/muster/v1/status")).json;
    return registry.leader === null && registry.quorum === false;
  });
}

/** Once the survivor knows that nobody leads, it takes a recovery; what it says. */
async function recover(agent: AgentProcess, body: object = {}): Promise<BootstrapStatus> {
  await untilLost(agent);
  return untilOver(agent, "recover_cluster", body);
}

/** An empty host takes the place of a lost node. */
async function rejoins(agent: AgentProcess, uid: number, sponsor: AgentProcess): Promise<void> {
  const cluster = nodesOf(sponsor);
  const { state, error_details } = await untilOver(agent, "join_cluster", {
    cluster,
    node: { identity: { uid } },
  });
  expect([state, error_details]).toEqual(["completed", undefined]);
  expect(await uidOf(agent)).toBe(uid);
}

/** All that was there before is there, and more can be written everywhere. */
async function expectKept(agents: readonly AgentProcess[], zones: number): Promise<void> {
  for (const agent of agents) {
    await write(agent, `after, at ${agent.name}`);
    const now = await zonesAt(agent);
    const before = now.filter(({ name }) => name.startsWith("zone "));
    expect(before).toEqual(Array.from({ length: zones }, (_, i) => ({ id: i + 1, name: `zone ${i + 1}` })));
    expect(new Set(now.map(({ id }) => id)).size).toBe(now.length);
    expect((await agent.get("/api/v1/registry/node")).text).toContain("host:3301");
    expect((await agent.call("/v1/nodes", { auth: "eve@example.com:a password of hers" })).status).toBe(200);
  }
}

test("two of three disks are lost: the survivor recovers, the others join as replacements, and all of it is there", async () => {
  const agents = await clusterWith(10);
  const [survivor, second, third] = agents;
  const uids = await Promise.all([second, third].map(uidOf));

  // While a majority lives it is refused, here and by the rehearsal.
  const early = await survivor.post("/v1/bootstrap/recover_cluster", { action: "recover_cluster" });
  expect([early.status, early.json.error_code]).toEqual([409, "already_in_cluster"]);

  // The survivor has all that was acknowledged through it.
  for (let i = 11; i <= 20; i += 1) await write(survivor, `zone ${i}`);
  await Promise.all([second, third].map(burn));
  await untilLost(survivor);
  const plan = await survivor.post("/v1/bootstrap/validate/recover_cluster", { action: "recover_cluster" });
  expect([plan.status, plan.json]).toEqual([
    200,
    expect.objectContaining({
      incarnation: 2,
      candidates: [expect.objectContaining({ source: "store", incarnation: 1 })],
      rejoin: expect.arrayContaining([expect.objectContaining({ name: second.name, uid: uids[0] })]),
    }),
  ]);
  expect(plan.json.losses.join()).toMatch(/lost/i);
  expect(await incarnationAt(survivor)).toBe(1);

  expect(await recover(survivor)).toMatchObject({ state: "completed" });
  expect(await incarnationAt(survivor)).toBe(2);
  await expectKept([survivor], 20);
  expect((await stepsOf(survivor)).steps).toEqual(["preflight", "survey", "backup", "write", "start"]);
  expect((await readdir(join(survivor.dir, "persist", "backups"))).length).toBeGreaterThan(0);

  // A second one by mistake is stopped.
  const again = await survivor.post("/v1/bootstrap/recover_cluster", { action: "recover_cluster" });
  expect([again.status, again.json.error_code]).toEqual([409, "already_in_cluster"]);

  await Promise.all([second, third].map((agent) => agent.start()));
  const plain = await untilOver(second, "join_cluster", { cluster: nodesOf(survivor) });
  expect(plain).toMatchObject({ state: "error", error_code: "repair_required" });
  await rejoins(second, Number(plain.error_details?.["replace_candidate"]), survivor);
  const left = uids.find((uid) => uid !== Number(plain.error_details?.["replace_candidate"]));
  await rejoins(third, Number(left), second);
  await untilWhole(survivor, 3);
  const names = (await zonesAt(third)).map(({ name }) => name);
  expect(names).toContain("zone 20");
});

test("all are dead and only a backup is left: an empty host recovers from the file, the others join with their uids", async () => {
  const agents = await clusterWith(5);
  const [first, second, third] = agents;
  const uids = await Promise.all(agents.map(uidOf));
  const saved = await third.get("/muster/v1/backup?consistency=linearizable");
  expect(saved.status).toBe(200);
  await write(first, "after the backup");
  await Promise.all(agents.map(burn));

  const file = join(fleet.root, "saved.backup");
  await Promise.all(agents.map((agent) => agent.start()));
  await writeFile(file, saved.text, { mode: 0o600 });
  const wrong = await untilOver(second, "recover_cluster", {
    recovery_filename: file,
    credentials: { username: "admin@example.com", password: "not it" },
  });
  expect(wrong).toMatchObject({ state: "error", error_code: "access_denied" });
  const body = { recovery_filename: file, node: { identity: { uid: uids[1] } } };
  expect(await untilOver(second, "recover_cluster", body)).toMatchObject({ state: "completed" });
  expect(await uidOf(second)).toBe(uids[1]);
  expect((await zonesAt(second)).map(({ name }) => name)).not.toContain("after the backup");
  await rejoins(first, Number(uids[0]), second);
  await rejoins(third, Number(uids[2]), second);
  await untilWhole(second, 3);
  await expectKept(agents, 5);
});

test("five members, two disks left: the better copy is elsewhere, and its holder is left behind until it joins again", async () => {
  const agents = await fleet.formed(5);
  const leader = await leaderOf(agents);
  const [behind, ahead, ...lost] = agents.filter((agent) => agent !== leader) as [AgentProcess, AgentProcess];
  await write(ahead, "zone 1");
  await behind.stop("SIGKILL");
  await write(ahead, "zone 2");
  const uid = await uidOf(ahead);
  const peer = await peerOf(ahead);
  await Promise.all([...lost, leader].map(burn));
  await behind.start();

  await untilLost(ahead); // Until then it says that it knows a leader, and nothing is to be recovered.
  const done = await recover(behind, { cluster: nodesOf(ahead) });
  expect(done).toMatchObject({ state: "completed" });
  expect((await zonesAt(behind)).map(({ name }) => name)).toEqual(["zone 1", "zone 2"]);

  // Whoever lives in the past hears of it, says so, and comes back by its uid.
  expect(await untilOut(ahead, peer)).toContain(
    `recovered without this host (incarnation 2); join it again with node.identity.uid ${uid}`,
  );
  await write(behind, "zone 3");
  await rejoins(ahead, uid, behind);
  expect((await zonesAt(ahead)).map(({ name }) => name)).toEqual(["zone 1", "zone 2", "zone 3"]);
});

test("a straggler comes back after the recovery with its old disk: it takes part in nothing, and joins again", async () => {
  const agents = await clusterWith(3);
  const [survivor, straggler, burnt] = agents;
  const uid = await uidOf(straggler);
  const peer = await peerOf(straggler);
  await straggler.stop("SIGKILL");
  await burn(burnt);
  expect(await recover(survivor)).toMatchObject({ state: "completed" });
  await write(survivor, "in the new one");

  await straggler.start();
  expect(await untilOut(straggler, peer)).toContain("recovered without this host");
  expect((await straggler.call("/muster/v1/members")).status).toBe(503);
  await rejoins(straggler, uid, survivor);
  await expectKept([survivor, straggler], 3);
  expect((await zonesAt(straggler)).map(({ name }) => name)).toContain("in the new one");
});

test("the recovering agent is killed at every step: the old incarnation or the new one, never neither", async () => {
  const agents = await clusterWith(4);
  const [survivor, ...others] = agents;
  await Promise.all(others.map(burn));
  await survivor.stop("SIGKILL");
  const kept = join(fleet.root, "kept");
  // The socket of a killed agent is still there, and is no file to copy.
  const copied = { recursive: true, filter: (path: string) => !path.endsWith(".sock") };
  await cp(survivor.dir, kept, copied);

  const found: number[] = [];
  for (const step of ["preflight", "survey", "backup", "write", "start", "the end"]) {
    await rm(survivor.dir, { recursive: true });
    await cp(kept, survivor.dir, copied);
    await survivor.start();
    await untilLost(survivor);
    await ask(survivor, "recover_cluster", {});
    await survivor.until(`is at ${step}`, async () => {
      const { state, steps } = await stepsOf(survivor);
      return steps.includes(step) || state === "completed" || state === "error";
    });
    await survivor.stop("SIGKILL");
    await survivor.start();
    const incarnation = await incarnationAt(survivor);
    found.push(incarnation);
    const zones = (await zonesAt(survivor)).map(({ name }) => name);
    expect(zones).toEqual(["zone 1", "zone 2", "zone 3", "zone 4"]);
    if (incarnation === 1) expect(await recover(survivor)).toMatchObject({ state: "completed" });
    expect(await incarnationAt(survivor)).toBe(2);
    await survivor.until("leads itself", async () => {
      return (await survivor.post("/api/v1/zone", { name: `after ${step}` })).status === 200;
    });
    await survivor.stop("SIGKILL");
  }
  expect(new Set(found)).toEqual(new Set([1, 2]));
});
