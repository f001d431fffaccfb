import { expect, test } from "vitest";

import { Beacon } from "#agent/mesh/beacon.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { createSocket } from "node:dgram";
import { Bed, CLUSTER, until, untilMeshed, type Node } from "./bed.ts";

// Members that nobody finds where they used to be.

/** All of one cluster; nobody knows where anybody is. */
function uniteBlind(nodes: readonly Node[]): void {
  const members = nodes.map(({ mesh }) => ({ peer: mesh.self, meshAddrs: [] }));
  for (const { mesh } of nodes) {
    mesh.setCluster(CLUSTER);
    mesh.setMembers(members);
  }
}

function portOf({ mesh }: Node): number {
  return Number(mesh.listenAddrs()[0]?.split("/")[4]);
}

test("a seed leads to the member that is there, by address and by name", async () => {
  await using bed = new Bed();
  const b = await bed.add({ listen: "127.0.0.1:0" });
  const byAddress = await bed.add({ seeds: [{ host: "127.0.0.1", port: portOf(b) }] });
  const byName = await bed.add({
    seeds: [
      { host: "localhost", port: portOf(b) },
      { host: "127.0.0.2", port: portOf(byAddress) },
    ],
  });
  uniteBlind(bed.nodes);
  await untilMeshed(bed.nodes);
  expect(byName.mesh.connected()).toHaveLength(2);
});

test("a stranger at a seed, an agent's own address and a place where nobody is lead nowhere and harm nobody", async () => {
  await using bed = new Bed();
  const stranger = await bed.add();
  const b = await bed.add();
  const own = { host: "127.0.0.3", port: 45_871 };
  const looking = await bed.add({
    listen: `${own.host}:${own.port}`,
    seeds: [
      { host: "127.0.0.1", port: portOf(stranger) },
      own,
      { host: "127.0.0.1", port: 1 },
      { host: "no.such.name.invalid", port: 1 },
      { host: "127.0.0.2", port: portOf(b) },
    ],
  });
  uniteBlind([b, looking]);
  await untilMeshed([b, looking]);
  expect(stranger.mesh.connected()).toEqual([]);
  expect(looking.mesh.connected()).toEqual([b.mesh.self]);
});

/** A beacon on loopback, and what it heard. */
function beaconAt(self: string, port: number): { beacon: Beacon; heard: string[]; log: RecordingLog } {
  const heard: string[] = [];
  const log = new RecordingLog();
  const beacon = new Beacon({
    log,
    self,
    places: () => [{ address: "127.0.0.1", port }],
    heard: (peer, address) => heard.push(`${peer} ${address}`),
  });
  return { beacon, heard, log };
}

test("beacons on one wire hear of each other, not of themselves, and only while they look", async () => {
  const [a, b] = [beaconAt("peer-a", 1111), beaconAt("peer-b", 2222)];
  try {
    await until(async () => {
      await a.beacon.look();
      await b.beacon.look();
      return a.heard.length > 0 && b.heard.length > 0;
    });
    expect(new Set(a.heard)).toEqual(new Set(["peer-b /ip4/127.0.0.1/tcp/2222"]));
    expect(new Set(b.heard)).toEqual(new Set(["peer-a /ip4/127.0.0.1/tcp/1111"]));
    b.beacon.rest();
    const before = b.heard.length;
    const known = a.heard.length;
    await a.beacon.look();
    await b.beacon.look();
    await until(() => a.heard.length > known);
    expect(b.heard.length).toBe(before);
  } finally {
    a.beacon.rest();
    b.beacon.rest();
  }
});

test("what is no beacon's word is not listened to", async () => {
  const a = beaconAt("peer-a", 1111);
  const mouth = createSocket("udp4");
  mouth.bind({ address: "127.0.0.1", port: 0 });
  await new Promise((resolve) => mouth.once("listening", resolve));
  mouth.setMulticastInterface("127.0.0.1");
  const say = (text: string): void => mouth.send(text, 9444, "239.255.94.44");
  try {
    await until(async () => {
      await a.beacon.look();
      for (const text of [
        "",
        "{",
        "null",
        JSON.stringify({ muster: 2, peer: "x", port: 1 }),
        JSON.stringify({ muster: 1, peer: "", port: 1 }),
        JSON.stringify({ muster: 1, peer: "x", port: 0 }),
        JSON.stringify({ muster: 1, peer: "x", port: 70_000 }),
        JSON.stringify({ muster: 1, peer: "x", port: 1, more: "y".repeat(600) }),
        JSON.stringify({ muster: 1, peer: "last", port: 1 }),
      ]) {
        say(text);
      }
      return a.heard.length > 0;
    });
    expect(new Set(a.heard)).toEqual(new Set(["last /ip4/127.0.0.1/tcp/1"]));
  } finally {
    a.beacon.rest();
    mouth.close();
  }
});

test("a host without multicast looks in vain, and nothing breaks", async () => {
  const heard: string[] = [];
  const log = new RecordingLog();
  // An address that this host does not have: neither joining nor calling out can work.
  const beacon = new Beacon({
    log,
    self: "peer-a",
    places: () => [{ address: "192.0.2.1", port: 1 }],
    heard: (peer) => heard.push(peer),
  });
  await beacon.look();
  await beacon.look();
  beacon.rest();
  expect(log.matching("no multicast on this interface")).toHaveLength(1);
  expect(log.matching("the beacon could not call out")).toHaveLength(2);
});
