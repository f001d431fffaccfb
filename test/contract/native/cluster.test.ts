import { Value } from "typebox/value";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { AgentStatus, Cluster, HostList, Leader, Left, MemberList } from "#shared/contract/native.ts";
import { ADMIN, FakeApi, seedFacts, SEED_TIME, SELF_PEER } from "#test/support/fake-api.ts";

// What an administrator may do about the cluster itself: docs/api/native.md.

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

type Method = "GET" | "POST" | "PATCH" | "DELETE";

function ask(method: Method, path: string, payload?: object, headers: Record<string, string> = ADMIN) {
  const body = payload === undefined ? {} : { payload };
  return api.app.inject({
    method,
    url: path.startsWith("/") ? path : `/muster/v1/${path}`,
    headers,
    ...body,
  });
}

/** Host 2 takes part, and this agent hears it. */
async function addActive(): Promise<string> {
  const peer = await api.addMember();
  await api.registry.submit({ type: "member.activate", peer }, { by: "agent" });
  api.membership.hear({ peer, name: "host-2", facts: seedFacts(), apiUrls: [], meshAddrs: [] });
  return peer;
}

describe("the cluster and its settings", () => {
  test("what it is, and what it begins with", async () => {
    const body = (await ask("GET", "cluster")).json();
    expect(Value.Check(Cluster, body)).toBe(true);
    expect(body).toMatchObject({
      id: "22222222-2222-4222-8222-222222222222",
      name: "my.cluster",
      rack_aware: false,
      incarnation: 1,
      recovered_at_ms: null,
      settings: { candidate_pool_size: 10, failed_after_ms: 60_000, repair_policy: "replace" },
    });
  });

  test("which incarnation it lives in, and since when, is told with the cluster and the status", async () => {
    const { registry } = api;
    const { cluster } = registry.state;
    if (cluster === null) throw new Error("there is a cluster");
    registry.replace({ ...registry.state, cluster: { ...cluster, incarnation: 3, recoveredAt: SEED_TIME } });
    const told = { incarnation: 3, recovered_at_ms: SEED_TIME };
    expect((await ask("GET", "cluster")).json()).toMatchObject(told);
    const status = (await ask("GET", "status")).json();
    expect(Value.Check(AgentStatus, status)).toBe(true);
    expect(status.cluster).toMatchObject(told);
  });

  test("a member whose recovery failed is the member it was, and the status says why", async () => {
    const failure = { code: "config_error", details: { message: "a leader answers" } } as const;
    const { state } = api.bootstrap;
    if (state.name !== "completed") throw new Error("is a member");
    api.bootstrap.state = {
      ...state,
      recovery: { failure, attempt: 2, startedAt: SEED_TIME, endedAt: SEED_TIME },
    };
    expect((await ask("GET", "status")).json().bootstrap).toMatchObject({
      state: "completed",
      error_code: "config_error",
      error_details: { message: "a leader answers" },
    });
  });

  test("PATCH changes what is passed, and answers with the whole", async () => {
    const one = await ask("PATCH", "cluster", { settings: { candidate_pool_size: 3 } });
    const rest = { failed_after_ms: 60_000, repair_policy: "replace" };
    expect(one.json().settings).toEqual({ candidate_pool_size: 3, ...rest });
    const changes = { failed_after_ms: 5000, repair_policy: "open" };
    const two = await ask("PATCH", "cluster", { settings: changes });
    expect(two.json().settings).toEqual({ candidate_pool_size: 3, ...changes });
    expect((await ask("GET", "cluster")).json()).toEqual(two.json());
  });

  test.each([
    [{ settings: { candidate_pool_size: 0 } }, "settings.candidate_pool_size"],
    [{ settings: { candidate_pool_size: 1025 } }, "settings.candidate_pool_size"],
    [{ settings: { failed_after_ms: 999 } }, "settings.failed_after_ms"],
    [{ settings: { failed_after_ms: "60000" } }, "settings.failed_after_ms"],
    [{ settings: { repair_policy: "closed" } }, "settings.repair_policy"],
    [{ settings: { pool: 3 } }, "settings.pool"],
    [{ name: "other" }, "name"],
  ])("PATCH %j is refused and names the field", async (body, field) => {
    const answer = await ask("PATCH", "cluster", body);
    expect([answer.statusCode, answer.json().error.facts.field]).toEqual([400, field]);
  });

  test("an ETag that is out of date stops the change", async () => {
    const { headers } = await ask("GET", "cluster");
    await ask("PATCH", "cluster", { settings: { candidate_pool_size: 3 } });
    const late = await ask(
      "PATCH",
      "cluster",
      { settings: { candidate_pool_size: 5 } },
      { ...ADMIN, "if-match": String(headers["etag"]) },
    );
    expect(late.statusCode).toBe(412);
  });

  test("the ETag is that of the settings: members may come meanwhile", async () => {
    const before = await ask("GET", "cluster");
    await addActive();
    const { headers } = await ask("GET", "cluster");
    expect(headers["etag"]).toBe(before.headers["etag"]);
    const match = { ...ADMIN, "if-match": String(headers["etag"]) };
    expect((await ask("PATCH", "cluster", { settings: { candidate_pool_size: 5 } }, match)).statusCode).toBe(
      200,
    );
  });
});

describe("who leads", () => {
  test.each([[undefined], [{}], [{ to: "host-1.example" }], [{ to: SELF_PEER }], [{ to: "1" }]])(
    "POST leader %j answers who leads now",
    async (body) => {
      const answer = await ask("POST", "leader", body);
      expect(answer.statusCode).toBe(200);
      expect(Value.Check(Leader, answer.json())).toBe(true);
      expect(answer.json()).toEqual({ leader: "host-1.example", leader_peer: SELF_PEER });
    },
  );

  test("one that does not exist is 404, one that does not vote 409 with the reason", async () => {
    const unknown = await ask("POST", "leader", { to: "host-9" });
    expect([unknown.statusCode, unknown.json().error.code]).toEqual([404, "member_not_found"]);
    await addActive();
    const learner = await ask("POST", "leader", { to: "host-2" });
    expect([learner.statusCode, learner.json().error]).toEqual([
      409,
      expect.objectContaining({
        code: "change_refused",
        message: "cannot hand leadership over: it does not vote, and only a voter can lead",
      }),
    ]);
  });

  test("a condition is refused rather than ignored: who leads has no version", async () => {
    const answer = await ask("POST", "leader", {}, { ...ADMIN, "if-match": '"e4c1a2b3-1-42"' });
    expect([answer.statusCode, answer.json().error.facts.field]).toEqual([400, "If-Match"]);
  });

  test.each(["leader", "leave"])("POST %s wants an administrator and a majority", async (path) => {
    expect((await ask("POST", path, undefined, {})).statusCode).toBe(401);
    api.registry.quorum = false;
    expect((await ask("POST", path)).statusCode).toBe(503);
    expect(api.leaves).toHaveLength(0);
  });
});

describe("ways out", () => {
  test("POST leave answers with the cluster that was left and where the bootstrap stands", async () => {
    const reason = "this host left its cluster; it can create or join one anew";
    api.onLeave = () => {
      api.bootstrap.state = { name: "idle", reason, retired: SELF_PEER };
    };
    const answer = await ask("POST", "leave");
    expect(answer.statusCode).toBe(200);
    expect(Value.Check(Left, answer.json())).toBe(true);
    expect(answer.json()).toEqual({ cluster: "my.cluster", state: "idle", reason });
    expect(api.leaves).toMatchObject([{ by: { name: "admin" } }]);
  });

  test.each([
    ["", false],
    ["?force=true", true],
    ["?force=false", false],
  ])("DELETE members/host-2%s", async (query, force) => {
    const peer = await api.addMember();
    expect((await ask("DELETE", `members/host-2${query}`)).statusCode).toBe(204);
    expect(api.removals).toEqual([{ peer, force }]);
  });

  test("a host that was in a cluster says why it is idle, in both dialects; others say nothing", async () => {
    api.bootstrap.state = { name: "idle" };
    const fresh = (await ask("GET", "/v1/bootstrap", undefined, {})).json();
    expect(fresh.bootstrap_status).toEqual({ state: "idle" });
    api.bootstrap.state = { name: "idle", reason: "this host left its cluster", retired: "p" };
    const left = (await ask("GET", "/v1/bootstrap", undefined, {})).json();
    expect(left.bootstrap_status).toEqual({ state: "idle", reason: "this host left its cluster" });
    const status = (await ask("GET", "status", undefined, {})).json();
    expect(status.bootstrap).toMatchObject({ state: "idle", reason: "this host left its cluster" });
  });
});

describe("roles and failure", () => {
  test("a member that takes part and lives stands by; one that has failed does not, and is shown everywhere", async () => {
    const peer = await addActive();
    expect((await ask("GET", "members")).json().members[1]).toMatchObject({
      role: "standby",
      failed_since_ms: null,
    });
    expect((await ask("GET", "status")).json().registry.standbys).toEqual(["host-2"]);

    await api.registry.submit({ type: "member.set_failed", peer, failed: true }, { by: "agent" });
    const at = api.registry.state.members.get(peer)?.failedAt;
    expect(at).toBeGreaterThan(SEED_TIME);
    const members = (await ask("GET", "members")).json();
    expect(Value.Check(MemberList, members)).toBe(true);
    expect(members.members[1]).toMatchObject({ role: "learner", failed_since_ms: at });
    const hosts = (await ask("GET", "hosts")).json();
    expect(Value.Check(HostList, hosts)).toBe(true);
    expect(hosts.hosts[1]).toMatchObject({ name: "host-2", failed_since_ms: at });
    const status = (await ask("GET", "status")).json();
    expect(Value.Check(AgentStatus, status)).toBe(true);
    expect(status.cluster.failed).toEqual(["host-2"]);
    expect(status.agent).toMatchObject({ role: "leader", failed_since_ms: null });
  });

  test("the pool of candidates bounds who stands by", async () => {
    await addActive();
    await ask("PATCH", "cluster", { settings: { candidate_pool_size: 1 } });
    expect((await ask("GET", "members")).json().members[1].role).toBe("learner");
  });
});
