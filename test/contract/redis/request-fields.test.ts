import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { FakeApi } from "#test/support/fake-api.ts";

import { SMALLEST } from "./requests.ts";

// Goal: each field of the bootstrap object is read, or refused by its name, or ignored as docs/api/redis.md says.

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

/** The smallest request with one more field, given by its path. */
function withField(path: string, value: unknown): object {
  const body = structuredClone(SMALLEST) as Record<string, unknown>;
  const steps = path.split(".");
  const last = steps.pop() ?? "";
  let object = body;
  for (const step of steps) object = (object[step] ??= {}) as Record<string, unknown>;
  object[last] = value;
  return body;
}

async function post(body: object) {
  return api.app.inject({ method: "POST", url: "/v1/bootstrap/create_cluster", payload: body });
}

const SUFFIX = {
  name: "db.example",
  cluster_default: true,
  use_aaaa_ns: false,
  use_internal_addr: true,
  slaves: ["10.0.0.9"],
};

/** Field, a value, and what the domain gets of it. */
const READ: readonly (readonly [path: string, value: unknown, gets: object])[] = [
  ["cluster.name", "my.cluster", { clusterName: "my.cluster" }],
  ["cnm_https_port", 19_443, { apiPort: 19_443 }],
  ["max_retries", 3, { maxRetries: 3 }],
  ["retry_time", 7, { retryTimeS: 7 }],
  ["required_version", "0.1.0", { requiredVersion: "0.1.0" }],
  ["dns_suffixes", [SUFFIX], { dnsSuffixes: [SUFFIX] }],
  ["dns_suffixes", [{ ...SUFFIX, extra: 1 }], { dnsSuffixes: [SUFFIX] }],
  ["policy.default_shards_placement", "dense", { policy: { default_shards_placement: "dense" } }],
  ["policy.default_sharded_proxy_policy", "single", { policy: { default_sharded_proxy_policy: "single" } }],
  [
    "policy.default_non_sharded_proxy_policy",
    "all-nodes",
    { policy: { default_non_sharded_proxy_policy: "all-nodes" } },
  ],
  ["policy.default_fork_evict_ram", true, { policy: { default_fork_evict_ram: true } }],
  ["policy.shards_overbooking", false, { policy: { shards_overbooking: false } }],
  ["node.identity.uid", 1, { identity: { uid: 1 } }],
  ["node.identity.name", "host-9", { identity: { name: "host-9" } }],
  ["node.identity.addr", "10.0.0.9", { identity: { addr: "10.0.0.9" } }],
  ["node.identity.external_addr", ["1.2.3.4", ""], { identity: { externalAddrs: ["1.2.3.4"] } }],
  ["node.identity.rack_id", "r1", { identity: { rackId: "r1" } }],
  ["node.identity.second_rack_id", "r2", { identity: { secondRackId: "r2" } }],
  ["node.identity.override_rack_id", true, { identity: { overrideRackId: true } }],
  ["node.identity.accept_servers", false, { identity: { acceptServers: false } }],
  ["node.identity.use_internal_ipv6", true, { identity: { useInternalIpv6: true } }],
  ["node.limits.max_listeners", 5, { limits: { maxListeners: 5 } }],
  ["node.limits.max_redis_servers", 6, { limits: { maxRedisServers: 6 } }],
  ["node.paths.persistent_path", "/a", { paths: { persistent: "/a" } }],
  ["node.paths.ephemeral_path", "/b", { paths: { ephemeral: "/b" } }],
  ["node.paths.bigstore_path", "/c", { paths: { bigstore: "/c" } }],
  ["node.bigstore_enabled", true, { bigstore: { enabled: true } }],
  ["node.bigstore_driver", "speedb", { bigstore: { driver: "speedb" } }],
];

/** Fields that are checked and change nothing. */
const IGNORED: readonly (readonly [path: string, value: unknown])[] = [
  ["action", ""],
  ["license", ""],
  ["cluster.wait_command", false],
  ["cluster.rack_aware", "yes"],
  ["cluster.rack_aware", true],
  ["cluster.clobber", true],
  ["flash_enabled", 1],
  ["node.paths.ccs_persistent_path", "/d"],
  ["crdb_coordinator_port", 9081],
  ["envoy_admin_port", 8002],
  ["envoy_mgmt_server_port", 8004],
  ["gossip_envoy_admin_port", 8006],
  ["user_defined_modules", [{ name: "m", location: { location_type: "https", url: "https://x" } }]],
  ["witness_disk", { any: "thing" }],
  ["policy.default_shards_placement", ""],
  ["node.bigstore_driver", ""],
  ["node.identity.addr", ""],
  ["cluster.nodes", ""],
  ["cluster.nodes", [""]],
];

/** Field, a value of a wrong type or out of its range. */
const WRONG: readonly (readonly [path: string, value: unknown, field?: string])[] = [
  ["action", 1],
  ["action", "destroy_cluster"],
  ["cluster", "c"],
  ["cluster.name", 5],
  ["cluster.nodes", { a: 1 }],
  ["cluster.nodes", [1], "cluster.nodes.0"],
  ["cluster.nodes", Array.from({ length: 5000 }, () => "10.0.0.1")],
  ["cluster.wait_command", "yes"],
  ["credentials", "admin"],
  ["credentials.username", 1],
  ["credentials.password", 1],
  ["credentials.token", 1],
  ["credentials.client_cert", 1],
  ["credentials.client_key", true],
  ["credentials.trusted_ca", []],
  ["node", []],
  ["node.identity", "x"],
  ["node.identity.uid", "1"],
  ["node.identity.uid", 0],
  ["node.identity.uid", 1.5],
  ["node.identity.name", 1],
  ["node.identity.addr", 1],
  ["node.identity.external_addr", "1.2.3.4"],
  ["node.identity.external_addr", [1], "node.identity.external_addr.0"],
  ["node.identity.rack_id", 1],
  ["node.identity.rack_id", "a.b"],
  ["node.identity.second_rack_id", 1],
  ["node.identity.second_rack_id", "-"],
  ["node.identity.override_rack_id", "true"],
  ["node.identity.accept_servers", 1],
  ["node.identity.use_internal_ipv6", "no"],
  ["node.limits", 1],
  ["node.limits.max_listeners", "100"],
  ["node.limits.max_listeners", -1],
  ["node.limits.max_redis_servers", 1.5],
  ["node.paths", "/a"],
  ["node.paths.persistent_path", 1],
  ["node.paths.persistent_path", "relative"],
  ["node.paths.ephemeral_path", 1],
  ["node.paths.bigstore_path", 1],
  ["node.paths.ccs_persistent_path", 1],
  ["node.bigstore_enabled", "true"],
  ["node.bigstore_driver", "floppy"],
  ["policy", true],
  ["policy.rack_aware", "true"],
  ["policy.default_shards_placement", "scattered"],
  ["policy.default_sharded_proxy_policy", "none"],
  ["policy.default_non_sharded_proxy_policy", 1],
  ["policy.default_fork_evict_ram", 0],
  ["policy.shards_overbooking", "x"],
  ["dns_suffixes", "x"],
  ["dns_suffixes", [{}], "dns_suffixes.0.name"],
  ["dns_suffixes", [{ name: "a", slaves: [1] }], "dns_suffixes.0.slaves.0"],
  ["dns_suffixes", [{ name: "a", use_aaaa_ns: 1 }], "dns_suffixes.0.use_aaaa_ns"],
  ["license", 1],
  ["recovery_filename", 1],
  ["required_version", 1],
  ["required_version", "newest"],
  ["max_retries", "3"],
  ["max_retries", -1],
  ["retry_time", "5"],
  ["retry_time", 9999],
  ["cnm_https_port", "9443"],
  ["cnm_https_port", 0],
  ["cnm_https_port", 70_000],
  ["crdb_coordinator_port", 1023],
  ["envoy_admin_port", "8002"],
  ["envoy_mgmt_server_port", 65_536],
  ["gossip_envoy_admin_port", 80],
  ["user_defined_modules", {}],
  [
    "user_defined_modules",
    [{ location: { location_type: "ftp" } }],
    "user_defined_modules.0.location.location_type",
  ],
  ["witness_disk", "sda"],
];

describe("a field of the request", () => {
  test.each(READ)("%s of %j reaches the domain", async (path, value, gets) => {
    const answer = await post(withField(path, value));
    expect([answer.statusCode, answer.body]).toEqual([200, ""]);
    expect(api.bootstrap.started[0]?.request).toMatchObject(gets);
  });

  test.each(IGNORED)("%s of %j changes nothing", async (path, value) => {
    expect((await post(SMALLEST)).statusCode).toBe(200);
    api.bootstrap.state = { name: "idle" };
    expect((await post(withField(path, value))).statusCode).toBe(200);
    const [plain, more] = api.bootstrap.started;
    expect(more).toEqual(plain);
  });

  const wrong = WRONG.map(([path, value, field = path]) => ({ path, value, field }));
  test.each(wrong)("$path of $value is refused by name", async ({ path, value, field }) => {
    const answer = await post(withField(path, value));
    expect([answer.statusCode, answer.json().error_code]).toEqual([400, "config_error"]);
    const { field: told, rule, message } = answer.json().error_details as Readonly<Record<string, string>>;
    expect([told, message]).toEqual([field, `${field}: ${rule ?? ""}`]);
    expect(api.bootstrap.started).toEqual([]);
    expect(api.bootstrap.state).toEqual({ name: "idle" });
  });

  test("rack awareness is asked for by the policy, or beside a rack by the cluster", async () => {
    const rackAware = async (body: object): Promise<BootstrapRequest["rackAware"] | undefined> => {
      api.bootstrap.state = { name: "idle" };
      await post({ ...SMALLEST, ...body });
      return api.bootstrap.started.at(-1)?.request.rackAware;
    };
    const node = { identity: { rack_id: "r1" } };
    const cluster = { name: "c", rack_aware: true };
    expect(await rackAware({ node, policy: { rack_aware: true } })).toBe(true);
    expect(await rackAware({ node, cluster })).toBe(true);
    expect(await rackAware({ node, cluster, policy: { rack_aware: false } })).toBe(false);
    expect(await rackAware({ cluster })).toBe(false);
  });

  test("a join proves itself by a token or by a certificate, too", async () => {
    const pem = (what: string): string => `-----BEGIN ${what}-----\nMIIB\n-----END ${what}-----\n`;
    const certificate = { client_cert: pem("CERTIFICATE"), client_key: pem("PRIVATE KEY") };
    for (const credentials of [
      { token: "muster-token" },
      { ...certificate, trusted_ca: pem("CERTIFICATE") },
    ]) {
      api.bootstrap.state = { name: "idle" };
      const body = { cluster: { nodes: ["10.0.0.1"] }, credentials };
      const url = "/v1/bootstrap/join_cluster";
      expect((await api.app.inject({ method: "POST", url, payload: body })).statusCode).toBe(200);
    }
    expect(api.bootstrap.started.map(({ request }) => request.credentials)).toEqual([
      { username: "", password: "", token: "muster-token" },
      {
        username: "",
        password: "",
        clientCert: certificate.client_cert,
        clientKey: certificate.client_key,
        trustedCa: pem("CERTIFICATE"),
      },
    ]);
  });
});
