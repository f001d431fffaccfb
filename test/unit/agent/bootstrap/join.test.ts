import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeHost, FOUNDER, passwords, request, scram } from "./fake-host.ts";
import { CUT, FakeStrangers, type Said } from "./fake-strangers.ts";
import { joinBinding } from "#agent/bootstrap/binding.ts";
import {
  JOIN_PROTOCOL_VERSION,
  type JoinChallenge,
  type JoinHello,
  type JoinRefusal,
} from "#agent/bootstrap/join-messages.ts";
import { memberOf } from "#agent/bootstrap/preflight.ts";
import type { Wire } from "#agent/ports/transport.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { User } from "#shared/registry/state.ts";
import type { LocalRegistry } from "#test/support/local-registry.ts";

const JOIN = request({ nodes: ["10.0.0.1"] });
const PASSWORD = "correct horse";
let dir: string;
let strangers: FakeStrangers;
let founder: FakeHost;
let joiner: FakeHost;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-join-"));
  strangers = new FakeStrangers();
  founder = await cluster();
  joiner = newcomer("12D3KooWJoiner");
  await joiner.driver.resume();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A cluster of one that lets others in. */
async function cluster(more: Partial<BootstrapRequest> = {}): Promise<FakeHost> {
  const host = new FakeHost({ peer: FOUNDER, strangers, dir });
  await host.driver.resume();
  host.sponsor();
  await host.driver.start("create_cluster", request({ clusterName: "my.cluster", ...more }));
  expect(await host.settled()).toMatchObject({ name: "completed" });
  return host;
}

/** A host of no cluster, which finds the founder at 10.0.0.1. */
function newcomer(peer: string): FakeHost {
  const host = new FakeHost({ peer, strangers, dir, address: "10.0.0.2" });
  host.contacts.set("10.0.0.1", founder);
  host.runtime.follows = founder.runtime.registry;
  return host;
}

function registry(): LocalRegistry {
  return founder.runtime.registry as LocalRegistry;
}

/** Starts a join and waits for its end. */
async function attempt(host: FakeHost, body: BootstrapRequest = JOIN) {
  await host.driver.start("join_cluster", body);
  return host.settled();
}

describe("with the right password", () => {
  test("a host becomes a member with a uid, and holds the registry", async () => {
    expect(await attempt(joiner)).toMatchObject({ name: "completed", action: "join_cluster" });
    expect(joiner.states).toEqual(["initiated", "running", "completed"]);
    expect(joiner.driver.uid).toBe(2);
    expect(registry().state.members.get(joiner.peer)).toMatchObject({
      uid: 2,
      name: "host-Joiner",
      addr: "10.0.0.2",
      mesh_addrs: ["/ip4/10.0.0.2/tcp/9444"],
      api_urls: ["https://12D3KooWJoiner:9443"],
    });
    expect(joiner.disk.durable.cluster).toMatchObject({
      clusterId: founder.disk.durable.cluster?.clusterId,
      incarnation: 1,
      uid: 2,
      contacts: [{ peer: FOUNDER, meshAddrs: ["/ip4/10.0.0.1/tcp/9444"] }],
    });
  });

  test("it stays out of elections until `completed` is on its disk", async () => {
    const seen: unknown[] = [];
    joiner.disk.beforeWrite = async () => void seen.push(registry().state.members.get(joiner.peer)?.status);
    await attempt(joiner);
    expect(seen).not.toContain("active");
    expect(seen.at(-1)).toBe("joining"); // As the last write, `completed`, began.
  });

  test("neither the password nor a key is said to anybody", async () => {
    const said: string[] = [];
    strangers.meddle = ({ body }) => {
      said.push(JSON.stringify(body));
      return body;
    };
    await attempt(joiner);
    const { stored_key, server_key } = registry().state.users.get("admin")?.verifier ?? {};
    for (const secret of [PASSWORD, stored_key, server_key]) expect(said.join()).not.toContain(secret);
    expect(said).toHaveLength(5);
    expect(JSON.stringify([joiner.disk.durable, joiner.log.lines, founder.log.lines])).not.toContain(
      PASSWORD,
    );
  });

  test("it may join through any of the named nodes, whichever answers", async () => {
    joiner.contacts.set("10.0.0.8", new Error("the connection was refused"));
    expect(await attempt(joiner, { ...JOIN, nodes: ["10.0.0.8", "10.0.0.1"] })).toMatchObject({
      name: "completed",
    });
  });

  test("it finds the cluster by its name when no node is named", async () => {
    joiner.contacts.set("my.cluster", founder);
    expect(await attempt(joiner, { ...JOIN, nodes: [], clusterName: "my.cluster" })).toMatchObject({
      name: "completed",
    });
  });

  test("several join at once, each with its own uid", async () => {
    const hosts = Array.from({ length: 10 }, (_, i) => newcomer(`12D3KooWMany${i}`));
    for (const host of hosts) await host.driver.resume();
    const ends = await Promise.all(hosts.map((host) => attempt(host)));
    expect(ends.every(({ name }) => name === "completed")).toBe(true);
    expect(new Set(hosts.map(({ driver }) => driver.uid)).size).toBe(10);
  });
});

describe("refused for good", () => {
  const failure = (code: string, details: object = {}) => ({ name: "error", failure: { code, details } });

  test("a wrong password: access_denied; nothing is written anywhere, and the right one is taken next", async () => {
    expect(
      await attempt(joiner, { ...JOIN, credentials: { ...JOIN.credentials, password: "wrong" } }),
    ).toMatchObject(failure("access_denied"));
    expect(registry().state.members.has(joiner.peer)).toBe(false);
    expect(joiner.runtime.steps).not.toContain("follow");
    expect(await attempt(joiner)).toMatchObject({ name: "completed", attempt: 2 });
  });

  test("an unknown user: the same, word by word", async () => {
    const wrong = await attempt(joiner, { ...JOIN, credentials: { ...JOIN.credentials, password: "wrong" } });
    const unknown = await attempt(joiner, {
      ...JOIN,
      credentials: { ...JOIN.credentials, username: "nobody" },
    });
    const told = (state: typeof wrong) => (state.name === "error" ? state.failure : null);
    expect(told(unknown)).toEqual(told(wrong));
    expect(told(unknown)?.code).toBe("access_denied");
  });

  test("a refusal for good is not repeated at other nodes or later", async () => {
    let hellos = 0;
    strangers.meddle = ({ count, body }) => {
      if (count === 0) hellos += 1;
      return body;
    };
    joiner.contacts.set("10.0.0.9", founder);
    await attempt(joiner, {
      ...JOIN,
      nodes: ["10.0.0.1", "10.0.0.9"],
      credentials: { ...JOIN.credentials, password: "wrong" },
      maxRetries: 5,
    });
    expect(hellos).toBe(1);
  });

  test("a user who is no administrator", async () => {
    const admin = registry().state.users.get("admin") as User;
    const verifier = await passwords.derive(PASSWORD);
    registry().state.users.set("viewer", { ...admin, uid: 2, name: "viewer", role: "viewer", verifier });
    expect(
      await attempt(joiner, { ...JOIN, credentials: { ...JOIN.credentials, username: "viewer" } }),
    ).toMatchObject(failure("access_denied"));
    expect(registry().state.members.size).toBe(1);
  });

  test.each([-6000, 6000])("a clock that is %i ms off", async (offset_ms) => {
    joiner.clock.jumpWall(offset_ms);
    expect(await attempt(joiner)).toMatchObject(failure("time_not_sync", { offset_ms, limit_ms: 5000 }));
    expect(registry().state.members.size).toBe(1);
  });

  test("a sponsor that is stricter by its configuration", async () => {
    founder.sponsor({ clockLimitMs: 500 });
    joiner.clock.jumpWall(600);
    expect(await attempt(joiner)).toMatchObject(failure("time_not_sync", { offset_ms: 600, limit_ms: 500 }));
  });

  test("a clock that is less off is let in", async () => {
    joiner.clock.jumpWall(4900);
    expect(await attempt(joiner)).toMatchObject({ name: "completed" });
  });

  test("no rack id in a rack-aware cluster: told which there are", async () => {
    founder = await cluster({ rackAware: true, identity: { externalAddrs: [], rackId: "rack-1" } });
    joiner = newcomer("12D3KooWRackless");
    await joiner.driver.resume();
    expect(await attempt(joiner)).toMatchObject(
      failure("rack_id_required", { current_rack_ids: ["rack-1"] }),
    );
    const racked = { ...JOIN, identity: { externalAddrs: [], rackId: "rack-2" } };
    expect(await attempt(joiner, racked)).toMatchObject({ name: "completed" });
  });

  test("a uid that is another's, or nobody's", async () => {
    const body = { ...JOIN, identity: { externalAddrs: [], uid: 1 } };
    expect(await attempt(joiner, body)).toMatchObject(
      failure("config_error", { field: "node.identity.uid" }),
    );
  });

  test("a name that another member has", async () => {
    const body = { ...JOIN, identity: { externalAddrs: [], name: `host-${FOUNDER.slice(-6)}` } };
    expect(await attempt(joiner, body)).toMatchObject(failure("config_error", { name: body.identity.name }));
  });

  test("a host that was taken out for good", async () => {
    await attempt(joiner);
    await registry().submit({ type: "member.remove", peer: joiner.peer }, { by: "admin" });
    // It did not hear of it, and somebody put its disk back as it was before it joined.
    await joiner.deps.store.save({ name: "idle" });
    await joiner.restart();
    expect(await attempt(joiner)).toMatchObject(failure("access_denied", { peer: joiner.peer }));
  });

  test.each(["voters", "outgoing", "learners"])(
    "one of the %s that lost its log: it could break what it once promised",
    async (role) => {
      const status = registry().status();
      registry().status = () => ({
        ...status,
        config: { voters: [FOUNDER], outgoing: [], learners: [], [role]: [FOUNDER, joiner.peer] },
      });
      expect(await attempt(joiner)).toMatchObject(failure("config_error", { field: "node.identity.uid" }));
      expect(registry().state.members.has(joiner.peer)).toBe(false);
    },
  );

  test("who guesses passwords must wait, even with the right one", async () => {
    for (let i = 0; i < 10; i += 1)
      await attempt(joiner, { ...JOIN, credentials: { ...JOIN.credentials, password: `guess ${i}` } });
    expect(await attempt(joiner)).toMatchObject(failure("access_denied", { retry_after_s: 60 }));
    await founder.clock.advance(60_000);
    await joiner.clock.advance(60_000);
    expect(await attempt(joiner)).toMatchObject({ name: "completed" });
  });
});

describe("what may pass", () => {
  test("nobody there: connect_error, with each address and why", async () => {
    joiner.contacts.set("10.0.0.7", new Error("no answer within 5 s"));
    joiner.contacts.set("10.0.0.2", joiner);
    const end = await attempt(joiner, { ...JOIN, nodes: ["10.0.0.6", "10.0.0.7", "10.0.0.2"] });
    expect(end).toMatchObject({
      failure: {
        code: "connect_error",
        details: {
          tried: [
            { address: "10.0.0.6", cause: "the connection was refused" },
            { address: "10.0.0.7", cause: "no answer within 5 s" },
            { address: "10.0.0.2", cause: "that is this host itself" },
          ],
        },
      },
    });
  });

  test("a cluster without a majority: connect_error that says so, and the host is let in once it has one", async () => {
    registry().quorum = false;
    const end = await attempt(joiner);
    expect(end).toMatchObject({ failure: { code: "connect_error" } });
    expect(JSON.stringify(end)).toContain("no majority of the voters can be reached");
    registry().quorum = true;
    expect(await attempt(joiner)).toMatchObject({ name: "completed" });
  });

  test("is tried again as often as asked for, with longer and longer waits up to the longest", async () => {
    const body = { ...JOIN, nodes: ["10.0.0.6"], maxRetries: 4, retryTimeS: 3 };
    await joiner.driver.start("join_cluster", body);
    for (const [i, waitMs] of [1000, 2000, 3000, 3000].entries()) {
      const tries = (): number => joiner.log.matching("trying again").length;
      await until(() => tries() === i + 1);
      await joiner.clock.advance(waitMs - 1);
      expect(joiner.clock.timers).toBe(2); // The wait and the tick: it waits still.
      await joiner.clock.advance(1);
    }
    expect(await joiner.settled()).toMatchObject({ failure: { code: "connect_error" } });
    expect(joiner.log.matching("trying again")).toHaveLength(4);
  });

  test("helps when the cluster comes back in between", async () => {
    registry().quorum = false;
    await joiner.driver.start("join_cluster", { ...JOIN, maxRetries: 3, retryTimeS: 5 });
    await until(() => joiner.log.matching("trying again").length === 1);
    registry().quorum = true;
    await joiner.clock.advance(1000);
    expect(await joiner.settled()).toMatchObject({ name: "completed" });
  });

  test("an agent of no cluster, or that has not completed its own bootstrap, lets nobody in", async () => {
    const half = new FakeHost({ peer: "12D3KooWHalf", strangers, dir });
    await half.driver.resume();
    half.sponsor();
    joiner.contacts.set("10.0.0.3", half);
    const alone = await attempt(joiner, { ...JOIN, nodes: ["10.0.0.3"] });
    expect(alone).toMatchObject({ failure: { code: "connect_error" } });
    expect(JSON.stringify(alone)).toContain("not a member of a cluster yet");

    // Its cluster is there, but it may still take everything back.
    const done = Promise.withResolvers<void>();
    half.disk.beforeWrite = () =>
      half.runtime.registry.state.cluster === null ? Promise.resolve() : done.promise;
    await half.driver.start("create_cluster", request({ clusterName: "my.cluster" }));
    await until(() => half.runtime.registry.state.cluster !== null);
    const early = await attempt(joiner, { ...JOIN, nodes: ["10.0.0.3"] });
    expect(JSON.stringify(early)).toContain("not a member of a cluster yet");
    done.resolve();
    await half.settled();
    joiner.runtime.follows = half.runtime.registry;
    expect(await attempt(joiner, { ...JOIN, nodes: ["10.0.0.3"] })).toMatchObject({ name: "completed" });
  });

  test("being taken out while joining", async () => {
    const submit = registry().submit.bind(registry());
    registry().submit = async (...args) => {
      const answer = await submit(...args);
      await submit({ type: "member.remove", peer: joiner.peer }, { by: "admin" });
      return answer;
    };
    expect(await attempt(joiner)).toMatchObject({ name: "error", failure: { code: "access_denied" } });
    expect(joiner.disk.durable.cluster).toBeNull();
  });

  test("a registry that does not arrive: the host takes back that it follows", async () => {
    joiner.runtime.follows = Object.assign(Object.create(registry()) as LocalRegistry, {
      waitForIndex: () => Promise.reject(new AppError("index_not_reached", { index: 0, wanted: 2 })),
    });
    expect(await attempt(joiner)).toMatchObject({ name: "error", failure: { code: "connect_error" } });
    expect(joiner.runtime.steps).toEqual(["forget", "follow", "forget"]);
    expect(joiner.disk.durable.cluster).toBeNull();
    joiner.runtime.follows = registry();
    expect(await attempt(joiner)).toMatchObject({ name: "completed" });
    expect(joiner.driver.uid).toBe(2);
  });
});

describe("a conversation that breaks", () => {
  test.each([0, 1, 2, 3, 4])(
    "at message %i leaves `error`, blocks nobody, and the next attempt succeeds",
    async (broken) => {
      strangers.meddle = ({ count, body }) => (count === broken ? CUT : body);
      expect(await attempt(joiner)).toMatchObject({ name: "error", failure: { code: "connect_error" } });
      expect(joiner.disk.durable.cluster).toBeNull();
      strangers.meddle = ({ body }) => body;

      const other = newcomer("12D3KooWOther");
      await other.driver.resume();
      expect(await attempt(other)).toMatchObject({ name: "completed" });
      expect(await attempt(joiner)).toMatchObject({ name: "completed" });
      const uids = [...registry().state.members.values()].map(({ uid }) => uid);
      expect(uids.toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
    },
  );

  test.each([0, 1, 2, 3, 4])(
    "into nonsense at message %i leaves `error` and nothing written by the joiner",
    async (broken) => {
      strangers.meddle = ({ count, body }) => (count === broken ? { nonsense: [1, 2, 3] } : body);
      expect(await attempt(joiner)).toMatchObject({ name: "error", failure: { code: "connect_error" } });
      expect(joiner.runtime.steps).not.toContain("follow");
      strangers.meddle = ({ body }) => body;
      expect(await attempt(joiner)).toMatchObject({ name: "completed" });
    },
  );

  test("because the agent is killed, at each of its writes: the next life can go on, with one uid", async () => {
    for (let kill = 1; ; kill += 1) {
      const victim = newcomer("12D3KooWVictim");
      await victim.driver.resume();
      let writes = 0;
      let dead = false;
      victim.disk.beforeWrite = () => {
        writes += 1;
        if (writes < kill) return Promise.resolve();
        dead = true;
        return new Promise(() => undefined);
      };
      const started = victim.driver.start("join_cluster", JOIN);
      await Promise.race([started.then(() => victim.settled()), until(() => dead)]);
      if (!dead) {
        expect(kill).toBeGreaterThan(4); // initiated, running, identity, completed
        return;
      }
      expect(registry().state.members.get(victim.peer)?.status).not.toBe("active");
      victim.disk.beforeWrite = () => Promise.resolve();
      const { name } = await victim.restart();
      expect(["idle", "error"]).toContain(name);
      expect(victim.disk.durable.cluster).toBeNull();
      expect(await attempt(victim)).toMatchObject({ name: "completed" });
      expect(victim.driver.uid).toBe(2);
    }
  });

  test("because the operator stops the agent: nothing is left behind", async () => {
    const reached = Promise.withResolvers<void>();
    strangers.meddle = ({ count, body }) => {
      if (count === 2) reached.resolve();
      return body;
    };
    registry().submit = () => new Promise(() => undefined);
    await joiner.driver.start("join_cluster", JOIN);
    await reached.promise;
    await joiner.driver[Symbol.asyncDispose]();
    expect(joiner.disk.durable.bootstrap).toMatchObject({
      name: "error",
      failure: { code: "internal_error" },
    });
    expect(joiner.disk.durable.cluster).toBeNull();
  });
});

describe("somebody in the middle", () => {
  /** Changes one field of one message on its way. */
  const change = (at: number, path: readonly string[], value: Wire) => {
    strangers.meddle = ({ count, body }: Said) =>
      count === at ? (replaced(body, path, value) as Wire) : body;
  };

  test.each<[string, number, readonly string[], Wire]>([
    ["user", 0, ["means", "username"], "nobody"],
    ["nonce", 0, ["client_nonce"], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
    ["clock", 0, ["clock_ms"], 0],
    ["name", 0, ["member", "name"], "other-host"],
    ["addresses", 0, ["member", "mesh_addrs"], ["/ip4/6.6.6.6/tcp/9444"]],
    ["peer id", 0, ["member", "peer"], "12D3KooWEvil"],
    ["wanted uid", 0, ["want_uid"], 1],
    ["sponsor's nonce", 1, ["nonce"], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
    ["salt", 1, ["salt"], "AAAAAAAAAAAAAAAAAAAAAA=="],
    ["cost", 1, ["n"], 2048],
    ["cluster", 1, ["cluster_id"], "another-cluster"],
    ["incarnation", 1, ["incarnation"], 9],
    ["proof", 2, ["proof"], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
    ["signature", 3, ["server_signature"], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
  ])(
    "who changes the %s is noticed before the joiner trusts or writes anything",
    async (_what, at, path, value) => {
      change(at, path, value);
      expect(await attempt(joiner)).toMatchObject({ name: "error", failure: { code: "access_denied" } });
      expect(joiner.runtime.steps).not.toContain("follow");
      if (at < 3) expect(registry().state.members.size).toBe(1);
    },
  );

  test("who passes everything on under its own peer id gets nothing", async () => {
    const evil = "12D3KooWEvil";
    const toFounder = strangers.transportOf(evil, []);
    // The joiner was told that the node is `evil`, which talks to the founder at the same time and passes each word on.
    strangers.handlers.set(evil, async (victim) => {
      await using real = await toFounder.openJoin(
        { peer: FOUNDER, meshAddrs: [] },
        AbortSignal.timeout(10_000),
      );
      const waiting = { timeoutMs: 10_000 };
      await real.send(replaced(await victim.receive(waiting), ["member", "peer"], evil) as Wire);
      await victim.send(await real.receive(waiting));
      await real.send(await victim.receive(waiting));
      await victim.send(await real.receive(waiting));
      await victim.send(await real.receive(waiting));
    });
    joiner.contacts.set(
      "10.0.0.66",
      Object.assign(Object.create(FakeHost.prototype) as FakeHost, { peer: evil }),
    );
    const end = await attempt(joiner, { ...JOIN, nodes: ["10.0.0.66"] });
    expect(end).toMatchObject({ name: "error", failure: { code: "access_denied" } });
    expect(registry().state.members.size).toBe(1);
    expect(joiner.runtime.steps).not.toContain("follow");
  });

  test("who knows the password cannot make somebody else a member", async () => {
    const evil = "12D3KooWEvil";
    const waiting = { timeoutMs: 10_000 };
    const target = { peer: FOUNDER, meshAddrs: [] };
    await using real = await strangers.transportOf(evil, []).openJoin(target, AbortSignal.timeout(10_000));
    const client = scram.client({ username: "admin", password: PASSWORD });
    const hello: JoinHello = {
      v: JOIN_PROTOCOL_VERSION,
      means: { by: "password", username: "admin" },
      client_nonce: client.first.nonce,
      clock_ms: founder.clock.now(),
      member: memberOf(joiner.deps, JOIN),
    };
    await real.send(hello);
    const answer = (await real.receive(waiting)) as unknown as JoinChallenge | JoinRefusal;
    expect(answer).toMatchObject({ refused: { code: "access_denied" } });
    expect(registry().state.members.size).toBe(1);
  });

  test("who only pretends to be of the cluster cannot make the joiner follow", async () => {
    const evil = "12D3KooWEvil";
    strangers.handlers.set(evil, async (victim) => {
      const waiting = { timeoutMs: 10_000 };
      await victim.receive(waiting);
      const salt = "AAAAAAAAAAAAAAAAAAAAAA==";
      await victim.send({ nonce: "AAAA", salt, n: 1024, r: 8, p: 1, cluster_id: "evil", incarnation: 1 });
      await victim.receive(waiting);
      await victim.send({
        accepted: true,
        server_signature: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
      });
      await victim.send({
        uid: 1,
        cluster_name: "evil",
        contacts: [{ peer: evil, mesh_addrs: [] }],
        join_index: 1,
      });
    });
    joiner.contacts.set(
      "10.0.0.66",
      Object.assign(Object.create(FakeHost.prototype) as FakeHost, { peer: evil }),
    );
    const end = await attempt(joiner, { ...JOIN, nodes: ["10.0.0.66"] });
    expect(end).toMatchObject({ name: "error", failure: { code: "access_denied" } });
    expect(joiner.runtime.steps).not.toContain("follow");
    expect(joiner.disk.durable.cluster).toBeNull();
  });
});

test("what is signed names both peers, the cluster and every word", () => {
  const hello = { v: 2, means: { by: "password", username: "admin" } } as JoinHello;
  const challenge = { nonce: "n", cluster_id: "c" } as JoinChallenge;
  const signed = (...given: Parameters<typeof joinBinding>) => JSON.stringify(joinBinding(...given));
  const all = [
    signed("a", "b", hello, challenge),
    signed("x", "b", hello, challenge),
    signed("a", "x", hello, challenge),
    signed("a", "b", { ...hello, means: { by: "token", id: "x" } }, challenge),
    signed("a", "b", hello, { ...challenge, cluster_id: "x" }),
    signed("a", "b", hello, { ...challenge, nonce: "x" }),
  ];
  expect(new Set(all).size).toBe(all.length);
});

/** A copy with the value at the path replaced. */
function replaced(body: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value;
  const record = body as Record<string, unknown>;
  return { ...record, [key]: replaced(record[key], rest, value) };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
