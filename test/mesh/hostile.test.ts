import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";

import { MESH_FRAME_BYTES_MAX, MESH_SEND_BUFFER_BYTES_MAX } from "#shared/lib/limits.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { Bed, CLUSTER, newIdentity, orderedIdentities, unite, until, untilMeshed } from "./bed.ts";
import { frameOf, RawPeer, RawStream } from "./raw-peer.ts";

const SOON = { timeoutMs: 10_000 } as const;

async function meshWithRawMember(bed: Bed) {
  const identity = await newIdentity();
  const node = await bed.add();
  node.mesh.setCluster(CLUSTER);
  node.mesh.setMembers([{ peer: identity.peerId, meshAddrs: [] }]);
  return { ...node, raw: await RawPeer.start(identity) };
}

test("a frame that comes byte by byte is as good as any", async () => {
  await using bed = new Bed();
  const { mesh, raw } = await meshWithRawMember(bed);
  await using _raw = raw;
  const got = Promise.withResolvers<unknown>();
  mesh.onMessage("slow", (_from, body) => got.resolve(body));
  const { control } = await raw.link(mesh);
  for (const byte of frameOf(JSON.stringify({ t: "slow", b: { word: "Grüße" } }))) {
    control.stream.send(Uint8Array.of(byte));
    await turn();
  }
  expect(await got.promise).toEqual({ word: "Grüße" });
});

test.each([
  ["a frame larger than allowed", frameOf("", MESH_FRAME_BYTES_MAX)],
  ["a frame that is no JSON", frameOf("{nonsense")],
  ["a frame of no known kind", frameOf(JSON.stringify({ surprise: 1 }))],
  ["a second hello", frameOf(JSON.stringify({ hello: { cluster_id: "x" } }))],
])("%s ends the link, and the log says so", async (_name, frame) => {
  await using bed = new Bed();
  const { mesh, raw, events, log } = await meshWithRawMember(bed);
  await using _raw = raw;
  const { control } = await raw.link(mesh);
  control.stream.send(frame);
  await until(() => events.length === 2 && control.ended);
  expect(events[1]).toMatchObject({ type: "down", peer: raw.id, reason: "violation" });
  expect(log.matching("broke the protocol")).toHaveLength(1);
});

test("nothing but the handshake is taken from a link that is not up", async () => {
  await using bed = new Bed();
  const { mesh, raw, log } = await meshWithRawMember(bed);
  await using _raw = raw;
  let handled = 0;
  mesh.onMessage("early", () => (handled += 1));
  mesh.onRequest("early", async () => (handled += 1));
  const connection = await raw.call(mesh);
  const control = await connection.newStream("/muster/control/1");
  control.send(frameOf(JSON.stringify({ t: "early", b: 1 })));
  await until(() => control.status !== "open");
  expect(handled).toBe(0);
  expect(log.matching("broke the protocol")).toHaveLength(1);
});

test("what a member sends right behind its last word of the handshake waits for the other stream", async () => {
  await using bed = new Bed();
  const { mesh, raw, events } = await meshWithRawMember(bed);
  await using _raw = raw;
  const got: unknown[] = [];
  mesh.onMessage("prompt", (_from, body) => got.push(body));
  const connection = await raw.call(mesh);
  const control = new RawStream(await connection.newStream("/muster/control/1"));
  control.sendJson({ hello: raw.hello() });
  await until(() => control.received.some((frame) => "hello" in (frame as object)));
  const frames = [{ go: 1 }, { t: "prompt", b: 1 }, { t: "prompt", b: 2 }];
  control.stream.send(Buffer.concat(frames.map((frame) => frameOf(JSON.stringify(frame)))));
  await connection.newStream("/muster/bulk/1");
  await until(() => got.length === 2);
  control.sendJson({ t: "prompt", b: 3 });
  await until(() => got.length === 3);
  expect(got).toEqual([1, 2, 3]);
  expect(events).toMatchObject([{ type: "up" }]);
});

test.each([
  ["of another protocol", { protocol: 2 }, "other_protocol"],
  ["without a cluster", { cluster_id: "" }, "violation"],
  [
    "with a thousand addresses",
    { mesh_addrs: Array.from({ length: 1000 }, () => "/ip4/10.0.0.1/tcp/1") },
    "violation",
  ],
])("a hello %s is refused", async (_name, change, reason) => {
  await using bed = new Bed();
  const { mesh, raw, events } = await meshWithRawMember(bed);
  await using _raw = raw;
  const connection = await raw.call(mesh);
  const control = new RawStream(await connection.newStream("/muster/control/1"));
  control.sendJson({ hello: { ...raw.hello(), ...change } });
  await until(() => control.ended);
  expect(control.received).toEqual([{ bye: reason }]);
  expect(events).toEqual([]);
});

test("the control stream beats, the bulk stream need not, and a peer that says nothing for several beats is given up", async () => {
  await using bed = new Bed();
  const clock = new FakeClock();
  const [small, large] = await orderedIdentities();
  const { mesh, events } = await bed.add({ clock, identity: large }); // No judge: up with the peer's last word.
  mesh.setCluster(CLUSTER);
  mesh.setMembers([{ peer: small.peerId, meshAddrs: [] }]);
  await using raw = await RawPeer.start(small);
  const { control, bulk } = await raw.link(mesh);
  const before = [control.bytes, bulk.bytes] as const;
  for (let beats = 1; beats <= 3; beats += 1) {
    await clock.advance(10_000);
    await until(() => control.bytes === before[0] + 4 * beats);
  }
  expect(bulk.bytes).toBe(before[1]);
  expect(events).toHaveLength(1);
  await clock.advance(10_000);
  expect(events[1]).toEqual({ type: "down", peer: raw.id, reason: "silent" });
});

// Goal: a member that does not read costs a bounded buffer, and requests that were never sent are known as such.
test("a peer that does not read fills its buffer and no more", async () => {
  await using bed = new Bed();
  const { mesh, raw } = await meshWithRawMember(bed);
  await using _raw = raw;
  const { connection, bulk } = await raw.link(mesh);
  bulk.stream.pause();
  const body = "x".repeat(1024 * 1024);
  let accepted = 0;
  while (mesh.send(raw.id, "bulk", "flood", body) && accepted < 1000) {
    accepted += 1;
    await turn();
  }
  const ownBuffer = MESH_SEND_BUFFER_BYTES_MAX / body.length;
  expect(accepted).toBeGreaterThanOrEqual(ownBuffer - 1);
  expect(accepted).toBeLessThan(ownBuffer + 16); // What fits the muxer's and the kernel's windows.
  await expect(mesh.request(raw.id, "bulk", "any", body, SOON)).rejects.toMatchObject({
    kind: "peer_unreachable",
  });
  connection.abort(new Error("enough"));
});

test("a request that is still queued at its deadline, or when the link dies, was certainly not sent", async () => {
  await using bed = new Bed();
  const { mesh, raw } = await meshWithRawMember(bed);
  await using _raw = raw;
  const { connection, bulk } = await raw.link(mesh);
  bulk.stream.pause();
  while (mesh.send(raw.id, "bulk", "flood", "x".repeat(1024 * 1024))) await turn();
  const ask = (timeoutMs: number) => mesh.request(raw.id, "bulk", "any", null, { timeoutMs });
  await expect(ask(50)).rejects.toMatchObject({ kind: "peer_unreachable" });
  const pending = expect(ask(60_000)).rejects.toMatchObject({ kind: "peer_unreachable" });
  connection.abort(new Error("enough"));
  await pending;
});

// Goal: a connection that only one side believes in does not keep the other side out, whoever judges the pair.
test.each([0, 1])("a link that does not answer gives way to a new call (judge %i)", async (judge) => {
  await using bed = new Bed();
  const pair = await orderedIdentities();
  const { mesh, events } = await bed.add({ identity: pair[judge] });
  await using raw = await RawPeer.start(pair[1 - judge]);
  mesh.setCluster(CLUSTER);
  mesh.setMembers([{ peer: raw.id, meshAddrs: [] }]);
  const old = await raw.link(mesh); // It answers no ping.
  const young = await raw.link(mesh);
  await until(() => old.control.ended);
  expect(old.control.received.at(-1)).toEqual({ bye: "replaced" });
  expect(young.control.ended).toBe(false);
  expect(events.map(({ type }) => type)).toEqual(["up"]);
});

test("a link that answers does not", async () => {
  await using bed = new Bed();
  const [small, large] = await orderedIdentities();
  const { mesh, events } = await bed.add({ identity: small });
  await using raw = await RawPeer.start(large);
  mesh.setCluster(CLUSTER);
  mesh.setMembers([{ peer: raw.id, meshAddrs: [] }]);
  const old = await raw.link(mesh);
  const connection = await raw.call(mesh);
  const young = new RawStream(await connection.newStream("/muster/control/1"));
  young.sendJson({ hello: raw.hello() });
  await until(() => old.control.received.some((frame) => "ping" in (frame as object)));
  const ping = old.control.received.at(-1) as { ping: number };
  old.control.sendJson({ pong: ping.ping });
  await until(() => young.ended);
  expect(young.received).toEqual([{ bye: "duplicate" }]);
  expect(old.control.ended).toBe(false);
  expect(events.map(({ type }) => type)).toEqual(["up"]);
});

test("a stranger reaches the join protocol only, and only for one conversation", async () => {
  await using bed = new Bed();
  const [server, client] = [await bed.add(), await bed.add()];
  server.mesh.setCluster(CLUSTER);
  server.mesh.onJoin(async (channel) => {
    const question = await channel.receive(SOON);
    await channel.send({ from: channel.remote, question });
    await channel.send("goodbye");
  });
  const target = {
    peer: server.mesh.self,
    meshAddrs: ["/ip4/127.0.0.1/tcp/1", ...server.mesh.listenAddrs()],
  };
  await using channel = await client.mesh.openJoin(target, AbortSignal.timeout(10_000));
  expect(channel.remote).toBe(server.mesh.self);
  await channel.send({ hello: "may I?" });
  expect(await channel.receive(SOON)).toEqual({ from: client.mesh.self, question: { hello: "may I?" } });
  expect(await channel.receive(SOON)).toBe("goodbye");
  await expect(channel.receive(SOON)).rejects.toMatchObject({ kind: "peer_unreachable" });
  await expect(channel.send("more")).rejects.toMatchObject({ kind: "peer_unreachable" });

  await using raw = await RawPeer.start();
  const connection = await raw.call(server.mesh);
  const stream = await connection.newStream("/muster/control/1");
  await until(() => connection.status !== "open");
  expect(stream.status).not.toBe("open");
  expect(server.mesh.connected()).toEqual([]);
});

test("join calls to the wrong peer, to nobody and to a busy handler's failure are unreachable", async () => {
  await using bed = new Bed();
  const [server, client] = [await bed.add(), await bed.add()];
  server.mesh.onJoin(() => Promise.reject(new Error("out of order")));
  const meshAddrs = server.mesh.listenAddrs();
  const unreachable = { kind: "peer_unreachable" };
  const wrong = { peer: (await newIdentity()).peerId, meshAddrs };
  await expect(client.mesh.openJoin(wrong, AbortSignal.timeout(10_000))).rejects.toMatchObject(unreachable);
  const nonsense = { peer: "nonsense", meshAddrs };
  await expect(client.mesh.openJoin(nonsense, AbortSignal.timeout(10_000))).rejects.toMatchObject(
    unreachable,
  );
  const nobody = { peer: server.mesh.self, meshAddrs: ["/ip4/127.0.0.1/tcp/1"] };
  await expect(client.mesh.openJoin(nobody, AbortSignal.timeout(10_000))).rejects.toMatchObject(unreachable);
  const target = { peer: server.mesh.self, meshAddrs };
  await using channel = await client.mesh.openJoin(target, AbortSignal.timeout(10_000));
  await expect(channel.receive(SOON)).rejects.toMatchObject(unreachable);
});

test("a stranger's large frame ends the conversation", async () => {
  await using bed = new Bed();
  const { mesh } = await bed.add();
  const ended = Promise.withResolvers<unknown>();
  mesh.onJoin(async (channel) => {
    await channel.receive(SOON).catch(ended.resolve);
  });
  await using raw = await RawPeer.start();
  const stream = await (await raw.call(mesh)).newStream("/muster/join/1");
  stream.send(frameOf("", 1024 * 1024));
  expect(await ended.promise).toMatchObject({ kind: "peer_unreachable" });
  await until(() => stream.status !== "open");
});

test("strangers that open streams by the thousand, or say nothing, are shown out and disturb nobody", async () => {
  await using bed = new Bed();
  const [a, b] = [await bed.add(), await bed.add()];
  unite(bed.nodes);
  await untilMeshed(bed.nodes);
  b.mesh.onRequest("echo", async (_from, body) => body);
  await using raw = await RawPeer.start();
  const busy = await raw.call(b.mesh);
  const silent = await raw.call(b.mesh);
  const refused = Array.from({ length: 2000 }, () =>
    busy.newStream("/muster/bulk/1").then(
      () => 0,
      () => 1,
    ),
  );
  await expect(a.mesh.request(b.mesh.self, "control", "echo", 1, SOON)).resolves.toBe(1);
  await Promise.all(refused);
  await until(() => busy.status !== "open");
  if (silent.status === "open") await once(silent, "close");
  expect([...a.events, ...b.events].map(({ type }) => type)).toEqual(["up", "up"]);
});
