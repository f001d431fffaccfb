import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { POLICY_DEFAULT } from "#shared/registry/state.ts";
import { ADMIN, FakeApi, VIEWER } from "#test/support/fake-api.ts";

import { CREATE } from "./requests.ts";

// Goal: the cluster itself as clients of this API ask for it after a bootstrap: cluster, policy, license, schemas.

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
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

const CA = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUW\nabc=\n-----END CERTIFICATE-----\n";
const LICENSE = CREATE.license;

describe("/v1/cluster", () => {
  const SHOWN = {
    name: "my.cluster",
    created_time: "2023-11-14T22:13:20Z",
    rack_aware: false,
    cnm_https_port: 9443,
    mtls_trusted_ca: "",
    dns_suffixes: [],
    password_min_length: 1,
    email_alerts: false,
    incarnation: 1,
  };

  test("tells what is true of it", async () => {
    const answer = await get("/v1/cluster");
    expect([answer.statusCode, answer.json()]).toEqual([200, SHOWN]);
  });

  test("PUT changes what is passed and answers with the whole; the rest is ignored", async () => {
    const dns_suffixes = [{ name: "db.example", cluster_default: true }];
    const changes = { mtls_trusted_ca: CA, dns_suffixes };
    const answer = await put("/v1/cluster", {
      ...changes,
      name: "my.cluster",
      email_alerts: true,
      cm_port: 1,
    });
    expect([answer.statusCode, answer.json()]).toEqual([200, { ...SHOWN, ...changes }]);
    expect((await get("/v1/cluster")).json()).toEqual({ ...SHOWN, ...changes });
    expect((await put("/v1/cluster", { mtls_trusted_ca: "" })).json()).toEqual({ ...SHOWN, dns_suffixes });
  });

  test.each(["dry_run", "dry_run=true", "dry_run=1"])(
    "?%s says what would be and changes nothing",
    async (query) => {
      const before = api.registry.state.index;
      const answer = await put(`/v1/cluster?${query}`, { mtls_trusted_ca: CA });
      expect([answer.statusCode, answer.json().mtls_trusted_ca]).toEqual([200, CA]);
      const refused = await put(`/v1/cluster?${query}`, { rack_aware: true });
      expect([refused.statusCode, refused.json().error_code]).toEqual([406, "change_refused"]);
      expect((await get("/v1/cluster")).json()).toEqual(SHOWN);
      expect(api.registry.state.index).toBe(before);
    },
  );

  test("?dry_run=false changes it; anything else is refused", async () => {
    await put("/v1/cluster?dry_run=false", { mtls_trusted_ca: CA });
    expect((await get("/v1/cluster")).json().mtls_trusted_ca).toBe(CA);
    expect((await put("/v1/cluster?dry_run=perhaps", {})).statusCode).toBe(400);
  });

  test.each([
    ["another name", { name: "other" }, "cluster_name_fixed", "name"],
    ["a text", { mtls_trusted_ca: "abc" }, "invalid_certificate", "mtls_trusted_ca"],
    [
      "a key instead of a certificate",
      { mtls_trusted_ca: CA.replaceAll("CERTIFICATE", "PRIVATE KEY") },
      "invalid_certificate",
      "mtls_trusted_ca",
    ],
    ["a text behind it", { mtls_trusted_ca: `${CA}x` }, "invalid_certificate", "mtls_trusted_ca"],
  ])("%s: 406", async (_what, body, code, field) => {
    const answer = await put("/v1/cluster", body);
    expect([answer.statusCode, answer.json().error_code]).toEqual([406, code]);
    expect(answer.json().error_details.field).toBe(field);
    expect((await get("/v1/cluster")).json()).toEqual(SHOWN);
  });

  test.each([
    ["rack_aware", "true"],
    ["mtls_trusted_ca", 1],
    ["dns_suffixes", {}],
  ])("%s of %j: 400", async (field, value) => {
    const answer = await put("/v1/cluster", { [field]: value });
    expect([answer.statusCode, answer.json().error_details.field]).toEqual([400, field]);
  });
});

describe("/v1/cluster/policy", () => {
  test("tells the policy, and changes what is passed of it", async () => {
    const before = { rack_aware: false, ...POLICY_DEFAULT };
    expect((await get("/v1/cluster/policy")).json()).toEqual(before);
    const answer = await put("/v1/cluster/policy", { default_shards_placement: "dense", unknown: 1 });
    expect([answer.statusCode, answer.json()]).toEqual([
      200,
      { ...before, default_shards_placement: "dense" },
    ]);
    expect(api.registry.state.cluster?.policy).toEqual({
      ...POLICY_DEFAULT,
      default_shards_placement: "dense",
    });
  });

  test("rack awareness goes on once all nodes have racks, and never off", async () => {
    const early = await put("/v1/cluster/policy", { rack_aware: true });
    expect([early.statusCode, early.json().error_code]).toEqual([406, "change_refused"]);
    expect(early.json().description).toContain("host-1.example");
    await put("/v1/nodes/1", { rack_id: "r1" });
    expect((await put("/v1/cluster/policy", { rack_aware: true })).json().rack_aware).toBe(true);
    expect((await get("/v1/cluster")).json().rack_aware).toBe(true);
    const back = await put("/v1/cluster/policy", { rack_aware: false });
    expect([back.statusCode, back.json().error_code]).toEqual([406, "change_refused"]);
  });

  test.each([
    ["default_shards_placement", "scattered"],
    ["default_sharded_proxy_policy", "none"],
    ["shards_overbooking", 1],
  ])("%s of %j: 400", async (field, value) => {
    const answer = await put("/v1/cluster/policy", { [field]: value });
    expect([answer.statusCode, answer.json().error_details.field]).toEqual([400, field]);
  });

  test("a change that was not read before is refused by If-Match", async () => {
    const { etag } = (await get("/v1/cluster/policy")).headers;
    const mine = { ...ADMIN, "if-match": String(etag) };
    expect((await put("/v1/cluster/policy", { shards_overbooking: false }, mine)).statusCode).toBe(200);
    expect((await put("/v1/cluster/policy", { shards_overbooking: true }, mine)).statusCode).toBe(412);
  });
});

describe("/v1/license", () => {
  test("404 while there is none, then the text under both names", async () => {
    const none = await get("/v1/license");
    expect([none.statusCode, none.json().error_code]).toEqual([404, "not_found"]);
    const set = await put("/v1/license", { license: LICENSE });
    const shown = {
      license: LICENSE,
      key: LICENSE,
      features: [],
      shards_limit: 0,
      ram_shards_limit: 0,
      ram_shards_in_use: 0,
      flash_shards_limit: 0,
      flash_shards_in_use: 0,
    };
    expect([set.statusCode, set.json()]).toEqual([200, shown]);
    expect((await get("/v1/license")).json()).toEqual(shown);
    // A Terraform module looks for this text.
    expect(set.body).toContain('"shards_limit"');
  });

  test("one that is none: 406 with what is wrong; the old one stays", async () => {
    await put("/v1/license", { license: LICENSE });
    const answer = await put("/v1/license", { license: "abc" });
    expect([answer.statusCode, answer.json().error_code]).toEqual([406, "invalid_license"]);
    expect(answer.json().error_details.violation).toBe("bad_format");
    expect((await get("/v1/license")).json().license).toBe(LICENSE);
  });

  test("an empty text takes it away", async () => {
    await put("/v1/license", { license: LICENSE });
    const answer = await put("/v1/license", { license: "" });
    expect([answer.statusCode, answer.body]).toEqual([200, ""]);
    expect((await get("/v1/license")).statusCode).toBe(404);
  });

  test.each([{}, { license: 1 }])("%j: 400", async (body) => {
    const answer = await put("/v1/license", body);
    expect([answer.statusCode, answer.json().error_details.field]).toEqual([400, "license"]);
  });
});

describe("/v1/jsonschema", () => {
  test("has a schema of each object that this API takes or shows", async () => {
    const all = (await get("/v1/jsonschema")).json();
    const names = [
      "bootstrap",
      "bootstrap_status",
      "cluster",
      "cluster_settings",
      "license",
      "node",
      "node_status",
      "user",
    ];
    expect(Object.keys(all).toSorted()).toEqual(names);
    for (const name of names) {
      const one = await get(`/v1/jsonschema?object=${name}`);
      expect([one.statusCode, one.json().type]).toEqual([200, "object"]);
      expect(one.json()).toEqual(all[name]);
    }
    expect(all.bootstrap.properties.node.properties.identity.properties.uid).toEqual({
      type: "integer",
      minimum: 1,
    });
  });

  test.each(["bdb", "__proto__", "constructor"])("has none of %s: 406", async (name) => {
    const answer = await get(`/v1/jsonschema?object=${name}`);
    expect([answer.statusCode, answer.json().error_code]).toEqual([406, "unknown_object"]);
  });
});

describe("who may", () => {
  test("look: every user; change: administrators", async () => {
    await api.addViewer();
    await put("/v1/license", { license: LICENSE });
    const paths = ["/v1/cluster", "/v1/cluster/policy", "/v1/license"];
    for (const path of [...paths, "/v1/cluster/check", "/v1/jsonschema"]) {
      expect([path, (await get(path, VIEWER)).statusCode]).toEqual([path, 200]);
      expect([path, (await get(path, {})).statusCode]).toEqual([path, 401]);
    }
    for (const path of paths) {
      const answer = await put(path, { license: LICENSE }, VIEWER);
      expect([path, answer.statusCode, answer.json().error_code]).toEqual([path, 403, "forbidden"]);
    }
    api.registry.quorum = false;
    for (const path of paths) {
      expect((await get(path)).statusCode).toBe(200);
      const answer = await put(path, { license: LICENSE });
      expect([path, answer.statusCode, answer.json().error_code]).toEqual([path, 503, "quorum_lost"]);
    }
  });

  test("before a cluster: nobody, 503", async () => {
    const idle = new FakeApi();
    await using _ = idle;
    const paths = [
      "/v1/nodes",
      "/v1/nodes/1",
      "/v1/nodes/status",
      "/v1/cluster",
      "/v1/cluster/check",
      "/v1/license",
    ];
    for (const url of [...paths, "/v1/users", "/v1/jsonschema", "/v1/local/node/master_healthcheck"]) {
      const answer = await idle.app.inject({ method: "GET", url });
      expect([url, answer.statusCode, answer.json().error_code]).toEqual([url, 503, "not_in_cluster"]);
    }
  });
});
