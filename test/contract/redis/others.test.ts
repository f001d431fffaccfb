import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { AppError } from "#shared/errors/app-error.ts";
import { ADMIN, FakeApi } from "#test/support/fake-api.ts";

import { SMALLEST } from "./requests.ts";

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

function post(path: string, payload: object | string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "POST", url: path, payload, headers });
}

function get(url: string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "GET", url, headers });
}

describe("everything else of the API", () => {
  test.each([
    "/v1/bdbs",
    "/v1/bdbs/1",
    "/v1/modules",
    "/v1/roles",
    "/v1/redis_acls",
    "/v1/bootstrap/validate",
    "/v1",
  ])("%s: 503 before a cluster, then 401, then 404", async (path) => {
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
  });

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

  test("a kind of error that is no fault of a field has a code and a sentence", async () => {
    const kinds: AppError[] = [
      new AppError("quorum_lost", { leader: null, missing: ["host-2"] }),
      new AppError("outcome_unknown", { key: "k" }),
      new AppError("overloaded", { what: "the queue" }),
    ];
    for (const error of kinds) {
      api.bootstrap.start = () => Promise.reject(error);
      const answer = await post("/v1/bootstrap/create_cluster", SMALLEST);
      expect(answer.json()).toEqual({ error_code: error.kind, description: error.message });
      expect(answer.headers["retry-after"]).toBe(answer.statusCode === 503 ? "1" : undefined);
    }
  });
});
