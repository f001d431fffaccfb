import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { AppError } from "#shared/errors/app-error.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import { ADMIN, basic, FakeApi, SEED_TIME } from "#test/support/fake-api.ts";

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

/** Seed 003, "Example JSON body", "Create cluster". */
const CREATE = {
  action: "create_cluster",
  cluster: { nodes: [], name: "my.cluster" },
  node: {
    paths: {
      persistent_path: "/path/to/persistent/storage",
      ephemeral_path: "/path/to/ephemeral/storage",
      bigstore_path: "/path/to/bigredis/storage",
    },
    identity: { addr: "1.2.3.4", external_addr: ["2001:0db8:85a3:0000:0000:8a2e:0370:7334", "3.4.5.6"] },
    bigstore_driver: "rocksdb",
  },
  license: "----- LICENSE START -----\ndi+iK...KniI9\n----- LICENSE END -----\n",
  credentials: { username: "my_username", password: "my_password" },
};

/** Seed 003, "Example JSON body", "Join cluster". */
const JOIN = {
  action: "join_cluster",
  cluster: { nodes: ["1.1.1.1", "2.2.2.2"] },
  node: {
    paths: {
      persistent_path: "/path/to/persistent/storage",
      ephemeral_path: "/path/to/ephemeral/storage",
      bigstore_path: "/path/to/bigstore/storage",
    },
    bigstore_driver: "speedb",
    identity: { addr: "1.2.3.4", external_addr: ["2001:0db8:85a3:0000:0000:8a2e:0370:7334", "3.4.5.6"] },
  },
  credentials: { username: "my_username", password: "my_password" },
};

const SMALLEST = {
  cluster: { name: "docker-cluster" },
  credentials: { username: "admin", password: "redis" },
};

function post(path: string, payload: object | string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "POST", url: path, payload, headers });
}

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

  test("HEAD is answered like GET, without a body", async () => {
    const answer = await api.app.inject({ method: "HEAD", url: "/v1/bootstrap" });
    expect([answer.statusCode, answer.body]).toEqual([200, ""]);
  });
});

describe("POST /v1/bootstrap/{action}", () => {
  test.each(["/v1/bootstrap/create_cluster", "/bootstrap/create_cluster"])(
    "%s takes the seed's example and answers 200 with nothing at all",
    async (path) => {
      const answer = await post(path, CREATE);
      expect([answer.statusCode, answer.body, answer.headers["content-length"]]).toEqual([200, "", "0"]);
      expect(api.bootstrap.started).toEqual([
        {
          action: "create_cluster",
          request: {
            clusterName: "my.cluster",
            nodes: [],
            apiPort: 9443,
            username: "my_username",
            password: "my_password",
            identity: {
              addr: "1.2.3.4",
              externalAddrs: ["2001:0db8:85a3:0000:0000:8a2e:0370:7334", "3.4.5.6"],
            },
            paths: {
              persistent: "/path/to/persistent/storage",
              ephemeral: "/path/to/ephemeral/storage",
              bigstore: "/path/to/bigredis/storage",
            },
            rackAware: false,
            maxRetries: 0,
            retryTimeS: 15,
          },
        },
      ]);
      expect((await get("/v1/bootstrap")).json().bootstrap_status.state).toBe("initiated");
    },
  );

  test("takes the seed's example of a join", async () => {
    expect((await post("/v1/bootstrap/join_cluster", JOIN)).statusCode).toBe(200);
    const [started] = api.bootstrap.started;
    expect(started?.action).toBe("join_cluster");
    expect(started?.request).toMatchObject({ nodes: ["1.1.1.1", "2.2.2.2"], username: "my_username" });
    expect(started?.request).not.toHaveProperty("clusterName");
  });

  test("one node may be given as a text, with another port", async () => {
    await post("/v1/bootstrap/join_cluster", {
      ...JOIN,
      cluster: { nodes: "1.1.1.1" },
      cnm_https_port: 19_443,
      max_retries: 3,
      retry_time: 7,
    });
    expect(api.bootstrap.started[0]?.request).toMatchObject({
      nodes: ["1.1.1.1"],
      apiPort: 19_443,
      maxRetries: 3,
      retryTimeS: 7,
    });
  });

  test("what real clients send besides is ignored, and empty texts are no texts", async () => {
    const answer = await post("/v1/bootstrap/create_cluster", {
      ...SMALLEST,
      cluster: { name: "docker-cluster", clobber: true, rack_aware: "yes" },
      node: { identity: { rack_id: "", name: "" }, bigstore_enabled: 1 },
      flash_enabled: false,
      license: "",
      dns_suffixes: [{ name: "x" }],
      policy: { rack_aware: false, default_shards_placement: "sparse" },
    });
    expect(answer.statusCode).toBe(200);
    expect(api.bootstrap.started[0]?.request.identity).toEqual({ externalAddrs: [] });
  });

  test.each(["", "text/plain", "application/x-www-form-urlencoded", "no/such;;thing=", "///"])(
    "the body is JSON, whatever Content-Type says: %j",
    async (type) => {
      const headers: Record<string, string> = type === "" ? {} : { "content-type": type };
      const answer = await post("/v1/bootstrap/create_cluster", JSON.stringify(SMALLEST), headers);
      expect([answer.statusCode, answer.body]).toEqual([200, ""]);
    },
  );

  test("409 while one runs and once one is completed", async () => {
    await post("/v1/bootstrap/create_cluster", SMALLEST);
    const second = await post("/v1/bootstrap/join_cluster", JOIN);
    expect(second.statusCode).toBe(409);
    expect(second.json()).toEqual({
      error_code: "bootstrap_in_progress",
      description: "a bootstrap is already in progress",
    });
    await api.createCluster();
    expect((await post("/v1/bootstrap/create_cluster", SMALLEST)).statusCode).toBe(401);
    const after = await post("/v1/bootstrap/create_cluster", SMALLEST, ADMIN);
    expect([after.statusCode, after.json().error_code]).toEqual([409, "already_in_cluster"]);
  });

  test("accepted again after an error", async () => {
    const failure = { code: "connect_error", details: { message: "m" } } as const;
    const at = { attempt: 1, startedAt: SEED_TIME, endedAt: SEED_TIME } as const;
    api.bootstrap.state = { name: "error", action: "join_cluster", ...at, failure };
    expect((await post("/v1/bootstrap/join_cluster", JOIN)).statusCode).toBe(200);
  });

  const credentials = SMALLEST.credentials;
  const BAD: readonly (readonly [what: string, field: string, body: object | string])[] = [
    ["no JSON", "body", "{nope"],
    ["no body", "body", ""],
    ["an array", "body", []],
    ["no credentials", "credentials", { cluster: { name: "c" } }],
    ["no password", "credentials.password", { ...SMALLEST, credentials: { username: "admin" } }],
    [
      "a password that is a number",
      "credentials.password",
      { ...SMALLEST, credentials: { username: "a", password: 1 } },
    ],
    ["a name that is a number", "cluster.name", { credentials, cluster: { name: 5 } }],
    ["a name no DNS knows", "cluster.name", { credentials, cluster: { name: "my_cluster!" } }],
    ["a name that is too long", "cluster.name", { credentials, cluster: { name: "a".repeat(65) } }],
    ["no name", "cluster.name", { credentials }],
    ["nodes that are a number", "cluster.nodes", { ...SMALLEST, cluster: { name: "c", nodes: 3 } }],
    ["a node that is a number", "cluster.nodes.0", { ...SMALLEST, cluster: { name: "c", nodes: [3] } }],
    [
      "a user name with <",
      "credentials.username",
      { ...SMALLEST, credentials: { username: "a<b", password: "p" } },
    ],
    [
      "a rack id with a dot",
      "node.identity.rack_id",
      { ...SMALLEST, node: { identity: { rack_id: "a.b" } } },
    ],
    [
      "a rack id that is a number",
      "node.identity.rack_id",
      { ...SMALLEST, node: { identity: { rack_id: 1 } } },
    ],
    ["another action than the path's", "action", { ...SMALLEST, action: "join_cluster" }],
    ["a port out of range", "cnm_https_port", { ...SMALLEST, cnm_https_port: 70_000 }],
    ["a port as text", "cnm_https_port", { ...SMALLEST, cnm_https_port: "9443" }],
    ["retries as text", "max_retries", { ...SMALLEST, max_retries: "3" }],
    ["a prototype", "body", '{"__proto__":{"x":1}}'],
  ];
  test.each(BAD)("%s: 400 config_error that names %s", async (_what, field, body) => {
    const answer = await post("/v1/bootstrap/create_cluster", body);
    expect([answer.statusCode, answer.json().error_code]).toEqual([400, "config_error"]);
    expect(answer.json().error_details.field).toBe(field);
    expect(answer.json().error_details.message).toBe(answer.json().description);
    expect(api.bootstrap.state).toEqual({ name: "idle" });
  });

  test("a join that names nobody is refused", async () => {
    const answer = await post("/v1/bootstrap/join_cluster", { credentials, cluster: { nodes: [] } });
    expect([answer.statusCode, answer.json().error_details.field]).toEqual([400, "cluster.nodes"]);
  });

  test("recover_cluster is refused in so many words", async () => {
    const answer = await post("/v1/bootstrap/recover_cluster", SMALLEST);
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ error_code: "config_error", error_details: { field: "action" } });
  });

  test("a body that nests without end is refused", async () => {
    const answer = await post("/v1/bootstrap/create_cluster", `${"[".repeat(1000)}${"]".repeat(1000)}`);
    expect([answer.statusCode, answer.json().error_code]).toEqual([400, "config_error"]);
  });

  test("a failure of ours is told with an incident, and no more", async () => {
    api.bootstrap.start = () => Promise.reject(new Error("the disk said: secret"));
    const answer = await post("/v1/bootstrap/create_cluster", SMALLEST);
    expect([answer.statusCode, answer.json().error_code]).toEqual([500, "internal_error"]);
    expect(answer.body).not.toContain("secret");
    const [logged] = api.log.matching("request failed");
    expect(answer.json().description).toContain(((logged?.fields ?? {}) as { incident: string }).incident);
  });

  test("nothing of the credentials is logged", async () => {
    await post("/v1/bootstrap/create_cluster", CREATE);
    await post("/v1/bootstrap/create_cluster", CREATE, basic("my_username", "my_password"));
    expect(JSON.stringify(api.log.lines)).not.toContain("my_password");
  });
});

describe("who may start a bootstrap", () => {
  function from(remoteAddress: string, allow: FakeApi) {
    return allow.app.inject({
      method: "POST",
      url: "/v1/bootstrap/create_cluster",
      payload: SMALLEST,
      remoteAddress,
    });
  }

  test.each([
    ["127.0.0.1", 200],
    ["127.8.9.1", 200],
    ["::1", 200],
    ["::ffff:127.0.0.1", 200],
    ["10.0.0.1", 403],
    ["::ffff:10.0.0.1", 403],
    // An address that contains ::1 is no loopback address.
    ["2001:db8::1", 403],
    ["fe80::1%eth0", 403],
  ])("from %s: %i", async (address, status) => {
    expect((await from(address, api)).statusCode).toBe(status);
  });

  test("a stranger is told why, in this API's form", async () => {
    const answer = await from("10.0.0.1", api);
    expect(answer.json().error_code).toBe("forbidden");
    expect(answer.json().description).toContain("bootstrap.allow_from");
  });

  test.each([
    ["10.1.2.3", 200],
    ["::ffff:10.1.2.3", 200],
    ["11.1.2.3", 403],
    ["192.168.7.7", 200],
    ["192.168.7.8", 403],
    ["2001:db8:1::5", 200],
    ["2001:db8:2::5", 403],
    ["172.16.3.3", 200],
  ])("bootstrap.allow_from decides about %s: %i", async (address, status) => {
    const allowing = new FakeApi({
      bootstrapAllowFrom: [
        { address: "10.0.0.0", prefixLength: 8 },
        { address: "192.168.7.7", prefixLength: 32 },
        { address: "2001:db8:1::", prefixLength: 48 },
        { address: "::ffff:172.16.0.0", prefixLength: 108 },
      ],
    });
    await using _ = allowing;
    expect((await from(address, allowing)).statusCode).toBe(status);
  });

  test("looking is for everybody, before there is a cluster", async () => {
    const answer = await api.app.inject({ method: "GET", url: "/v1/bootstrap", remoteAddress: "10.0.0.1" });
    expect(answer.statusCode).toBe(200);
  });

  test("a page of another site cannot start one through this host's browser", async () => {
    const headers = { "sec-fetch-site": "cross-site", "content-type": "text/plain" };
    const answer = await post("/v1/bootstrap/create_cluster", JSON.stringify(SMALLEST), headers);
    expect([answer.statusCode, answer.json().error_code]).toEqual([403, "forbidden"]);
  });
});

describe("everything else of the API", () => {
  test.each(["/v1/nodes", "/v1/cluster", "/v1/bdbs/1", "/v1/bootstrap/validate/create_cluster", "/v1"])(
    "%s: 503 before a cluster, then 401, then 404",
    async (path) => {
      const before = await get(path);
      expect([before.statusCode, before.json().error_code]).toEqual([503, "not_in_cluster"]);
      expect(before.headers["retry-after"]).toBe("1");
      await api.createCluster();
      expect((await get(path)).statusCode).toBe(401);
      const member = await get(path, ADMIN);
      expect([member.statusCode, member.json()]).toEqual([
        404,
        { error_code: "not_found", description: `${path} does not exist` },
      ]);
    },
  );

  test("a method that a path does not have: 405 that says which it has", async () => {
    const put = await api.app.inject({ method: "PUT", url: "/v1/bootstrap" });
    expect([put.statusCode, put.headers["allow"], put.json().error_code]).toEqual([
      405,
      "GET, HEAD",
      "method_not_allowed",
    ]);
    const look = await get("/v1/bootstrap/create_cluster");
    expect([look.statusCode, look.headers["allow"]]).toEqual([405, "POST"]);
  });

  test("every kind of error has a form", async () => {
    const kinds: AppError[] = [
      new AppError("quorum_lost", { leader: null, missing: ["host-2"] }),
      new AppError("outcome_unknown", { key: "k" }),
      new AppError("overloaded", { what: "the queue" }),
      new AppError("path_error", { path: "/p", cause: "is not a folder" }),
    ];
    for (const error of kinds) {
      api.bootstrap.start = () => Promise.reject(error);
      const answer = await post("/v1/bootstrap/create_cluster", SMALLEST);
      expect(answer.json()).toEqual({ error_code: error.kind, description: error.message });
      expect(answer.headers["retry-after"]).toBe(answer.statusCode === 503 ? "1" : undefined);
    }
  });
});
