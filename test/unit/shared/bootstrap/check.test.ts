import { describe, expect, test } from "vitest";

import { ATTEMPT_MS_MAX, attemptMsMax, requestError } from "#shared/bootstrap/check.ts";
import type { BootstrapRequest, JoinCredentials } from "#shared/bootstrap/config.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";
import { isKind } from "#shared/errors/app-error.ts";
import type { BadField } from "#shared/errors/kinds.ts";
import { CERTIFICATE_CHARS_MAX, TOKEN_CHARS_MAX } from "#shared/lib/limits.ts";

const ADMIN = { username: "admin@example.com", password: "123456" };
const NOBODY = { username: "", password: "" };
const CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n";

const CREATE: BootstrapRequest = {
  clusterName: "my.cluster",
  nodes: [],
  apiPort: 9443,
  credentials: ADMIN,
  identity: { externalAddrs: [] },
  paths: {},
  limits: {},
  bigstore: {},
  policy: {},
  dnsSuffixes: [],
  rackAware: false,
  maxRetries: 0,
  retryTimeS: 0,
};
const { clusterName: _name, ...NAMELESS } = CREATE;
const JOIN: BootstrapRequest = { ...NAMELESS, nodes: ["1.1.1.1", "2.2.2.2"] };
const RECOVER: BootstrapRequest = { ...NAMELESS, credentials: NOBODY, recoveryFilename: "/backup/1" };

const identity = (more: object): Partial<BootstrapRequest> => ({ identity: { externalAddrs: [], ...more } });
const proof = (credentials: Partial<JoinCredentials>): Partial<BootstrapRequest> => ({
  credentials: { ...NOBODY, ...credentials },
});
const suffixes = (...dnsSuffixes: BootstrapRequest["dnsSuffixes"]): Partial<BootstrapRequest> => ({
  dnsSuffixes,
});

function errorOf(action: BootstrapAction, request: BootstrapRequest, member = false) {
  return requestError(action, request, { member });
}

function badFieldOf(action: BootstrapAction, request: BootstrapRequest, member = false): BadField {
  const error = errorOf(action, request, member);
  if (error === null || !isKind(error, "config_error")) throw new Error(`no config_error: ${String(error)}`);
  return error.facts;
}

describe("what real clients send is accepted", () => {
  test.each<[string, BootstrapAction, BootstrapRequest]>([
    ["the seed's create", "create_cluster", CREATE],
    ["the seed's join", "join_cluster", JOIN],
    ["a name of one label", "create_cluster", { ...CREATE, clusterName: "docker-cluster" }],
    ["a name with a final dot", "create_cluster", { ...CREATE, clusterName: "my.cluster." }],
    ["a short password", "create_cluster", { ...CREATE, ...proof({ ...ADMIN, password: "x" }) }],
    ["a join by name alone", "join_cluster", { ...NAMELESS, clusterName: "my.cluster" }],
    ["a join by token alone", "join_cluster", { ...NAMELESS, ...proof({ token: "t" }) }],
    [
      "a join by certificate",
      "join_cluster",
      { ...JOIN, ...proof({ clientCert: CERTIFICATE, clientKey: KEY, trustedCa: CERTIFICATE }) },
    ],
    [
      "a certificate with a chain and what openssl writes around it",
      "join_cluster",
      { ...JOIN, ...proof({ clientCert: `subject=\n${CERTIFICATE}${CERTIFICATE}`, clientKey: KEY }) },
    ],
    [
      "empty texts beside a password",
      "join_cluster",
      { ...JOIN, ...proof({ ...ADMIN, token: "", clientCert: "", clientKey: "", trustedCa: "" }) },
    ],
    ["a rack id of one letter", "join_cluster", { ...JOIN, ...identity({ rackId: "a" }) }],
    ["a rack id with a zone's name", "join_cluster", { ...JOIN, ...identity({ rackId: "eu_west-1a" }) }],
    ["two rack ids", "join_cluster", { ...JOIN, ...identity({ rackId: "a", secondRackId: "b-2" }) }],
    ["uid 1 in a create", "create_cluster", { ...CREATE, ...identity({ uid: 1 }) }],
    ["a replacement", "join_cluster", { ...JOIN, ...identity({ uid: 7, overrideRackId: true }) }],
    ["limits", "join_cluster", { ...JOIN, limits: { maxListeners: 100, maxRedisServers: 0 } }],
    ["a bigstore", "join_cluster", { ...JOIN, bigstore: { enabled: true, driver: "speedb" } }],
    [
      "two DNS zones",
      "create_cluster",
      {
        ...CREATE,
        ...suffixes(
          { name: "a.example", cluster_default: true, slaves: ["10.0.0.1"] },
          { name: "b.example" },
        ),
      },
    ],
    ["no license", "create_cluster", { ...CREATE, license: "" }],
    ["a version", "join_cluster", { ...JOIN, requiredVersion: "7.4.2-54" }],
    ["the most tries and waits", "join_cluster", { ...JOIN, maxRetries: 100, retryTimeS: 3600 }],
    ["a recovery from a file, by nobody", "recover_cluster", RECOVER],
    [
      "the documented recovery, with credentials and uid",
      "recover_cluster",
      { ...RECOVER, ...proof(ADMIN), ...identity({ uid: 2 }), recoveryFilename: "ccs/ccs-redis.rdb" },
    ],
    ["a recovery from other agents", "recover_cluster", JOIN],
  ])("%s", (_what, action, request) => {
    expect(errorOf(action, request)).toBeNull();
  });

  test("a member may recover from what it holds itself", () => {
    const bare = { ...NAMELESS, credentials: NOBODY };
    expect(errorOf("recover_cluster", bare, true)).toBeNull();
    expect(badFieldOf("recover_cluster", bare, false).field).toBe("recovery_filename");
  });
});

describe("what contradicts itself is refused, naming the field", () => {
  const zone = { name: "a.example" };
  test.each<[string, BootstrapAction, BootstrapRequest]>([
    ["cluster.name", "create_cluster", NAMELESS],
    ["cluster.name", "create_cluster", { ...CREATE, clusterName: "" }],
    ["cluster.name", "create_cluster", { ...CREATE, clusterName: "under_score" }],
    ["cluster.name", "create_cluster", { ...CREATE, clusterName: "-dash" }],
    ["cluster.name", "create_cluster", { ...CREATE, clusterName: "a".repeat(65) }],
    ["cluster.name", "recover_cluster", { ...RECOVER, clusterName: "-" }],
    ["cluster.nodes", "create_cluster", { ...CREATE, nodes: ["1.1.1.1"] }],
    ["cluster.nodes", "join_cluster", NAMELESS],
    ["cluster.nodes", "join_cluster", { ...JOIN, nodes: Array.from({ length: 65 }, () => "1.1.1.1") }],
    ["cluster.nodes", "recover_cluster", { ...JOIN, nodes: Array.from({ length: 65 }, () => "1.1.1.1") }],
    ["node.paths.persistent_path", "create_cluster", { ...CREATE, paths: { persistent: "data" } }],
    ["node.paths.ephemeral_path", "join_cluster", { ...JOIN, paths: { ephemeral: "/tmp\0" } }],
    ["node.paths.bigstore_path", "join_cluster", { ...JOIN, paths: { bigstore: "" } }],
    ["node.paths.bigstore_path", "join_cluster", { ...JOIN, paths: { bigstore: `/${"a".repeat(4096)}` } }],
    ["node.identity.uid", "create_cluster", { ...CREATE, ...identity({ uid: 2 }) }],
    ["node.identity.uid", "join_cluster", { ...JOIN, ...identity({ uid: 0 }) }],
    ["node.identity.uid", "recover_cluster", { ...RECOVER, ...identity({ uid: 1.5 }) }],
    ["node.identity.rack_id", "join_cluster", { ...JOIN, ...identity({ rackId: "1rack" }) }],
    ["node.identity.rack_id", "join_cluster", { ...JOIN, ...identity({ rackId: "rack-" }) }],
    ["node.identity.rack_id", "join_cluster", { ...JOIN, ...identity({ rackId: "r".repeat(64) }) }],
    ["node.identity.rack_id", "create_cluster", { ...CREATE, rackAware: true }],
    ["node.identity.second_rack_id", "join_cluster", { ...JOIN, ...identity({ secondRackId: "a b" }) }],
    ["node.identity.name", "join_cluster", { ...JOIN, ...identity({ name: "no name" }) }],
    ["node.limits.max_listeners", "join_cluster", { ...JOIN, limits: { maxListeners: -1 } }],
    ["node.limits.max_redis_servers", "join_cluster", { ...JOIN, limits: { maxRedisServers: 65_536 } }],
    ["node.bigstore_driver", "join_cluster", { ...JOIN, bigstore: { driver: "leveldb" } }],
    ["dns_suffixes", "create_cluster", { ...CREATE, ...suffixes(...Array.from({ length: 17 }, () => zone)) }],
    ["dns_suffixes.name", "create_cluster", { ...CREATE, ...suffixes({ name: "a_b" }) }],
    ["dns_suffixes.name", "create_cluster", { ...CREATE, ...suffixes(zone, { name: "A.EXAMPLE" }) }],
    [
      "dns_suffixes.cluster_default",
      "create_cluster",
      {
        ...CREATE,
        ...suffixes({ ...zone, cluster_default: true }, { name: "b.example", cluster_default: true }),
      },
    ],
    ["dns_suffixes.slaves", "create_cluster", { ...CREATE, ...suffixes({ ...zone, slaves: [""] }) }],
    [
      "dns_suffixes.slaves",
      "create_cluster",
      { ...CREATE, ...suffixes({ ...zone, slaves: Array.from({ length: 17 }, () => "10.0.0.1") }) },
    ],
    ["required_version", "join_cluster", { ...JOIN, requiredVersion: "new" }],
    ["required_version", "join_cluster", { ...JOIN, requiredVersion: "1.2" }],
    ["required_version", "join_cluster", { ...JOIN, requiredVersion: "v1.2.3" }],
    ["required_version", "join_cluster", { ...JOIN, requiredVersion: "1.2.3-" }],
    ["max_retries", "join_cluster", { ...JOIN, maxRetries: 101 }],
    ["max_retries", "join_cluster", { ...JOIN, maxRetries: 1.5 }],
    ["retry_time", "join_cluster", { ...JOIN, retryTimeS: -1 }],
    ["cnm_https_port", "join_cluster", { ...JOIN, apiPort: 0 }],
    ["cnm_https_port", "join_cluster", { ...JOIN, apiPort: 65_536 }],
    ["recovery_filename", "create_cluster", { ...CREATE, recoveryFilename: "/backup/1" }],
    ["recovery_filename", "join_cluster", { ...JOIN, recoveryFilename: "/backup/1" }],
    ["recovery_filename", "recover_cluster", { ...RECOVER, recoveryFilename: "a\0b" }],
  ])("%s", (field, action, request) => {
    expect(badFieldOf(action, request).field).toBe(field);
  });
});

describe("credentials: one way to prove oneself, and a whole one", () => {
  test.each<[string, BootstrapAction, Partial<JoinCredentials>]>([
    ["username", "create_cluster", {}],
    ["username", "create_cluster", { password: "p" }],
    ["username", "join_cluster", {}],
    ["username", "join_cluster", { ...ADMIN, username: "a<b" }],
    ["username", "join_cluster", { ...ADMIN, username: "a".repeat(257) }],
    ["username", "join_cluster", { ...ADMIN, username: "a:b" }],
    ["username", "join_cluster", { ...ADMIN, username: "a\nb" }],
    ["password", "create_cluster", { username: "admin" }],
    ["password", "join_cluster", { ...ADMIN, password: "a\0b" }],
    ["password", "join_cluster", { ...ADMIN, password: "p".repeat(1025) }],
    ["token", "join_cluster", { ...ADMIN, token: "t" }],
    ["token", "join_cluster", { username: "admin", token: "t" }],
    ["token", "join_cluster", { token: "t", clientCert: CERTIFICATE, clientKey: KEY }],
    ["token", "join_cluster", { token: "t".repeat(TOKEN_CHARS_MAX + 1) }],
    ["token", "create_cluster", { ...ADMIN, token: "t" }],
    ["token", "recover_cluster", { token: "t" }],
    ["client_cert", "join_cluster", { ...ADMIN, clientCert: CERTIFICATE, clientKey: KEY }],
    ["client_cert", "join_cluster", { clientKey: KEY }],
    ["client_cert", "join_cluster", { clientCert: "no PEM", clientKey: KEY }],
    ["client_cert", "create_cluster", { clientCert: CERTIFICATE, clientKey: KEY }],
    [
      "client_cert",
      "join_cluster",
      { clientCert: CERTIFICATE.padEnd(CERTIFICATE_CHARS_MAX + 1), clientKey: KEY },
    ],
    ["client_key", "join_cluster", { clientCert: CERTIFICATE }],
    ["client_key", "join_cluster", { clientCert: CERTIFICATE, clientKey: CERTIFICATE }],
    ["client_key", "join_cluster", { ...ADMIN, clientKey: KEY }],
    ["trusted_ca", "join_cluster", { ...ADMIN, trustedCa: "my CA" }],
  ])("%s of %s", (field, action, credentials) => {
    const request = { ...(action === "create_cluster" ? CREATE : JOIN), ...proof(credentials) };
    expect(badFieldOf(action, request).field).toBe(`credentials.${field}`);
  });

  test("no secret is in what is told", () => {
    const credentials = { username: "a<b", password: "geheim", clientKey: "geheim", token: "geheim" };
    expect(errorOf("join_cluster", { ...JOIN, credentials })?.message).not.toContain("geheim");
  });

  test("a recovery names an administrator when other agents are asked, and then a whole one", () => {
    const asked = { ...JOIN, ...proof({}) };
    expect(badFieldOf("recover_cluster", asked, true).field).toBe("credentials.username");
    expect(badFieldOf("recover_cluster", { ...RECOVER, ...proof({ username: "admin" }) }).field).toBe(
      "credentials.password",
    );
  });
});

test("a bad license is told as such, with what is wrong with it, once all else is right", () => {
  const error = errorOf("create_cluster", { ...CREATE, license: "none" });
  expect(error).toMatchObject({ kind: "invalid_license", facts: { violation: "bad_format" } });
  expect(badFieldOf("create_cluster", { ...NAMELESS, license: "none" }).field).toBe("cluster.name");
});

test("an attempt may take as long as the tries and waits that were asked for", () => {
  expect(attemptMsMax(JOIN)).toBe(ATTEMPT_MS_MAX);
  expect(attemptMsMax({ ...JOIN, maxRetries: 2, retryTimeS: 30 })).toBe(3 * ATTEMPT_MS_MAX + 60_000);
});
