import { describe, expect, test } from "vitest";

import { ATTEMPT_MS_MAX, attemptMsMax, checkRequest } from "#shared/bootstrap/check.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";

const CREATE: BootstrapRequest = {
  clusterName: "my.cluster",
  nodes: [],
  apiPort: 9443,
  credentials: { username: "admin@example.com", password: "123456" },
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

describe("what real clients send is accepted", () => {
  test.each<[string, "create_cluster" | "join_cluster", BootstrapRequest]>([
    ["the seed's create", "create_cluster", CREATE],
    ["the seed's join", "join_cluster", JOIN],
    ["a name of one label", "create_cluster", { ...CREATE, clusterName: "docker-cluster" }],
    ["a name with a final dot", "create_cluster", { ...CREATE, clusterName: "my.cluster." }],
    [
      "a short password",
      "create_cluster",
      { ...CREATE, credentials: { ...CREATE.credentials, password: "x" } },
    ],
    ["a join by name alone", "join_cluster", { ...NAMELESS, clusterName: "my.cluster" }],
    ["a rack id of one letter", "join_cluster", { ...JOIN, identity: { externalAddrs: [], rackId: "a" } }],
    [
      "a rack id with a zone's name",
      "join_cluster",
      { ...JOIN, identity: { externalAddrs: [], rackId: "eu_west-1a" } },
    ],
    ["uid 1 in a create", "create_cluster", { ...CREATE, identity: { externalAddrs: [], uid: 1 } }],
  ])("%s", (_what, action, request) => {
    expect(checkRequest(action, request)).toBeNull();
  });
});

describe("what contradicts itself is refused, naming the field", () => {
  const identity = (more: object) => ({ identity: { externalAddrs: [], ...more } });
  test.each<[string, "create_cluster" | "join_cluster" | "recover_cluster", BootstrapRequest]>([
    ["action", "recover_cluster", CREATE],
    ["cluster.name", "create_cluster", NAMELESS],
    ["cluster.name", "create_cluster", { ...CREATE, clusterName: "" }],
    ["cluster.name", "create_cluster", { ...CREATE, clusterName: "under_score" }],
    ["cluster.name", "create_cluster", { ...CREATE, clusterName: "-dash" }],
    ["cluster.name", "create_cluster", { ...CREATE, clusterName: "a".repeat(65) }],
    ["cluster.nodes", "create_cluster", { ...CREATE, nodes: ["1.1.1.1"] }],
    ["cluster.nodes", "join_cluster", NAMELESS],
    ["cluster.nodes", "join_cluster", { ...JOIN, nodes: Array.from({ length: 65 }, () => "1.1.1.1") }],
    [
      "credentials.username",
      "create_cluster",
      { ...CREATE, credentials: { ...CREATE.credentials, username: "" } },
    ],
    [
      "credentials.username",
      "create_cluster",
      { ...CREATE, credentials: { ...CREATE.credentials, username: "a<b" } },
    ],
    [
      "credentials.username",
      "create_cluster",
      { ...CREATE, credentials: { ...CREATE.credentials, username: "a".repeat(257) } },
    ],
    [
      "credentials.username",
      "create_cluster",
      { ...CREATE, credentials: { ...CREATE.credentials, username: "a:b" } },
    ],
    [
      "credentials.username",
      "create_cluster",
      { ...CREATE, credentials: { ...CREATE.credentials, username: "a\nb" } },
    ],
    [
      "credentials.password",
      "create_cluster",
      { ...CREATE, credentials: { ...CREATE.credentials, password: "a\0b" } },
    ],
    ["node.paths.persistent_path", "create_cluster", { ...CREATE, paths: { persistent: "data" } }],
    ["node.paths.ephemeral_path", "join_cluster", { ...JOIN, paths: { ephemeral: "/tmp\0" } }],
    ["node.paths.bigstore_path", "join_cluster", { ...JOIN, paths: { bigstore: "" } }],
    ["credentials.password", "join_cluster", { ...JOIN, credentials: { ...JOIN.credentials, password: "" } }],
    [
      "credentials.password",
      "join_cluster",
      { ...JOIN, credentials: { ...JOIN.credentials, password: "p".repeat(1025) } },
    ],
    ["node.identity.rack_id", "join_cluster", { ...JOIN, ...identity({ rackId: "1rack" }) }],
    ["node.identity.rack_id", "join_cluster", { ...JOIN, ...identity({ rackId: "rack-" }) }],
    ["node.identity.rack_id", "join_cluster", { ...JOIN, ...identity({ rackId: "r".repeat(64) }) }],
    ["node.identity.rack_id", "create_cluster", { ...CREATE, rackAware: true }],
    ["node.identity.name", "join_cluster", { ...JOIN, ...identity({ name: "no name" }) }],
    ["node.identity.uid", "create_cluster", { ...CREATE, ...identity({ uid: 2 }) }],
    ["max_retries", "join_cluster", { ...JOIN, maxRetries: 101 }],
    ["max_retries", "join_cluster", { ...JOIN, maxRetries: 1.5 }],
    ["retry_time", "join_cluster", { ...JOIN, retryTimeS: -1 }],
    ["cnm_https_port", "join_cluster", { ...JOIN, apiPort: 0 }],
    ["cnm_https_port", "join_cluster", { ...JOIN, apiPort: 65_536 }],
  ])("%s", (field, action, request) => {
    expect(checkRequest(action, request)?.field).toBe(field);
  });
});

test("an attempt may take as long as the tries and waits that were asked for", () => {
  expect(attemptMsMax(JOIN)).toBe(ATTEMPT_MS_MAX);
  expect(attemptMsMax({ ...JOIN, maxRetries: 2, retryTimeS: 30 })).toBe(3 * ATTEMPT_MS_MAX + 60_000);
});
