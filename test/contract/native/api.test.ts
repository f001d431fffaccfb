import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Value } from "typebox/value";

import {
  AgentStatus,
  Host,
  HostList,
  MemberList,
  MeshContact,
  NativeError,
} from "#shared/contract/native.ts";
import { MESH_PROTOCOL_VERSION, SOFTWARE_VERSION } from "#shared/lib/version.ts";
import { ADMIN, FakeApi, seedFacts, SEED_TIME, SELF_PEER } from "#test/support/fake-api.ts";

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

function get(path: string, headers: Record<string, string> = ADMIN) {
  return api.app.inject({ method: "GET", url: `/muster/v1/${path}`, headers });
}

describe("health", () => {
  test("live as long as it answers", async () => {
    expect((await get("health/live", {})).json()).toEqual({ status: "live", reason: null });
  });

  test("an agent without a cluster is ready for its bootstrap, but not during one", async () => {
    expect((await get("health/ready", {})).json()).toEqual({ status: "ready", reason: null });
    api.bootstrap.state = { name: "running", action: "join_cluster", attempt: 1, startedAt: SEED_TIME };
    const running = await get("health/ready", {});
    expect([running.statusCode, running.json()]).toEqual([
      503,
      { status: "not_ready", reason: "the bootstrap is under way" },
    ]);
  });

  test("a member is ready once its registry has caught up", async () => {
    await api.createCluster();
    expect((await get("health/ready", {})).statusCode).toBe(200);
    const status = api.registry.status.bind(api.registry);
    api.registry.status = () => ({ ...status(), ageMs: null });
    expect((await get("health/ready", {})).json().reason).toBe("the registry has not caught up yet");
    // It has once: without a majority it goes on serving what it knows.
    api.registry.status = () => ({ ...status(), ageMs: 60_000, quorum: false });
    expect((await get("health/ready", {})).statusCode).toBe(200);
    const halted = "entry 7 is of a type this version does not know; upgrade this agent";
    api.registry.status = () => ({ ...status(), halted });
    expect((await get("health/ready", {})).json().reason).toBe(halted);
  });
});

describe("mesh", () => {
  test("tells strangers who answers here, and of which cluster", async () => {
    const before = (await get("mesh", {})).json();
    expect(Value.Check(MeshContact, before)).toBe(true);
    expect(before).toEqual({
      peer_id: SELF_PEER,
      mesh_addrs: ["/ip4/10.0.0.1/tcp/9444"],
      cluster_id: null,
      incarnation: null,
      software_version: SOFTWARE_VERSION,
      protocol: MESH_PROTOCOL_VERSION,
    });
    await api.createCluster();
    const after = { ...before, cluster_id: "22222222-2222-4222-8222-222222222222", incarnation: 1 };
    expect((await get("mesh", {})).json()).toEqual(after);
  });

  test("an agent halfway through its own join is in no cluster yet", async () => {
    await api.createCluster();
    api.bootstrap.state = { name: "running", action: "join_cluster", attempt: 1, startedAt: SEED_TIME };
    expect((await get("mesh", {})).json().cluster_id).toBe(null);
  });
});

describe("members", () => {
  beforeEach(() => api.createCluster());

  test("all of them, with what the cluster agreed on and what was heard", async () => {
    const peer = await api.addMember();
    const body = (await get("members")).json();
    expect(Value.Check(MemberList, body)).toBe(true);
    expect(body.members).toMatchObject([
      { name: "host-1.example", uid: 1, role: "leader", status: "active", liveness: "alive", cores: 2 },
      { name: "host-2", uid: 2, peer, role: "learner", status: "joining", liveness: "unknown", cores: null },
    ]);
    api.membership.hear({ peer, name: "host-2", facts: seedFacts(), apiUrls: [], meshAddrs: [] });
    const heard = (await get("members")).json().members[1];
    expect(heard).toMatchObject({ liveness: "alive", cores: 2, total_memory: 25_309_478_912 });
  });

  test("roles: leader, voter, standby, learner", async () => {
    const peer = await api.addMember();
    const status = api.registry.status.bind(api.registry);
    const roles: string[] = [];
    for (const [leader, voters, learners] of [
      [peer, [SELF_PEER, peer], []],
      [SELF_PEER, [SELF_PEER, peer], []],
      [SELF_PEER, [SELF_PEER], [peer]],
      [SELF_PEER, [SELF_PEER], []],
    ] as const) {
      const config = { voters: [...voters], outgoing: [], learners: [...learners] };
      api.registry.status = () => ({ ...status(), leader, config });
      roles.push((await get("members")).json().members[1].role);
    }
    expect(roles).toEqual(["leader", "voter", "standby", "learner"]);
  });

  test.each(["host-2", "12D3KooWOther", "2"])("DELETE members/%s takes it out for good", async (name) => {
    const peer = await api.addMember();
    const url = `/muster/v1/members/${name}`;
    const answer = await api.app.inject({ method: "DELETE", url, headers: ADMIN });
    expect([answer.statusCode, answer.body]).toEqual([204, ""]);
    expect(answer.headers["x-muster-index"]).toBe("3");
    expect(api.registry.state.tombstones.has(peer)).toBe(true);
    expect((await get("members")).json().members).toHaveLength(1);
  });

  test("the last member stays, an unknown one is 404", async () => {
    const last = await api.app.inject({ method: "DELETE", url: "/muster/v1/members/1", headers: ADMIN });
    expect(last.statusCode).toBe(400);
    expect(Value.Check(NativeError, last.json())).toBe(true);
    const unknown = await api.app.inject({ method: "DELETE", url: "/muster/v1/members/x", headers: ADMIN });
    expect([unknown.statusCode, unknown.json()]).toEqual([
      404,
      { error: { code: "member_not_found", message: "x is not a member", facts: { peer: "x" } } },
    ]);
  });
});

describe("status", () => {
  test("before a cluster", async () => {
    const body = (await get("status", {})).json();
    expect(Value.Check(AgentStatus, body)).toBe(true);
    expect(body).toMatchObject({ cluster: null, bootstrap: { state: "idle", action: null } });
  });

  test("after a failed bootstrap", async () => {
    const at = { attempt: 1, startedAt: SEED_TIME, endedAt: SEED_TIME } as const;
    const details = { message: "nobody there" };
    api.bootstrap.state = {
      name: "error",
      action: "join_cluster",
      ...at,
      failure: { code: "connect_error", details },
    };
    expect((await get("status", {})).json().bootstrap).toEqual({
      state: "error",
      reason: null,
      action: "join_cluster",
      started_at_ms: SEED_TIME,
      ended_at_ms: SEED_TIME,
      error_code: "connect_error",
      error_details: details,
    });
  });

  test("in a cluster, hosts by name", async () => {
    await api.createCluster();
    const peer = await api.addMember();
    const status = api.registry.status.bind(api.registry);
    const config = { voters: [SELF_PEER, peer], outgoing: [], learners: [] };
    api.registry.status = () => ({ ...status(), config, quorum: false, missing: [peer] });
    const body = (await get("status")).json();
    expect(Value.Check(AgentStatus, body)).toBe(true);
    expect(body.cluster).toMatchObject({ name: "my.cluster", members: 2 });
    expect(body.registry).toMatchObject({
      role: "leader",
      leader: "host-1.example",
      leader_peer: SELF_PEER,
      applied: 2,
      voters: ["host-1.example", "host-2"],
      quorum: false,
      missing: ["host-2"],
      halted: null,
    });
  });
});

describe("hosts", () => {
  test("before a cluster, this host alone", async () => {
    const list = (await get("hosts", {})).json();
    expect(Value.Check(HostList, list)).toBe(true);
    expect(list.hosts).toMatchObject([{ name: "host-1.example", uid: null, liveness: "alive", cores: 2 }]);
    for (const name of ["host-1.example", SELF_PEER, api.agent.uuid]) {
      const host = (await get(`hosts/${name}`, {})).json();
      expect(Value.Check(Host, host)).toBe(true);
      expect(host).toMatchObject({ member: null, facts: api.inventory.facts });
    }
  });

  test("all facts of any host, by name, peer id, uuid or uid", async () => {
    await api.createCluster();
    const peer = await api.addMember();
    const facts = seedFacts();
    facts.live.memory_free = 77;
    api.membership.views.set(peer, {
      report: { peer, name: "host-2", facts, apiUrls: [], meshAddrs: [] },
      liveness: "suspect",
      version: { incarnation: 3, count: 14 },
      lastSeenMsAgo: 1200,
      rttMs: 0.4,
      clockOffsetMs: -3,
      clockAlarm: false,
    });
    const { uuid } = api.registry.state.members.get(peer) ?? { uuid: "" };
    for (const name of ["host-2", peer, uuid, "2"]) {
      const host = (await get(`hosts/${name}`)).json();
      expect(Value.Check(Host, host)).toBe(true);
      expect(host).toMatchObject({
        name: "host-2",
        member: { uid: 2 },
        liveness: "suspect",
        last_seen_ms_ago: 1200,
        rtt_ms: 0.4,
        clock_offset_ms: -3,
        clock_alarm: false,
        version: { incarnation: 3, count: 14 },
        facts,
      });
    }
  });

  test("one that nobody has heard of yet has no facts; one that does not exist is 404", async () => {
    await api.createCluster();
    await api.addMember();
    expect((await get("hosts/host-2")).json()).toMatchObject({ facts: null, liveness: "unknown" });
    expect((await get("hosts/host-9")).statusCode).toBe(404);
  });
});
