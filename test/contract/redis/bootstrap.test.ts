import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { epochMs } from "#shared/lib/time.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import { ADMIN, basic, FakeApi, SEED_TIME } from "#test/support/fake-api.ts";

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

function get(url: string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "GET", url, headers });
}

describe("GET /v1/bootstrap", () => {
  test.each(["/v1/bootstrap", "/v1/boostrap", "/bootstrap", "/v1/bootstrap/"])(
    "%s answers in the shape of the seed's example",
    async (path) => {
      await api.createCluster();
      api.bootstrap.uid = 3;
      const answer = await get(path, ADMIN);
      expect(answer.statusCode).toBe(200);
      const addresses = [
        { address: "172.16.50.122", format: "ipv4", if_name: "eth0", private: true },
        { address: "10.0.3.1", format: "ipv4", if_name: "lxcbr0", private: true },
        { address: "172.17.0.1", format: "ipv4", if_name: "docker0", private: true },
        { address: "2001:db8:0:f101::1", format: "ipv6", if_name: "eth0", private: false },
      ];
      expect(answer.json()).toEqual({
        bootstrap_status: {
          start_time: "2014-08-29T11:19:49Z",
          end_time: "2014-08-29T11:19:49Z",
          state: "completed",
        },
        local_node_info: {
          uid: 3,
          software_version: SOFTWARE_VERSION,
          cores: 2,
          ephemeral_storage_path: "/var/opt/redislabs/tmp",
          ephemeral_storage_size: 1_068_393_330_278,
          os_version: "Ubuntu 14.04 LTS",
          os_family: "debian",
          os_name: "ubuntu",
          os_semantic_version: "14.04",
          architecture: "x64",
          short_hostname: "host-1",
          persistent_storage_path: "/var/opt/redislabs/persist/redis",
          persistent_storage_size: 1_068_393_330_278,
          total_memory: 25_309_478_912,
          supported_database_versions: [],
          uptime: 50_278,
          bridge_interfaces: ["lxcbr0", "docker0"],
          available_addrs: addresses,
          available_addresses: addresses,
        },
      });
    },
  );

  test("before a cluster there is no uid, and a size that could not be found out is left out", async () => {
    const folder = api.inventory.facts.live.storage.find(({ kind }) => kind === "ephemeral");
    if (folder !== undefined) folder.size = null;
    const info = (await get("/v1/bootstrap")).json().local_node_info;
    expect(info).not.toHaveProperty("uid");
    expect(info).not.toHaveProperty("ephemeral_storage_size");
    expect(info.ephemeral_storage_path).toBe("/var/opt/redislabs/tmp");
  });

  const at = { attempt: 1, startedAt: SEED_TIME } as const;
  const failure = {
    code: "access_denied",
    details: { message: "the cluster refused the credentials" },
  } as const;
  const STATES: readonly (readonly [string, BootstrapState])[] = [
    ["idle", { name: "idle" }],
    ["initiated", { name: "initiated", action: "join_cluster", ...at }],
    ["creating_cluster", { name: "running", action: "create_cluster", ...at }],
    ["joining_cluster", { name: "running", action: "join_cluster", ...at }],
    ["recovering_cluster", { name: "running", action: "recover_cluster", ...at }],
    ["error", { name: "error", action: "join_cluster", ...at, endedAt: SEED_TIME, failure }],
  ];
  test.each(STATES)("says %s", async (word, state) => {
    api.bootstrap.state = state;
    const answer = await get("/v1/bootstrap");
    expect(answer.json().bootstrap_status.state).toBe(word);
  });

  test("an error carries its code and its details", async () => {
    api.bootstrap.state = { name: "error", action: "join_cluster", ...at, endedAt: SEED_TIME, failure };
    expect((await get("/v1/bootstrap")).json().bootstrap_status).toEqual({
      state: "error",
      start_time: "2014-08-29T11:19:49Z",
      end_time: "2014-08-29T11:19:49Z",
      error_code: "access_denied",
      error_details: { message: "the cluster refused the credentials" },
    });
  });

  test("what an error says beside its message is shown, too", async () => {
    const details = { message: "m", failed_nodes: [{ uid: 2, rack_id: "r" }], replace_candidate: 2 };
    const repair = { code: "repair_required", details } as const;
    api.bootstrap.state = {
      name: "error",
      action: "join_cluster",
      ...at,
      endedAt: SEED_TIME,
      failure: repair,
    };
    expect((await get("/v1/bootstrap")).json().bootstrap_status.error_details).toEqual(details);
  });

  test("the parts of an attempt are shown as they go", async () => {
    api.bootstrap.state = { name: "running", action: "join_cluster", ...at };
    const later = epochMs(SEED_TIME + 1000);
    api.bootstrap.steps = [
      { name: "preflight", state: "done", start: SEED_TIME, end: later },
      { name: "contact", state: "running", start: later, end: null },
    ];
    expect((await get("/v1/bootstrap")).json().bootstrap_status).toEqual({
      state: "joining_cluster",
      start_time: "2014-08-29T11:19:49Z",
      steps: [
        {
          name: "preflight",
          state: "done",
          start_time: "2014-08-29T11:19:49Z",
          end_time: "2014-08-29T11:19:50Z",
        },
        { name: "contact", state: "running", start_time: "2014-08-29T11:19:50Z" },
      ],
    });
  });

  describe("of a member whose recovery failed", () => {
    const refused = {
      code: "config_error",
      details: { message: "a member still answers", field: "action" },
    } as const;
    const TOLD = {
      state: "error",
      start_time: "2014-08-29T11:20:49Z",
      end_time: "2014-08-29T11:20:50Z",
      error_code: "config_error",
      error_details: refused.details,
    };
    const word = async (): Promise<unknown> => (await get("/v1/bootstrap", ADMIN)).json().bootstrap_status;

    beforeEach(async () => {
      await api.createCluster();
      const recovery = {
        failure: refused,
        attempt: 2,
        startedAt: epochMs(SEED_TIME + 60_000),
        endedAt: epochMs(SEED_TIME + 61_000),
      };
      const { state } = api.bootstrap;
      if (state.name === "completed") api.bootstrap.state = { ...state, recovery };
      api.clock.jumpWall(SEED_TIME + 61_000 - api.clock.now());
    });

    test("says error with the reason, and goes on saying so", async () => {
      expect(await word()).toEqual(TOLD);
      api.clock.jumpWall(3_599_999);
      expect(await word()).toEqual(TOLD);
    });

    test("says completed once nobody can poll for it any more, and the cluster has a leader", async () => {
      api.clock.jumpWall(3_600_000);
      expect(await word()).toMatchObject({ state: "completed", end_time: "2014-08-29T11:19:49Z" });
      api.registry.quorum = false;
      expect(await word()).toEqual(TOLD);
    });

    test("the next attempt takes its place", async () => {
      api.bootstrap.state = { name: "running", action: "recover_cluster", attempt: 3, startedAt: SEED_TIME };
      expect(await word()).toMatchObject({ state: "recovering_cluster" });
    });
  });

  test("credentials sent to an idle node are ignored, even wrong ones", async () => {
    expect((await get("/v1/bootstrap", basic("admin", "whatever"))).statusCode).toBe(200);
    expect((await get("/v1/bootstrap", { authorization: "Bearer x" })).statusCode).toBe(200);
    const url = "/v1/bootstrap";
    const headers = basic("admin", "whatever");
    const remote = await api.app.inject({ method: "GET", url, headers, remoteAddress: "10.0.0.1" });
    expect(remote.statusCode).toBe(200);
    expect(api.passwords.hashes).toBe(0);
  });

  test("a node in a cluster wants valid credentials", async () => {
    await api.createCluster();
    const refused = await get("/v1/bootstrap");
    expect(refused.statusCode).toBe(401);
    expect(refused.headers["www-authenticate"]).toBe('Basic realm="muster", charset="UTF-8"');
    expect(refused.json()).toEqual({
      error_code: "unauthenticated",
      description: "valid credentials are required",
    });
    expect((await get("/v1/bootstrap", basic("admin", "wrong"))).statusCode).toBe(401);
    expect((await get("/v1/bootstrap", ADMIN)).statusCode).toBe(200);
  });

  test("with bootstrap.open_status callers on the host see the bare state without a login", async () => {
    const open = new FakeApi({ bootstrapOpenStatus: true });
    await using _ = open;
    await open.createCluster();
    const request = { method: "GET", url: "/v1/bootstrap" } as const;
    const bare = await open.app.inject(request);
    expect([bare.statusCode, bare.json()]).toEqual([200, { bootstrap_status: { state: "completed" } }]);
    expect((await open.app.inject({ ...request, headers: basic("admin", "wrong") })).statusCode).toBe(401);
    expect((await open.app.inject({ ...request, remoteAddress: "10.0.0.1" })).statusCode).toBe(401);
    const at = { attempt: 1, startedAt: SEED_TIME };
    const member = { action: "create_cluster", ...at, endedAt: SEED_TIME, incarnation: 1 } as const;
    open.bootstrap.state = { name: "running", action: "recover_cluster", ...at, attempt: 2, member };
    const recovering = await open.app.inject(request);
    expect(recovering.json()).toEqual({ bootstrap_status: { state: "recovering_cluster" } });
    const named = await open.app.inject({ ...request, headers: ADMIN });
    expect(named.json()).toHaveProperty("local_node_info");
  });

  test("HEAD is answered like GET, without a body", async () => {
    const answer = await api.app.inject({ method: "HEAD", url: "/v1/bootstrap" });
    expect([answer.statusCode, answer.body]).toEqual([200, ""]);
  });
});
