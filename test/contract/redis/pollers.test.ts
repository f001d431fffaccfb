import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { BOOTSTRAP_ERROR_CODES, type BootstrapState } from "#shared/bootstrap/machine.ts";
import { epochMs } from "#shared/lib/time.ts";
import { basic, FakeApi, SEED_TIME } from "#test/support/fake-api.ts";

// Goal: the loops of public scripts that bootstrap such nodes, over HTTP: what each one looks at, in the order in which it does.
// The states come from the test; against real agents the same loops run in test/e2e.

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

const USER = { username: "admin@redis.com", password: "redis" };
const LOGIN = basic("admin", "secret");
const at = { attempt: 1, startedAt: SEED_TIME } as const;
const ended = { ...at, endedAt: SEED_TIME } as const;

function get(url: string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "GET", url, headers });
}

function post(url: string, payload: object, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "POST", url, payload, headers });
}

const stateOf = async (headers: Record<string, string> = {}): Promise<string> =>
  (await get("/v1/bootstrap", headers)).json().bootstrap_status.state as string;

function set(name: "running" | "error", action: "create_cluster" | "join_cluster"): void {
  const failure = { code: "connect_error", details: { message: "nobody there" } } as const;
  const state: BootstrapState =
    name === "running" ? { name, action, ...at } : { name, action, ...ended, failure };
  api.bootstrap.state = state;
}

describe("a template that polls without credentials", () => {
  test("creates, waits for completed or error; from outside 401 on /v1/cluster is ready", async () => {
    expect((await get("/v1/cluster")).statusCode).toBe(503);
    const body = { action: "create_cluster", cluster: { name: "c.example" }, credentials: USER, license: "" };
    const started = await post("/v1/bootstrap/create_cluster", body);
    // jq -r .error_code of nothing prints nothing; of anything else something, even null.
    expect([started.statusCode, started.body]).toEqual([200, ""]);
    expect(await stateOf()).toBe("initiated");
    set("running", "create_cluster");
    expect(await stateOf()).toBe("creating_cluster");
    await api.createCluster();
    expect((await get("/v1/bootstrap")).statusCode).toBe(401);
    expect((await get("/v1/cluster")).statusCode).toBe(401);
  });

  test("a joiner that starts first sees error, asks again, and gets in", async () => {
    const body = { action: "join_cluster", cluster: { nodes: ["10.0.0.1"] }, credentials: USER };
    expect((await post("/v1/bootstrap/join_cluster", body)).statusCode).toBe(200);
    set("error", "join_cluster");
    expect(await stateOf()).toBe("error");
    const again = await post("/v1/bootstrap/join_cluster", body);
    expect([again.statusCode, again.body]).toEqual([200, ""]);
    // Never the former error.
    expect(await stateOf()).toBe("initiated");
  });
});

describe("a role that sends credentials from the first call on", () => {
  test("an idle node does not mind them; the second run changes nothing", async () => {
    const ready = await get("/v1/bootstrap", LOGIN);
    expect(ready.statusCode).toBe(200);
    expect(ready.json().bootstrap_status.state).toBeDefined();
    const body = {
      action: "create_cluster",
      cluster: { name: "c.example", nodes: [], clobber: true },
      node: { identity: { rack_id: "us-east-1a" }, bigstore_enabled: false },
      dns_suffixes: [
        {
          name: "c.example",
          cluster_default: true,
          use_aaaa_ns: false,
          use_internal_addr: false,
          slaves: [],
        },
        { name: "internal.c.example", use_internal_addr: true },
      ],
      policy: { rack_aware: true },
      credentials: USER,
      license: "",
    };
    expect((await post("/v1/bootstrap/create_cluster", body, LOGIN)).statusCode).toBe(200);
    set("running", "create_cluster");
    expect(await stateOf(LOGIN)).toBe("creating_cluster");
    await api.createCluster();
    expect(await stateOf(LOGIN)).toBe("completed");
    expect(await stateOf(LOGIN)).toBe("completed");
  });

  test("a node is known by its own address in available_addresses", async () => {
    const { local_node_info: info } = (await get("/v1/bootstrap", LOGIN)).json();
    const listed = info.available_addresses.map(({ address }: { readonly address: string }) => address);
    expect(listed).toContain("172.16.50.122");
  });

  test("one joins only while the cluster's check is true", async () => {
    await api.createCluster();
    const check = async (): Promise<unknown> =>
      (await get("/v1/cluster/check", LOGIN)).json().cluster_test_result;
    expect(await check()).toBe(true);
    await api.addMember();
    expect(await check()).toBe(false);
  });
});

describe("scripts that go on after the bootstrap", () => {
  test("re-runnable: nodes first, then a greppable refusal, then as many active nodes as wanted", async () => {
    expect((await get("/v1/nodes", LOGIN)).statusCode).toBe(503);
    await api.createCluster();
    const body = { action: "create_cluster", cluster: { name: "c" }, credentials: USER };
    const refused = await post("/v1/bootstrap/create_cluster", body, LOGIN);
    expect(refused.statusCode).toBe(409);
    expect(refused.body).toMatch(/already|member|join.*progress/);
    const nodes = (await get("/v1/nodes", LOGIN)).json() as {
      readonly status: string;
      readonly uid: unknown;
    }[];
    expect(nodes.filter(({ status }) => status === "active")).toHaveLength(1);
    expect(nodes[0]?.uid).toBe(1);
  });

  test("what ends at databases ends in a clean 404", async () => {
    await api.createCluster();
    for (const url of ["/v1/bdbs", "/v1/modules", "/v1/roles", "/v1/redis_acls"]) {
      const answer = await get(url, LOGIN);
      expect([url, answer.statusCode, answer.json().error_code]).toEqual([url, 404, "not_found"]);
      expect((await post(url, {}, LOGIN)).statusCode).toBe(404);
    }
  });

  test("a pod's probe: 200 with credentials, before the bootstrap and after", async () => {
    expect((await get("/v1/bootstrap", LOGIN)).statusCode).toBe(200);
    await api.createCluster();
    expect((await get("/v1/bootstrap", LOGIN)).statusCode).toBe(200);
  });
});

describe("the code of an error", () => {
  test.each(BOOTSTRAP_ERROR_CODES)("%s is told by GET, with a message", async (code) => {
    const failure = { code, details: { message: "what is wrong and what to do" } };
    const times = { startedAt: SEED_TIME, endedAt: epochMs(SEED_TIME) };
    api.bootstrap.state = { name: "error", action: "join_cluster", attempt: 1, ...times, failure };
    const { bootstrap_status: status } = (await get("/v1/bootstrap")).json();
    expect([status.state, status.error_code, status.error_details.message]).toEqual([
      "error",
      code,
      "what is wrong and what to do",
    ]);
  });
});
