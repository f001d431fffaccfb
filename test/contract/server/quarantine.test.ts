import { afterEach, beforeEach, expect, test } from "vitest";

import { ADMIN, FakeApi } from "#test/support/fake-api.ts";

const WHY = "the registry on this agent is damaged (at 70 it differs from 2 others')";

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
  const well = api.registry.status();
  api.registry.status = () => ({ ...well, halted: WHY, quarantined: true });
});
afterEach(() => api[Symbol.asyncDispose]());

test.each([
  ["GET", "/api/v1/zone"],
  ["GET", "/api/v1/registry/node?consistency=stale"],
  ["GET", "/muster/v1/members"],
  ["POST", "/api/v1/zone"],
])("a damaged registry is not served: %s %s is 503 and says why", async (method, url) => {
  const headers = { ...ADMIN, "content-type": "application/json" };
  const payload = method === "POST" ? '{"name":"a"}' : undefined;
  const answer = await api.app.inject({
    method: method as "GET",
    url,
    headers,
    ...(payload !== undefined && { payload }),
  });
  expect(answer.statusCode).toBe(503);
  expect(answer.body).toContain(WHY);
});

test("what this agent says of itself is served all the same", async () => {
  const status = await api.app.inject({ url: "/muster/v1/status", headers: ADMIN });
  expect(status.statusCode).toBe(200);
  expect(status.json().registry.halted).toBe(WHY);
  const ready = await api.app.inject({ url: "/muster/v1/health/ready" });
  expect([ready.statusCode, ready.json().reason]).toEqual([503, WHY]);
});
