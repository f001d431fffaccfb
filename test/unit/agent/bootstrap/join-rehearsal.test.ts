import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { FakeHost } from "./fake-host.ts";
import { JOIN, JoinBed, joinWith } from "./join-bed.ts";
import type { Validation } from "#agent/ports/bootstrap.ts";
import type { Wire } from "#agent/ports/transport.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { Member } from "#shared/registry/state.ts";

const never = new AbortController().signal;

let bed: JoinBed;
let joiner: FakeHost;
beforeEach(async () => {
  bed = await JoinBed.make();
  joiner = await bed.newcomer("12D3KooWJoiner");
});
afterEach(() => bed[Symbol.asyncDispose]());

const rehearse = (body: BootstrapRequest = JOIN): Promise<Validation> =>
  joiner.driver.validate("join_cluster", body, never);

const wouldFail = (code: string, details: object = {}): object => ({ ok: false, failure: { code, details } });

/** Runs something and makes sure that nothing was written by it, anywhere. */
async function changesNothing<T>(work: () => Promise<T>): Promise<T> {
  const before = JSON.stringify([bed.registry.state.index, joiner.disk.durable, joiner.runtime.steps]);
  const result = await work();
  expect(JSON.stringify([bed.registry.state.index, joiner.disk.durable, joiner.runtime.steps])).toBe(before);
  expect(joiner.driver.state).toEqual({ name: "idle" });
  return result;
}

describe("a rehearsal", () => {
  test("asks the cluster, which would let the host in; nothing changes anywhere", async () => {
    const said: string[] = [];
    bed.strangers.meddle = ({ body }) => {
      said.push(...Object.keys(body as object));
      return body;
    };
    expect(await changesNothing(() => rehearse())).toEqual({ ok: true });
    expect(said).toContain("rehearsed");
    expect(bed.registry.state.members.size).toBe(1);
  });

  test("does not use up a token", async () => {
    const { id, token } = await bed.token();
    expect(await changesNothing(() => rehearse(joinWith({ token })))).toEqual({ ok: true });
    expect(bed.registry.state.tokens.get(id)?.usedBy).toBeNull();
  });

  test.each<[string, Partial<BootstrapRequest>, string, object]>([
    ["a wrong password", { credentials: { username: "admin", password: "wrong" } }, "access_denied", {}],
    ["nobody there", { nodes: ["10.0.0.6"] }, "connect_error", { tried: [{ address: "10.0.0.6" }] }],
    ["another cluster's name", { clusterName: "other.cluster" }, "config_error", { field: "cluster.name" }],
    [
      "a version that the cluster does not have",
      { requiredVersion: "99.0.0" },
      "node_config_mismatch",
      { setting: "required_version", expected: "99.0.0", actual: "0.1.0" },
    ],
    [
      "a name that another member has",
      { identity: { externalAddrs: [], name: "host-WLocal" } },
      "config_error",
      {},
    ],
    [
      "a uid that nobody has",
      { identity: { externalAddrs: [], uid: 9 } },
      "config_error",
      { field: "node.identity.uid" },
    ],
  ])("tells of %s what the join would end with", async (_what, more, code, details) => {
    const body = { ...JOIN, ...more };
    const told = await changesNothing(() => rehearse(body));
    expect(told).toMatchObject(wouldFail(code, details));
    await joiner.driver.start("join_cluster", body);
    const end = await joiner.settled();
    expect(end).toMatchObject({ name: "error", failure: told.ok ? {} : told.failure });
  });

  test("tells of a clock that is off", async () => {
    joiner.clock.jumpWall(6000);
    const details = { offset_ms: 6000, limit_ms: 5000 };
    expect(await changesNothing(() => rehearse())).toMatchObject(wouldFail("time_not_sync", details));
  });

  test("tells of a failed member, and whose place to take", async () => {
    const other = await bed.newcomer("12D3KooWOther");
    await other.driver.start("join_cluster", JOIN);
    await other.settled();
    await bed.registry.submit({ type: "member.activate", peer: other.peer }, { by: "agent" });
    await bed.registry.submit({ type: "member.set_failed", peer: other.peer, failed: true }, { by: "agent" });
    const details = { failed_nodes: [{ uid: 2 }], replace_candidate: 2 };
    expect(await changesNothing(() => rehearse())).toMatchObject(wouldFail("repair_required", details));
    const instead = { ...JOIN, identity: { externalAddrs: [], uid: 2 } };
    expect(await changesNothing(() => rehearse(instead))).toEqual({ ok: true });
  });

  test("tells that the cluster has no majority now, and whom it misses by name", async () => {
    const other = await bed.newcomer("12D3KooWMissing");
    await other.driver.start("join_cluster", JOIN);
    await other.settled();
    bed.registry.quorum = false;
    const told = await changesNothing(() => rehearse());
    expect(told).toMatchObject(wouldFail("connect_error"));
    expect(JSON.stringify(told)).toContain("no majority");
    expect(JSON.stringify(told)).toContain(`missing: ${bed.registry.state.members.get(other.peer)?.name}`);
  });
});

describe("what a join asks of the cluster", () => {
  const join = async (more: Partial<BootstrapRequest>): Promise<object> => {
    await joiner.driver.start("join_cluster", { ...JOIN, ...more });
    return joiner.settled();
  };

  test.each(["my.cluster", "My.Cluster."])("its name, in whatever spelling (%s)", async (clusterName) => {
    expect(await join({ clusterName })).toMatchObject({ name: "completed" });
  });

  test("a version that all members have", async () => {
    expect(await join({ requiredVersion: "0.1.0" })).toMatchObject({ name: "completed" });
  });
});

describe("taking a failed member's place", () => {
  let dead: FakeHost;
  beforeEach(async () => {
    dead = await bed.newcomer("12D3KooWDead");
    await dead.driver.start("join_cluster", JOIN);
    await dead.settled();
    await bed.registry.submit({ type: "member.activate", peer: dead.peer }, { by: "agent" });
    await bed.registry.submit({ type: "member.set_failed", peer: dead.peer, failed: true }, { by: "agent" });
  });

  const place = { ...JOIN, identity: { externalAddrs: [], uid: 2 } };

  test("the newcomer has its uid; its key is retired", async () => {
    await joiner.driver.start("join_cluster", place);
    expect(await joiner.settled()).toMatchObject({ name: "completed" });
    expect(joiner.driver.uid).toBe(2);
    expect(bed.registry.state.tombstones.has(dead.peer)).toBe(true);
  });

  test("not while this agent sees it alive again", async () => {
    bed.founder.alive.add(dead.peer);
    await joiner.driver.start("join_cluster", place);
    expect(await joiner.settled()).toMatchObject({
      failure: { code: "config_error", details: { message: expect.stringMatching(/answers again/) } },
    });
    expect(bed.registry.state.members.has(dead.peer)).toBe(true);
  });

  test("though it was heard a moment ago, when it is the newcomer's own: the host has another key now", async () => {
    bed.founder.alive.add(dead.peer);
    const { members } = bed.registry.state;
    const known = members.get(dead.peer) as Member;
    members.set(dead.peer, { ...known, uuid: `uuid-of-${joiner.peer}` });
    await joiner.driver.start("join_cluster", place);
    expect(await joiner.settled()).toMatchObject({ name: "completed" });
    expect(joiner.driver.uid).toBe(2);
  });

  test.each([
    ["that has failed", true, /join with node.identity.uid 2$/],
    ["that has not failed yet", false, /once the cluster counts this one as failed/],
  ])(
    "a voter %s and comes back under its own key without its log is told how",
    async (_what, failed, way) => {
      await bed.registry.submit({ type: "member.set_failed", peer: dead.peer, failed }, { by: "agent" });
      const status = bed.registry.status();
      bed.registry.status = () => ({
        ...status,
        config: { voters: [bed.founder.peer, dead.peer], outgoing: [], learners: [] },
      });
      const wiped = await bed.newcomer(dead.peer);
      await wiped.driver.start("join_cluster", JOIN);
      expect(await wiped.settled()).toMatchObject({
        failure: {
          code: "config_error",
          details: { field: "node.identity.uid", message: expect.stringMatching(way) },
        },
      });
    },
  );
});

test("what the sponsor's own copy refuses is looked at again with the leader's, before it is refused", async () => {
  const { registry } = bed;
  const other = await bed.newcomer("12D3KooWOther");
  await other.driver.start("join_cluster", JOIN);
  await other.settled();
  const member = registry.state.members.get(other.peer);
  if (member === undefined) throw new Error("it joined");
  registry.state.members.set(other.peer, { ...member, status: "active", failedAt: registry.state.at });
  const barrier = registry.readBarrier.bind(registry);
  registry.readBarrier = (...args) => {
    registry.state.members.set(other.peer, { ...member, status: "active" }); // It has come back meanwhile.
    return barrier(...args);
  };
  await joiner.driver.start("join_cluster", JOIN);
  expect(await joiner.settled()).toMatchObject({ name: "completed" });
});

test("an agent whose copy is not to be served lets nobody in, and the next one is asked", async () => {
  const status = bed.registry.status.bind(bed.registry);
  let asked = 0;
  bed.registry.status = () => {
    asked += 1;
    return { ...status(), quarantined: asked === 1 };
  };
  joiner.contacts.set("10.0.0.9", bed.founder);
  await joiner.driver.start("join_cluster", { ...JOIN, nodes: ["10.0.0.1", "10.0.0.9"] });
  expect(await joiner.settled()).toMatchObject({ name: "completed" });
  expect(bed.founder.log.matching("refused")).toHaveLength(1);
});

test("a recovered cluster's lineage is on the joiner's disk", async () => {
  const { cluster } = bed.founder.disk.durable;
  if (cluster === null) throw new Error("it was created");
  await bed.founder.deps.identity.saveCluster({ ...cluster, incarnation: 2, lineage: "l2" });
  await joiner.driver.start("join_cluster", JOIN);
  expect(await joiner.settled()).toMatchObject({ name: "completed" });
  expect(joiner.disk.durable.cluster).toMatchObject({ incarnation: 2, lineage: "l2" });
});

describe("an opening that is not of this version", () => {
  async function answerTo(opening: Wire): Promise<Wire> {
    const transport = bed.strangers.transportOf("12D3KooWOther", []);
    const target = { peer: bed.founder.peer, meshAddrs: [] };
    await using channel = await transport.openJoin(target, AbortSignal.timeout(5000));
    await channel.send(opening);
    return await channel.receive({ timeoutMs: 5000 });
  }

  test.each([1, 3])("version %i is refused with both versions told", async (v) => {
    expect(await answerTo({ v, username: "admin", anything: [1] })).toMatchObject({
      refused: {
        code: "node_config_mismatch",
        details: { setting: "join protocol version", expected: "2", actual: String(v) },
      },
    });
  });

  test("another version is refused, though all that is known of it fits", async () => {
    bed.strangers.meddle = ({ count, body }) => (count === 0 ? { ...(body as object), v: 3 } : body);
    await joiner.driver.start("join_cluster", JOIN);
    expect(await joiner.settled()).toMatchObject({ failure: { code: "node_config_mismatch" } });
  });

  test.each<[string, Wire]>([
    ["this version without the rest", { v: 2 }],
    ["an unknown question", { v: 2, ask: "password" }],
    ["no version", { hello: true }],
    ["nothing", null],
  ])("%s is refused as not of the protocol", async (_what, opening) => {
    const said = await answerTo(opening);
    expect(said).toMatchObject({ refused: { code: "connect_error" } });
    expect(JSON.stringify(said)).toContain("does not keep to the join protocol");
  });
});
