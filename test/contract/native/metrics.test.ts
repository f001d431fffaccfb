import { afterEach, beforeEach, expect, test } from "vitest";

import { ADMIN, FakeApi } from "#test/support/fake-api.ts";

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
});
afterEach(() => api[Symbol.asyncDispose]());

const get = (url: string, headers: Record<string, string> = ADMIN) => api.app.inject({ url, headers });

test("numbers are told to users, in the text format of Prometheus", async () => {
  expect((await get("/muster/v1/metrics", {})).statusCode).toBe(401);
  const { statusCode, headers, body } = await get("/muster/v1/metrics");
  expect(statusCode).toBe(200);
  expect(headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(body).toContain("# TYPE muster_registry_applied_index gauge\nmuster_registry_applied_index 1\n");
});

test("requests are counted by dialect and status, and made-up methods as one", async () => {
  await get("/api/v1/zone");
  await get("/api/v1/zone", {});
  await get("/nowhere");
  const { body } = await get("/muster/v1/metrics");
  expect(body).toContain('muster_http_requests_total{dialect="orchestrator",method="GET",status="200"} 1');
  expect(body).toContain('muster_http_requests_total{dialect="orchestrator",method="GET",status="401"} 1');
  expect(body).toContain('muster_http_requests_total{dialect="none",method="GET",status="404"} 1');
});
