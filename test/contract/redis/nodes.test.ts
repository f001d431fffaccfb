import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import { ADMIN, FakeApi, seedFacts, VIEWER } from "#test/support/fake-api.ts";

// Goal: members as the nodes that clients of this API look for after a bootstrap: facts redis-bootstrap, "calls that clients make next".

let api: FakeApi;
let other: string;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
  other = await api.addMember();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

function get(url: string, headers: Record<string, string> = ADMIN) {
  return api.app.inject({ method: "GET", url, headers });
}

function put(url: string, payload: object, headers: Record<string, string> = ADMIN) {
  return api.app.inject({ method: "PUT", url, payload, headers });
}

async function activate(): Promise<void> {
  await api.registry.submit({ type: "member.activate", peer: other }, { by: "agent" });
}

/** This agent hears of the other host, with twice the memory. */
function hear(): void {
  const facts = seedFacts();
  facts.static.memory_total *= 2;
  api.membership.hear({ peer: other, name: "host-2", facts, apiUrls: [], meshAddrs: [] });
}

function lose(): void {
  api.membership.views.set(other, { ...api.membership.view(other), liveness: "dead" });
}

const OWN = {
  uid: 1,
  status: "active",
  addr: "10.0.0.1",
  external_addr: [],
  accept_servers: true,
  rack_id: "",
  second_rack_id: "",
  software_version: SOFTWARE_VERSION,
  use_internal_ipv6: false,
  bigstore_enabled: false,
  max_listeners: 100,
  max_redis_servers: 100,
  max_redis_forks: -1,
  max_slave_full_syncs: -1,
  architecture: "x64",
  cores: 2,
  total_memory: 25_309_478_912,
  uptime: 50_278,
  os_version: "Ubuntu 14.04 LTS",
  os_family: "debian",
  os_name: "ubuntu",
  os_semantic_version: "14.04",
  persistent_storage_path: "/var/opt/redislabs/persist/redis",
  persistent_storage_size: 1_068_393_330_278,
  ephemeral_storage_path: "/var/opt/redislabs/tmp",
  ephemeral_storage_size: 1_068_393_330_278,
  supported_database_versions: [],
  shard_count: 0,
  ram_shard_count: 0,
  flash_shard_count: 0,
  shard_list: [],
};

describe("GET /v1/nodes", () => {
  test("lists all members by uid, with all that is true of them", async () => {
    await activate();
    hear();
    const answer = await get("/v1/nodes");
    expect([answer.statusCode, answer.json()]).toEqual([
      200,
      [OWN, { ...OWN, uid: 2, total_memory: 2 * OWN.total_memory }],
    ]);
  });

  test("/v1/nodes/{uid} is one of them", async () => {
    expect((await get("/v1/nodes/1")).json()).toEqual(OWN);
  });

  test.each(["9", "x", "01", "1.0", "-1"])("there is no node %s: 404 node_not_found", async (uid) => {
    for (const path of [`/v1/nodes/${uid}`, `/v1/nodes/${uid}/status`, `/v1/nodes/check/${uid}`]) {
      const answer = await get(path);
      expect([answer.statusCode, answer.json().error_code]).toEqual([404, "node_not_found"]);
    }
    expect((await put(`/v1/nodes/${uid}`, {})).json().error_code).toBe("node_not_found");
  });

  test("of a host that was not heard of, it tells what the registry knows", async () => {
    await api.registry.submit({ type: "member.update", peer: other, memory_bytes: 4096 }, { by: "agent" });
    const node = (await get("/v1/nodes/2")).json();
    expect(node).toMatchObject({ uid: 2, addr: "10.0.0.1", total_memory: 4096 });
    expect(node).not.toHaveProperty("cores");
  });

  test("status: provisioning, active, down; and down once the cluster counts it as failed", async () => {
    const status = async (): Promise<unknown> => (await get("/v1/nodes/2")).json().status;
    expect(await status()).toBe("provisioning");
    await activate();
    expect(await status()).toBe("down");
    hear();
    expect(await status()).toBe("active");
    lose();
    expect(await status()).toBe("down");
    hear();
    await api.registry.submit({ type: "member.set_failed", peer: other, failed: true }, { by: "agent" });
    expect(await status()).toBe("down");
  });

  test("needs no majority", async () => {
    api.registry.quorum = false;
    expect((await get("/v1/nodes")).statusCode).toBe(200);
    expect((await put("/v1/nodes/1", { accept_servers: false })).json().error_code).toBe("quorum_lost");
  });
});

describe("PUT /v1/nodes/{uid}", () => {
  test("changes what an administrator may change, and answers with the node", async () => {
    const changes = {
      external_addr: ["1.2.3.4", "2001:db8::1"],
      accept_servers: false,
      max_listeners: 7,
      max_redis_servers: 8,
      rack_id: "r1",
      second_rack_id: "s1",
    };
    const answer = await put("/v1/nodes/1", { ...changes, recovery_path: "/r", unknown: 1 });
    expect([answer.statusCode, answer.json()]).toEqual([200, { ...OWN, ...changes }]);
    expect((await get("/v1/nodes/1")).json()).toEqual({ ...OWN, ...changes });
  });

  test("a rack is given once", async () => {
    expect((await put("/v1/nodes/1", { rack_id: "r1" })).statusCode).toBe(200);
    expect((await put("/v1/nodes/1", { rack_id: "R1" })).json().rack_id).toBe("r1");
    expect((await put("/v1/nodes/1", { rack_id: "" })).json().rack_id).toBe("r1");
    const again = await put("/v1/nodes/1", { rack_id: "r2" });
    expect([again.statusCode, again.json().error_code]).toEqual([406, "node_already_has_rack_id"]);
  });

  test("an address is changed only of a node that is down", async () => {
    await activate();
    hear();
    const online = await put("/v1/nodes/2", { addr: "10.0.0.22" });
    expect([online.statusCode, online.json().error_code]).toEqual([406, "node_not_offline"]);
    expect(online.json().error_details.field).toBe("addr");
    expect((await put("/v1/nodes/2", { addr: "10.0.0.1" })).statusCode).toBe(200);
    lose();
    expect((await put("/v1/nodes/2", { addr: "10.0.0.22" })).json().addr).toBe("10.0.0.22");
  });

  test.each([
    ["accept_servers", "yes"],
    ["max_listeners", "5"],
    ["max_listeners", -1],
    ["max_redis_servers", 1.5],
    ["external_addr", "1.2.3.4"],
    ["external_addr", ["host"]],
    ["external_addr", ["1.2.3.4:80"]],
    ["external_addr", ["1.2.3.256"]],
    ["external_addr", ["1::2::3"]],
    ["external_addr", ["1:2:3:4:5:6:7:8:9"]],
    ["addr", "nowhere"],
    ["rack_id", "a.b"],
    ["rack_id", 1],
    ["second_rack_id", "1a"],
  ])("%s of %j: 400", async (field, value) => {
    const answer = await put("/v1/nodes/1", { [field]: value });
    expect([answer.statusCode, answer.json().error_code, answer.json().error_details.field]).toEqual([
      400,
      "config_error",
      field,
    ]);
  });

  test.each(["::", "::1", "1::", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "64:ff9b::192.0.2.33", "0.0.0.0"])(
    "%s is an address",
    async (address) => {
      const answer = await put("/v1/nodes/1", { external_addr: [address] });
      expect(answer.json().external_addr).toEqual([address]);
    },
  );

  test("is for administrators", async () => {
    await api.addViewer();
    expect((await get("/v1/nodes", VIEWER)).statusCode).toBe(200);
    expect((await put("/v1/nodes/1", { rack_id: "r1" }, VIEWER)).statusCode).toBe(403);
    expect((await put("/v1/nodes/1", { rack_id: "r1" }, {})).statusCode).toBe(401);
  });
});

describe("GET /v1/nodes/status", () => {
  const OWN_STATUS = {
    hostname: "host-1.example",
    addr: "10.0.0.1",
    role: "master",
    node_status: "active",
    software_version: SOFTWARE_VERSION,
    cores: 2,
    total_memory: 25_309_478_912,
    free_ram: 1_000_000_000,
    rack_id: "",
    master_shards: [],
    slave_shards: [],
    node_overbooking_depth: 0,
  };

  test("is a map by uid; who leads is master", async () => {
    const answer = await get("/v1/nodes/status");
    expect(answer.json()["1"]).toEqual(OWN_STATUS);
    expect(answer.json()["2"]).toMatchObject({
      hostname: "host-2",
      role: "slave",
      node_status: "provisioning",
    });
    expect(Object.keys(answer.json())).toEqual(["1", "2"]);
  });

  test("/v1/nodes/{uid}/status is one of them", async () => {
    expect((await get("/v1/nodes/1/status")).json()).toEqual(OWN_STATUS);
    api.registry.quorum = false;
    expect((await get("/v1/nodes/1/status")).json().role).toBe("slave");
  });
});

describe("checks", () => {
  test("the cluster is well only while all members are alive and a leader is known", async () => {
    const joining = (await get("/v1/cluster/check")).json();
    expect(joining).toEqual({
      cluster_test_result: false,
      nodes: [
        { node_uid: "1", result: true },
        { node_uid: "2", result: false, error: "the node is still joining" },
      ],
    });
    await activate();
    hear();
    const well = {
      cluster_test_result: true,
      nodes: [
        { node_uid: "1", result: true },
        { node_uid: "2", result: true },
      ],
    };
    expect((await get("/v1/cluster/check")).json()).toEqual(well);
    api.registry.quorum = false;
    const leaderless = (await get("/v1/cluster/check")).json();
    expect(leaderless).toMatchObject({ ...well, cluster_test_result: false });
    expect(leaderless.error).toContain("no leader");
    api.registry.quorum = true;
    lose();
    expect((await get("/v1/cluster/check")).json().cluster_test_result).toBe(false);
  });

  test("a join whose host has died keeps nobody waiting", async () => {
    hear();
    lose();
    const nodes = [{ node_uid: "1", result: true }];
    expect((await get("/v1/cluster/check")).json()).toEqual({ cluster_test_result: true, nodes });
  });

  test("of one node, and of each", async () => {
    expect((await get("/v1/nodes/check/1")).json()).toEqual({ node_uid: 1, result: true });
    expect((await get("/v1/nodes/check/2")).json()).toMatchObject({ node_uid: 2, result: false });
    expect((await get("/v1/nodes/check")).json()).toHaveLength(2);
  });

  test("master_healthcheck says whether a leader is known", async () => {
    const url = "/v1/local/node/master_healthcheck";
    expect((await get(url)).json()).toEqual({ status: "active" });
    api.registry.quorum = false;
    expect((await get(url)).json()).toEqual({ status: "inactive" });
  });
});
