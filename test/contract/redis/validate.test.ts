import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { BootstrapFailure } from "#shared/bootstrap/machine.ts";
import type { CopyInfo } from "#shared/bootstrap/recovery.ts";
import { ADMIN, FakeApi, SEED_TIME } from "#test/support/fake-api.ts";

import { CREATE, JOIN, SMALLEST } from "./requests.ts";

// Goal: a rehearsal answers 200 or 406, and 409 where the action would; it starts nothing.

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  expect(api.bootstrap.started).toEqual([]);
  await api[Symbol.asyncDispose]();
});

function validate(action: string, payload: object | string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "POST", url: `/v1/bootstrap/validate/${action}`, payload, headers });
}

describe("POST /v1/bootstrap/validate/{action}", () => {
  test.each(["/v1/bootstrap", "/v1/boostrap", "/bootstrap"])("%s: 200 and nothing at all", async (path) => {
    for (const [action, payload] of [
      ["create_cluster", CREATE],
      ["join_cluster", JOIN],
    ] as const) {
      const url = `${path}/validate/${action}`;
      const answer = await api.app.inject({ method: "POST", url, payload });
      expect([answer.statusCode, answer.body]).toEqual([200, ""]);
    }
    expect(api.bootstrap.state).toEqual({ name: "idle" });
  });

  /** One failure of each code of seed 003, with what its table says of `error_details`. */
  const FAILURES: readonly BootstrapFailure[] = [
    {
      code: "connect_error",
      details: { message: "m", tried: [{ address: "1.1.1.1:9443", cause: "refused" }] },
    },
    { code: "access_denied", details: { message: "m" } },
    { code: "invalid_license", details: { message: "m", violation: "bad_format" } },
    {
      code: "repair_required",
      details: { message: "m", failed_nodes: [{ uid: 2, rack_id: "r" }], replace_candidate: 2 },
    },
    { code: "insufficient_node_memory", details: { message: "m", required_memory: 4096 } },
    { code: "insufficient_node_flash", details: { message: "m", required_flash: 4096 } },
    { code: "time_not_sync", details: { message: "m", offset_ms: 9000, limit_ms: 5000 } },
    { code: "rack_id_required", details: { message: "m", current_rack_ids: ["a"] } },
    { code: "socket_directory_mismatch", details: { message: "m", expected: "/a", actual: "/b" } },
    { code: "node_config_mismatch", details: { message: "m", setting: "s", expected: "1", actual: "2" } },
    { code: "path_error", details: { message: "m", path: "/p", cause: "ENOENT" } },
    { code: "config_error", details: { message: "m", field: "node.identity.uid", rule: "r" } },
    { code: "internal_error", details: { message: "m", incident: "i-1" } },
  ];
  test.each(FAILURES)("$code is told with its details, as GET would after the action", async (failure) => {
    api.bootstrap.validation = { ok: false, failure };
    const answer = await validate("join_cluster", JOIN);
    const { code: error_code, details: error_details } = failure;
    expect([answer.statusCode, answer.json()]).toEqual([
      406,
      {
        error_code,
        description: "m",
        error_details,
        bootstrap_status: { state: "error", error_code, error_details },
      },
    ]);
    const at = { attempt: 1, startedAt: SEED_TIME, endedAt: SEED_TIME };
    api.bootstrap.state = { name: "error", action: "join_cluster", ...at, failure };
    const { json } = await api.app.inject({ method: "GET", url: "/v1/bootstrap" });
    expect(json().bootstrap_status).toMatchObject(answer.json().bootstrap_status);
  });

  test.each([
    ["no JSON", "{nope", "body"],
    ["a wrong type", { ...SMALLEST, max_retries: "3" }, "max_retries"],
    ["what the domain refuses", { ...SMALLEST, cluster: { name: "no name!" } }, "cluster.name"],
    ["another action", { ...SMALLEST, action: "join_cluster" }, "action"],
  ])("%s is a finding, too: 406 config_error", async (_what, body, field) => {
    const answer = await validate("create_cluster", body);
    expect([answer.statusCode, answer.json()]).toMatchObject([
      406,
      {
        error_code: "config_error",
        error_details: { field },
        bootstrap_status: { state: "error", error_code: "config_error", error_details: { field } },
      },
    ]);
  });

  test("of a recovery it tells what would be done and what lost", async () => {
    const copy: CopyInfo = {
      source: "agent",
      where: "10.0.0.2:9443",
      peer: "12D3KooWOther",
      clusterId: "c-1",
      clusterName: "my.cluster",
      incarnation: 1,
      term: 7,
      index: 420,
      at: SEED_TIME,
      ageMs: 1234.5,
    };
    const file: CopyInfo = {
      ...copy,
      source: "file",
      where: "/backup.json",
      peer: null,
      index: 400,
      ageMs: null,
    };
    api.bootstrap.validation = {
      ok: true,
      recovery: {
        candidates: [copy, file],
        chosen: copy,
        incarnation: 2,
        uid: 3,
        rejoin: [{ uid: 1, name: "host-1" }],
        unreachable: [{ address: "10.0.0.9:9443", cause: "timed out" }],
        losses: ["what only 10.0.0.9 had is lost"],
      },
    };
    const answer = await validate("recover_cluster", { recovery_filename: "/backup.json" });
    const told = {
      cluster_id: "c-1",
      cluster_name: "my.cluster",
      incarnation: 1,
      term: 7,
      time: "2014-08-29T11:19:49Z",
    };
    const best = { ...told, source: "agent", where: "10.0.0.2:9443", index: 420, age_ms: 1235 };
    const other = { ...told, source: "file", where: "/backup.json", index: 400, age_ms: null };
    expect([answer.statusCode, answer.json()]).toEqual([
      200,
      {
        candidates: [best, other],
        chosen: best,
        incarnation: 2,
        uid: 3,
        rejoin: [{ uid: 1, name: "host-1" }],
        unreachable: [{ address: "10.0.0.9:9443", cause: "timed out" }],
        losses: ["what only 10.0.0.9 had is lost"],
      },
    ]);
  });

  test("409 where the action would not be taken", async () => {
    api.bootstrap.state = { name: "initiated", action: "join_cluster", attempt: 1, startedAt: SEED_TIME };
    const busy = await validate("join_cluster", JOIN);
    expect([busy.statusCode, busy.json().error_code]).toEqual([409, "bootstrap_in_progress"]);
    await api.createCluster();
    expect((await validate("join_cluster", JOIN)).statusCode).toBe(401);
    for (const action of ["create_cluster", "join_cluster", "recover_cluster"]) {
      const answer = await validate(action, SMALLEST, ADMIN);
      expect([answer.statusCode, answer.json().error_code]).toEqual([409, "already_in_cluster"]);
    }
  });

  test("a member without a leader may rehearse a recovery", async () => {
    await api.createCluster();
    api.bootstrap.lost = 1;
    expect((await validate("recover_cluster", {}, ADMIN)).statusCode).toBe(200);
  });

  test("it is for those who may start one", async () => {
    const url = "/v1/bootstrap/validate/create_cluster";
    const remote = { method: "POST", url, payload: SMALLEST, remoteAddress: "10.0.0.1" } as const;
    expect((await api.app.inject(remote)).statusCode).toBe(403);
  });

  test("a failure of ours is told with an incident, and no more", async () => {
    api.bootstrap.validate = () => Promise.reject(new Error("the disk said: redis"));
    const answer = await validate("create_cluster", SMALLEST);
    expect([answer.statusCode, answer.json().error_code]).toEqual([500, "internal_error"]);
    expect(answer.body).not.toContain("disk said");
  });
});
