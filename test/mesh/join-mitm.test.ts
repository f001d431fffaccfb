import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { FakeHost, passwords, proofs, request } from "#test/unit/agent/bootstrap/fake-host.ts";
import { FakeStrangers } from "#test/unit/agent/bootstrap/fake-strangers.ts";
import { failure, joinWith } from "#test/unit/agent/bootstrap/join-bed.ts";
import { issueToken } from "#agent/bootstrap/issue-token.ts";
import { decodeToken, encodeToken } from "#agent/bootstrap/token.ts";
import type { Mesh } from "#agent/mesh/mesh.ts";
import type { PeerAddresses, StrangerChannel, Wire } from "#agent/ports/transport.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { addressOf, Bed } from "./bed.ts";

// Somebody in the middle of a join, on real connections: what he hears, what he can change, what he gets.

const PASSWORD = "correct horse";
const WAITING = { timeoutMs: 10_000 };

/** Where the joiner was told that the cluster is. */
const ADDRESS = "10.0.0.1";

let dir: string;
let bed: Bed;
let founder: FakeHost;
let sponsor: Mesh;
let joiner: FakeHost;
let evil: Mesh;
/** All that the one in the middle was ever told. */
let heard: Wire[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-mitm-"));
  bed = new Bed();
  heard = [];
  [sponsor, evil] = [(await bed.add()).mesh, (await bed.add()).mesh];
  founder = await hostOn(sponsor);
  founder.sponsor();
  await founder.driver.start("create_cluster", request({ clusterName: "my.cluster" }));
  expect(await founder.settled()).toMatchObject({ name: "completed" });
  joiner = await hostOn((await bed.add()).mesh);
  // The log and its agents tell one time.
  const { at } = founder.runtime.registry.state;
  for (const { clock } of [founder, joiner]) clock.jumpWall(at - clock.now());
  joiner.runtime.follows = founder.runtime.registry;
});
afterEach(async () => {
  await bed[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

/** A host whose conversations go over this mesh. */
async function hostOn(mesh: Mesh): Promise<FakeHost> {
  const host = new FakeHost({ peer: mesh.self, strangers: new FakeStrangers(), dir });
  host.listening = [...mesh.listenAddrs()];
  host.transport = mesh;
  await host.restart();
  return host;
}

/** The joiner asks its address for the cluster, and this is what it is told. */
async function attempt(body: BootstrapRequest, told: PeerAddresses): Promise<BootstrapState> {
  joiner.contacts.set(ADDRESS, told);
  await joiner.driver.start("join_cluster", body);
  return joiner.settled();
}

async function token(): Promise<string> {
  const { registry } = founder.runtime;
  const made = await issueToken(
    { registry, tokens: proofs.tokens, self: sponsor.self },
    { ttlMs: 3_600_000, note: "" },
    { by: "admin" },
  );
  return made.token;
}

/** Passes everything on between whoever calls him and the real sponsor, in his own name where it is checked. */
function relay(): void {
  evil.onJoin(async (victim) => {
    await using real = await evil.openJoin(addressOf(sponsor), AbortSignal.timeout(10_000));
    const hello = (await hear(victim)) as unknown as { member: object };
    await real.send({ ...hello, member: { ...hello.member, peer: evil.self } });
    await victim.send(await hear(real));
    await real.send(await hear(victim));
    await victim.send(await hear(real));
    await victim.send(await hear(real));
  });
}

async function hear(channel: StrangerChannel): Promise<Wire> {
  const said = await channel.receive(WAITING);
  heard.push(said);
  return said;
}

/** Nobody was let in, and the joiner believed nobody. */
function expectNothingHappened(): void {
  expect([...founder.runtime.registry.state.members.keys()]).toEqual([sponsor.self]);
  expect(joiner.runtime.steps).not.toContain("follow");
  expect(joiner.disk.durable.cluster).toBeNull();
}

const BY_PASSWORD = request({ nodes: [ADDRESS] });

test("with a password, passing it all on under his own key gets him nothing but something to guess by", async () => {
  relay();
  expect(await attempt(BY_PASSWORD, addressOf(evil))).toMatchObject(failure("access_denied"));
  expectNothingHappened();
  const transcript = JSON.stringify(heard);
  const verifier = founder.runtime.registry.state.users.get("admin")?.verifier;
  expect(heard.length).toBeGreaterThanOrEqual(4);
  for (const secret of [PASSWORD, verifier?.stored_key, verifier?.server_key]) {
    expect(transcript).not.toContain(secret);
  }
});

test("with a password, playing the cluster himself gets him no member", async () => {
  const own = await passwords.derive("a password of his own");
  evil.onJoin(async (victim) => {
    await hear(victim);
    const { salt, n, r, p } = own;
    const nonce = proofs.nonce();
    await victim.send({ nonce, salt, n, r, p, cluster_id: "evil", incarnation: 1 });
    await hear(victim);
    await victim.send({ accepted: true, server_signature: own.server_key });
    const contacts = [{ peer: evil.self, mesh_addrs: [...evil.listenAddrs()] }];
    await victim.send({ uid: 1, cluster_name: "my.cluster", contacts, join_index: 1 });
  });
  expect(await attempt(BY_PASSWORD, addressOf(evil))).toMatchObject(failure("access_denied"));
  expectNothingHappened();
});

test("with a token, an address that tells his key is not even called", async () => {
  relay();
  const text = await token();
  // The real agent is gone from where the token says; the address is all there is.
  const gone = decodeToken(text).peers.map(({ peer }) => ({ peer, meshAddrs: ["/ip4/127.0.0.1/tcp/1"] }));
  const stale = encodeToken({ ...decodeToken(text), peers: gone });
  const end = await attempt(joinWith({ token: stale }, { nodes: [ADDRESS] }), addressOf(evil));
  expect(end).toMatchObject(failure("connect_error"));
  expect(JSON.stringify(end)).toContain(`(${evil.self}) is none of those that the token names`);
  expect(heard).toEqual([]);
  expectNothingHappened();
});

test("with a token, sitting at the real agent's address gets him not one word", async () => {
  relay();
  const text = await token();
  const [pinned] = decodeToken(text).peers;
  const hijacked = [{ peer: pinned?.peer ?? "", meshAddrs: evil.listenAddrs() }];
  const end = await attempt(
    joinWith({ token: encodeToken({ ...decodeToken(text), peers: hijacked }) }),
    addressOf(sponsor),
  );
  expect(end).toMatchObject(failure("connect_error"));
  expect(JSON.stringify(end)).toContain("another agent answers there");
  expect(heard).toEqual([]);
  expectNothingHappened();
});

test("with a token, the real agent's key told with his addresses gets him nothing either", async () => {
  relay();
  const text = await token();
  const gone = decodeToken(text).peers.map(({ peer }) => ({ peer, meshAddrs: ["/ip4/127.0.0.1/tcp/1"] }));
  const told = { peer: sponsor.self, meshAddrs: evil.listenAddrs() };
  const body = joinWith({ token: encodeToken({ ...decodeToken(text), peers: gone }) }, { nodes: [ADDRESS] });
  const end = await attempt(body, told);
  expect(end).toMatchObject(failure("connect_error"));
  expect(JSON.stringify(end)).toContain("the connection was refused");
  expect(JSON.stringify(end)).toContain("another agent answers there");
  expect(heard).toEqual([]);
  expectNothingHappened();
});

test("with a token, sitting on the wire he carries the host into the cluster and reads nothing", async () => {
  await using wire = await Tap.to(sponsor);
  const text = await token();
  const tapped = decodeToken(text).peers.map(({ peer }) => ({ peer, meshAddrs: [wire.multiaddr] }));
  const content = { ...decodeToken(text), peers: tapped };
  const end = await attempt(joinWith({ token: encodeToken(content) }), addressOf(sponsor));
  expect(end).toMatchObject({ name: "completed" });
  expect(wire.bytes.length).toBeGreaterThan(1000);
  for (const word of ["client_nonce", "my.cluster", content.id, content.secret]) {
    expect(wire.bytes.includes(word)).toBe(false);
  }
});

test("what he took down of a join with a token, said again under his own key, lets nobody in", async () => {
  const text = await token();
  // He can hear a conversation only as the joiner himself: the worst case.
  const openJoin = joiner.transport.openJoin.bind(joiner.transport);
  joiner.transport.openJoin = async (...args) => {
    const channel = await openJoin(...args);
    const send = channel.send.bind(channel);
    return Object.assign(Object.create(channel) as StrangerChannel, {
      remote: channel.remote,
      receive: channel.receive.bind(channel),
      send: (body: Wire) => {
        heard.push(body);
        return heard.length === 2 ? channel[Symbol.asyncDispose]() : send(body);
      },
      [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose](),
    });
  };
  await joiner.restart();
  expect(await attempt(joinWith({ token: text }), addressOf(sponsor))).toMatchObject(
    failure("connect_error"),
  );
  const [hello, proof] = heard as unknown as [{ member: object }, Wire];

  await using channel = await evil.openJoin(addressOf(sponsor), AbortSignal.timeout(10_000));
  await channel.send({ ...hello, member: { ...hello.member, peer: evil.self } });
  await channel.receive(WAITING);
  await channel.send(proof);
  expect(await channel.receive(WAITING)).toMatchObject({ refused: { code: "access_denied" } });
  expectNothingHappened();
});

/** A wire with somebody on it: passes all bytes on and keeps a copy. */
class Tap implements AsyncDisposable {
  readonly #chunks: Buffer[] = [];
  readonly #sockets: Socket[] = [];
  readonly #server;

  private constructor(target: Mesh) {
    const [, , host = "", , port = ""] = target.listenAddrs()[0]?.split("/") ?? [];
    this.#server = createServer((from) => {
      const to = connect(Number(port), host);
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const) {
        this.#sockets.push(one);
        one.on("data", (chunk: Buffer) => {
          this.#chunks.push(chunk);
          other.write(chunk);
        });
        one.on("close", () => other.destroy());
        one.on("error", () => other.destroy());
      }
    });
  }

  static async to(target: Mesh): Promise<Tap> {
    const tap = new Tap(target);
    await new Promise<void>((resolve) => {
      tap.#server.listen(0, "127.0.0.1", resolve);
    });
    return tap;
  }

  get multiaddr(): string {
    return `/ip4/127.0.0.1/tcp/${(this.#server.address() as AddressInfo).port}`;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}
