import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ADMIN, basic, FakeApi, SEED_TIME } from "#test/support/fake-api.ts";

import { CREATE, JOIN, SMALLEST } from "./requests.ts";

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

const COMPLETED = {
  name: "completed",
  action: "create_cluster",
  attempt: 1,
  startedAt: SEED_TIME,
  endedAt: SEED_TIME,
} as const;

function post(path: string, payload: object | string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "POST", url: path, payload, headers });
}

function get(url: string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "GET", url, headers });
}

describe("POST /v1/bootstrap/{action}", () => {
  test.each(["/v1/bootstrap", "/v1/boostrap", "/bootstrap"])(
    "%s/create_cluster takes the seed's example and answers 200 with nothing at all",
    async (path) => {
      const answer = await post(`${path}/create_cluster`, CREATE);
      expect([answer.statusCode, answer.body, answer.headers["content-length"]]).toEqual([200, "", "0"]);
      expect(api.bootstrap.started).toEqual([
        {
          action: "create_cluster",
          request: {
            clusterName: "my.cluster",
            license: CREATE.license,
            nodes: [],
            apiPort: 9443,
            credentials: { username: "my_username", password: "my_password" },
            identity: {
              addr: "1.2.3.4",
              externalAddrs: ["2001:0db8:85a3:0000:0000:8a2e:0370:7334", "3.4.5.6"],
            },
            limits: {},
            paths: {
              persistent: "/path/to/persistent/storage",
              ephemeral: "/path/to/ephemeral/storage",
              bigstore: "/path/to/bigredis/storage",
            },
            bigstore: { driver: "rocksdb" },
            rackAware: false,
            policy: {},
            dnsSuffixes: [],
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
    expect(started?.request).toMatchObject({
      nodes: ["1.1.1.1", "2.2.2.2"],
      credentials: { username: "my_username" },
      bigstore: { driver: "speedb" },
    });
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
      node: { identity: { rack_id: "", name: "" }, bigstore_driver: "" },
      flash_enabled: false,
      license: "",
      dns_suffixes: [{ name: "x" }],
      policy: { rack_aware: false, default_shards_placement: "sparse" },
    });
    expect(answer.statusCode).toBe(200);
    expect(api.bootstrap.started[0]?.request).toMatchObject({
      identity: { externalAddrs: [] },
      bigstore: {},
      rackAware: false,
      policy: { default_shards_placement: "sparse" },
    });
    expect(api.bootstrap.started[0]?.request).not.toHaveProperty("license");
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
    ["no credentials", "credentials.username", { cluster: { name: "c" } }],
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

  test("a recovery that names no copy is refused where this host holds none", async () => {
    const answer = await post("/v1/bootstrap/recover_cluster", SMALLEST);
    expect([answer.statusCode, answer.json().error_code, answer.json().error_details.field]).toEqual([
      400,
      "config_error",
      "recovery_filename",
    ]);
  });

  test("a recovery from a file needs nobody's password", async () => {
    const answer = await post("/v1/bootstrap/recover_cluster", { recovery_filename: "/backup.json" });
    expect([answer.statusCode, answer.body]).toEqual([200, ""]);
    expect(api.bootstrap.started[0]).toMatchObject({
      action: "recover_cluster",
      request: { recoveryFilename: "/backup.json", credentials: { username: "", password: "" } },
    });
  });

  test("a member may recover what has no leader, and nothing else", async () => {
    await api.createCluster();
    api.bootstrap.lost = 1;
    expect((await post("/v1/bootstrap/recover_cluster", {})).statusCode).toBe(401);
    expect((await post("/v1/bootstrap/join_cluster", JOIN, ADMIN)).statusCode).toBe(409);
    expect((await post("/v1/bootstrap/recover_cluster", {}, ADMIN)).statusCode).toBe(200);
    api.bootstrap.lost = null;
    api.bootstrap.state = COMPLETED;
    const led = await post("/v1/bootstrap/recover_cluster", {}, ADMIN);
    expect([led.statusCode, led.json().error_code]).toEqual([409, "already_in_cluster"]);
  });

  test("a license that is none is refused with what is wrong with it", async () => {
    const answer = await post("/v1/bootstrap/create_cluster", { ...SMALLEST, license: "abc" });
    expect([answer.statusCode, answer.json()]).toEqual([
      406,
      {
        error_code: "invalid_license",
        description: expect.stringContaining("the license is not valid: bad_format") as string,
        error_details: { violation: "bad_format", message: expect.stringContaining("bad_format") as string },
      },
    ]);
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

  test("nothing of any credentials is logged, or told to anybody", async () => {
    const secret = "s3cr3t";
    const credentials = {
      username: "my_username",
      password: `${secret}-p`,
      token: `${secret}-t`,
      client_cert: `${secret}-c`,
      client_key: `${secret}-k`,
      trusted_ca: `${secret}-a`,
    };
    const location = { url: "u", credentials: { username: "u", password: `${secret}-m` } };
    const all = { ...CREATE, credentials, user_defined_modules: [{ name: "m", location }] };
    const fine = { ...CREATE, credentials: { username: "my_username", password: `${secret}-p` } };
    const told: string[] = [];
    for (const path of ["/v1/bootstrap", "/v1/bootstrap/validate"]) {
      for (const action of ["create_cluster", "join_cluster", "recover_cluster"]) {
        for (const body of [all, { ...all, credentials: { ...credentials, password: [secret] } }]) {
          const answer = await post(`${path}/${action}`, { ...body, action }, basic("x", secret));
          expect(answer.statusCode).toBeGreaterThanOrEqual(400);
          told.push(answer.body);
        }
      }
    }
    expect((await post("/v1/bootstrap/create_cluster", fine, basic("x", secret))).statusCode).toBe(200);
    told.push((await get("/v1/bootstrap")).body, JSON.stringify(api.log.lines));
    expect(told.join()).not.toContain(secret);
  });
});
