import { describe, expect, test } from "vitest";

import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { ErrorFacts, ErrorKind } from "#shared/errors/kinds.ts";

/** One example of every kind; a new kind without one does not compile. */
const FACTS = {
  bad_request: { field: "name", rule: "is required" },
  not_found: { what: "/nowhere" },
  method_not_allowed: { allowed: ["GET", "HEAD"] },
  too_large: { what: "the body", limit_bytes: 1024 },
  unauthenticated: {},
  forbidden: { needs: "write" },
  too_many_attempts: { retry_after_s: 7 },
  precondition_failed: { what: "the zone 1" },
  idempotency_key_reused: { key: "k" },
  overloaded: { what: "the registry" },
  not_in_cluster: {},
  quorum_lost: { leader: null, missing: ["host-2", "host-3"] },
  outcome_unknown: { key: "k" },
  index_not_reached: { index: 4, wanted: 5 },
  request_expired: {},
  unknown_command: { type: "zone.paint" },
  peer_unreachable: { peer: "host-2" },
  peer_timeout: { peer: "host-2" },
  peer_refused: { peer: "host-2", reason: "busy" },
  bootstrap_in_progress: {},
  already_in_cluster: {},
  config_error: { field: "cluster.name", rule: "is required" },
  connect_error: { tried: [{ address: "10.0.0.1:9443", cause: "refused" }] },
  access_denied: {},
  invalid_license: { violation: "expired" },
  repair_required: { failed_nodes: [{ uid: 2 }], replace_candidate: 2 },
  insufficient_node_memory: { required_memory: 4096 },
  insufficient_node_flash: { required_flash: 4096 },
  time_not_sync: { offset_ms: 6000, limit_ms: 5000 },
  rack_id_required: { current_rack_ids: ["a"] },
  socket_directory_mismatch: { expected: "/a", actual: "/b" },
  node_config_mismatch: { setting: "x", expected: "1", actual: "2" },
  path_error: { path: "/data", cause: "read-only" },
  internal_error: { incident: "incident-1" },
  member_exists: { peer: "peer-2" },
  member_removed: { peer: "peer-2" },
  member_not_found: { peer: "peer-2" },
  member_name_exists: { name: "host-2" },
  cluster_exists: {},
  user_exists: { name: "alice" },
  user_not_found: { name: "alice" },
  zone_exists: { name: "one" },
  zone_not_found: { zone: "1" },
  zone_in_use: { zone: "1", nodes: ["uuid-1", "uuid-2"] },
  zones_weights_error: { reason: "these zones do not exist: 9" },
  node_already_registered: { node: "uuid-1" },
  node_not_discovered: { node: "uuid-1" },
  node_not_registered: { node: "uuid-1" },
  node_in_use: { node: "uuid-1", replicaset: "rs-1" },
  limit_reached: { what: "zones", limit: 4096 },
} as const satisfies { readonly [K in ErrorKind]: ErrorFacts[K] };

const examples = Object.entries(FACTS) as [ErrorKind, ErrorFacts[ErrorKind]][];

describe.each(examples)("%s", (kind, facts) => {
  const error = new AppError(kind, facts);

  test("says its facts in one sentence", () => {
    expect(error.message).not.toMatch(/undefined|\[object|NaN|\n/);
    expect(error.message.length).toBeGreaterThan(10);
  });

  test("survives being data", () => {
    const copy = AppError.of(structuredClone(error.toRefusal()));
    expect(copy).toBeInstanceOf(AppError);
    expect({ kind: copy.kind, facts: copy.facts, message: copy.message }).toEqual({
      kind,
      facts,
      message: error.message,
    });
  });
});

test("every fact that a person needs is in the sentence", () => {
  expect(new AppError("quorum_lost", FACTS.quorum_lost).message).toContain("host-2, host-3");
  expect(new AppError("quorum_lost", { leader: null, missing: [] }).message).toContain("no leader is known");
  expect(new AppError("zone_in_use", FACTS.zone_in_use).message).toContain("uuid-1, uuid-2");
  expect(new AppError("connect_error", FACTS.connect_error).message).toContain("10.0.0.1:9443: refused");
});

test("a message of one's own replaces the sentence", () => {
  expect(new AppError("not_found", { what: "x" }, "there is no page here").message).toBe(
    "there is no page here",
  );
});

test("isKind looks at the kind and at nothing that merely looks like an AppError", () => {
  const error: unknown = new AppError("zone_exists", { name: "one" });
  expect(isKind(error, "zone_exists")).toBe(true);
  expect(isKind(error, "zone_not_found")).toBe(false);
  expect(isKind({ kind: "zone_exists", facts: {} }, "zone_exists")).toBe(false);
});
