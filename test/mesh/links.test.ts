import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import type { MeshIdentity } from "#agent/mesh/identity.ts";
import {
  acceptedConnections,
  addressOf,
  Bed,
  CLUSTER,
  newIdentity,
  orderedIdentities,
  unite,
  until,
  untilMeshed,
} from "./bed.ts";
import { RawPeer, RawStream } from "./raw-peer.ts";

const swapped = async (): Promise<readonly [MeshIdentity, MeshIdentity]> => {
  const [small, large] = await orderedIdentities();
  return [large, small];
};

const SOON = { timeoutMs: 10_000 } as const;

// Goal: however the dials cross, each pair ends with one connection, is up from the first one on, and never flaps.
test("five agents that dial each other at once end with one connection per pair", async () => {
  await using bed = new Bed();
  for (let i = 0; i < 5; i += 1) await bed.add();
  unite(bed.nodes);
  await untilMeshed(bed.nodes);
  await until(async () => (await acceptedConnections(bed.nodes)) === 10);
  for (const { events } of bed.nodes)
    expect(events.map(({ type }) => type)).toEqual(["up", "up", "up", "up"]);
});

test.each([0, 1])(
  "a late second call to a pair that is connected changes nothing (caller %i)",
  async (caller) => {
    await using bed = new Bed();
    const [small, large] = await orderedIdentities();
    const nodes = [await bed.add({ identity: small }), await bed.add({ identity: large })];
    unite(nodes);
    await untilMeshed(nodes);
    const [from, to] = caller === 0 ? [nodes[0]!, nodes[1]!] : [nodes[1]!, nodes[0]!];
    to.mesh.onRequest("echo", async (_from, body) => body);
    // Another address of the same peer makes the caller try again only if it has no link.
    from.mesh.setMembers([
      { peer: to.mesh.self, meshAddrs: [...to.mesh.listenAddrs(), "/ip4/127.0.0.99/tcp/1"] },
    ]);
    await expect(from.mesh.request(to.mesh.self, "control", "echo", 1, SOON)).resolves.toBe(1);
    await until(async () => (await acceptedConnections(nodes)) === 1);
    expect(nodes.map(({ events }) => events.length)).toEqual([1, 1]);
  },
);

test("the hello tells cluster, software, clock and addresses", async () => {
  await using bed = new Bed();
  const [a, b] = [await bed.add(), await bed.add()];
  const before = Date.now();
  unite(bed.nodes);
  await untilMeshed(bed.nodes);
  expect(a.events[0]).toMatchObject({
    type: "up",
    peer: b.mesh.self,
    hello: { ...CLUSTER, protocol: 1, software: "test", meshAddrs: b.mesh.listenAddrs() },
  });
  const [event] = a.events;
  if (event?.type !== "up") throw new Error("no hello");
  expect(event.hello.clockMs).toBeGreaterThanOrEqual(before);
  expect(event.hello.heardAtMs).toBeGreaterThanOrEqual(event.hello.clockMs - 1);
});

test("an agent whose address nobody knows is reached because it calls, and again where it said it is", async () => {
  await using bed = new Bed();
  const [a, b] = [await bed.add(), await bed.add()];
  for (const { mesh } of [a, b]) mesh.setCluster(CLUSTER);
  a.mesh.setMembers([{ peer: b.mesh.self, meshAddrs: [] }]);
  b.mesh.setMembers([addressOf(a.mesh)]);
  await untilMeshed(bed.nodes);
  b.mesh.setMembers([{ peer: a.mesh.self, meshAddrs: [] }]); // It can no longer call first: it learnt, too, though.
  b.mesh.setCluster({ ...CLUSTER, incarnation: 2 });
  await until(() => a.mesh.connected().length === 0);
  b.mesh.setCluster(CLUSTER);
  await untilMeshed(bed.nodes);
});

test("a removed member is cut off at once and does not get back in", async () => {
  await using bed = new Bed();
  const [a, b] = [await bed.add(), await bed.add()];
  unite(bed.nodes);
  await untilMeshed(bed.nodes);
  await until(async () => (await acceptedConnections(bed.nodes)) === 1);
  a.mesh.setMembers([]);
  expect(a.mesh.connected()).toEqual([]);
  await until(() => b.mesh.connected().length === 0);
  expect(b.events.at(-1)).toEqual({ type: "down", peer: a.mesh.self, reason: "not_a_member" });
  // It goes on dialling; each call ends in nothing.
  await until(() => b.log.matching("did not come through").length >= 3);
  expect(a.events.map(({ type }) => type)).toEqual(["up", "down"]);
});

test.each([
  ["another cluster", { clusterId: "other", incarnation: 1 }, "other_cluster"],
  ["a recovery that was made apart", { ...CLUSTER, lineage: "x" }, "other_lineage"],
])("members of %s are refused on hello, and both sides say why", async (_name, other, reason) => {
  await using bed = new Bed();
  const [a, b] = [await bed.add(), await bed.add()];
  a.mesh.setCluster(CLUSTER);
  b.mesh.setCluster(other);
  a.mesh.setMembers([addressOf(b.mesh)]);
  b.mesh.setMembers([addressOf(a.mesh)]);
  const said = (): unknown[] =>
    bed.nodes.flatMap(({ log }) => log.lines.filter(({ level }) => level === "warn"));
  await until(() => said().length >= 2);
  expect(said()).toContainEqual(expect.objectContaining({ fields: expect.objectContaining({ reason }) }));
  expect([...a.events, ...b.events]).toEqual([]);
  b.mesh.setCluster(CLUSTER); // Mended: not waited for until the slow redial.
  await untilMeshed(bed.nodes);
});

test.each([
  ["calls it", 0, 0],
  ["calls it, and judges the pair", 0, 1],
  ["is called by it", 1, 0],
  ["is called by it, and judges the pair", 1, 1],
])("a member that missed a recovery hears of it when it %s", async (_name, caller, judge) => {
  await using bed = new Bed();
  const [small, large] = await orderedIdentities();
  const left = await bed.add({ identity: judge === 0 ? large : small });
  const saved = await bed.add({ identity: judge === 0 ? small : large });
  left.mesh.setCluster(CLUSTER);
  saved.mesh.setCluster({ ...CLUSTER, incarnation: 2, lineage: "x" });
  const [from, to] = caller === 0 ? [left, saved] : [saved, left];
  to.mesh.setMembers([{ peer: from.mesh.self, meshAddrs: [] }]);
  from.mesh.setMembers([addressOf(to.mesh)]);
  const outlived = { type: "outlived", peer: saved.mesh.self, incarnation: 2 };
  await until(() => left.events.length === 1 && saved.log.matching("an earlier incarnation").length === 1);
  // Each call tells it again, and nobody's log.
  from.mesh.setMembers([
    { peer: to.mesh.self, meshAddrs: [...to.mesh.listenAddrs(), "/ip4/127.0.0.99/tcp/1"] },
  ]);
  await until(() => left.events.length === 2 && from.log.matching("did not come through").length === 2);
  expect(left.events).toEqual([outlived, outlived]);
  expect(saved.events).toEqual([]);
  expect(left.log.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  expect(saved.log.lines.filter(({ level }) => level === "warn")).toEqual([]);
  expect(saved.log.matching("an earlier incarnation")).toHaveLength(1);
});

test("an agent of a version that knows no lineage hears of a later incarnation, too", async () => {
  await using bed = new Bed();
  const { mesh } = await bed.add();
  const identity = await newIdentity();
  await using raw = await RawPeer.start(identity);
  mesh.setCluster({ ...CLUSTER, incarnation: 2, lineage: "x" });
  mesh.setMembers([{ peer: identity.peerId, meshAddrs: [] }]);
  const connection = await raw.call(mesh);
  const control = new RawStream(await connection.newStream("/muster/control/1"));
  control.sendJson({ hello: raw.hello() });
  await until(() => control.ended);
  expect(control.received).toEqual([
    { hello: expect.objectContaining({ cluster_id: CLUSTER.clusterId, incarnation: 2, lineage: "x" }) },
    { bye: "other_incarnation" },
  ]);
});

test("two live hosts with one key are both refused and both named", async () => {
  await using bed = new Bed();
  for (const [one, two] of [await orderedIdentities(), await swapped()]) {
    const witness = await bed.add({ identity: one });
    const first = await bed.add({ identity: two });
    const second = await bed.add({ identity: two });
    for (const { mesh } of [witness, first, second]) mesh.setCluster(CLUSTER);
    witness.mesh.setMembers([addressOf(first.mesh)]);
    first.mesh.setMembers([addressOf(witness.mesh)]);
    await until(() => witness.mesh.connected().length === 1);
    second.mesh.setMembers([addressOf(witness.mesh)]);
    await until(() => witness.log.matching("the same key").length > 0);
    const [line] = witness.log.matching("the same key");
    expect(JSON.stringify(line?.fields)).toContain(first.mesh.self);
    await until(() => [first, second].every(({ log }) => log.matching("has this agent's key").length > 0));
    expect(witness.mesh.connected()).toEqual([]);
  }
});

test("an agent that stops says so; the others dial it again when it is back", async () => {
  await using bed = new Bed();
  const identity = (await orderedIdentities())[1];
  const [a, b] = [await bed.add(), await bed.add({ identity })];
  unite(bed.nodes);
  await untilMeshed(bed.nodes);
  const [, , address, , port] = b.mesh.listenAddrs()[0]!.split("/");
  await b.mesh.close();
  await until(() => a.mesh.connected().length === 0);
  expect(a.events.at(-1)).toMatchObject({ type: "down", reason: "stopping" });
  await sleep(300); // Some dials in vain.
  const again = await bed.add({ identity, listen: `${address}:${port}` });
  again.mesh.setCluster(CLUSTER);
  again.mesh.setMembers([{ peer: a.mesh.self, meshAddrs: [] }]);
  await until(() => a.mesh.connected().length === 1 && again.mesh.connected().length === 1);
});
