import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ADMIN, FakeApi, VIEWER } from "#test/support/fake-api.ts";

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

describe("who may start a bootstrap", () => {
  function from(remoteAddress: string, allow: FakeApi) {
    return allow.app.inject({
      method: "POST",
      url: "/v1/bootstrap/create_cluster",
      payload: SMALLEST,
      remoteAddress,
    });
  }

  test.each([
    ["127.0.0.1", 200],
    ["127.8.9.1", 200],
    ["::1", 200],
    ["::ffff:127.0.0.1", 200],
    ["10.0.0.1", 403],
    ["::ffff:10.0.0.1", 403],
    // An address that contains ::1 is no loopback address.
    ["2001:db8::1", 403],
    ["fe80::1%eth0", 403],
  ])("from %s: %i", async (address, status) => {
    expect((await from(address, api)).statusCode).toBe(status);
  });

  test("a stranger is told why, in this API's form", async () => {
    const answer = await from("10.0.0.1", api);
    expect(answer.json().error_code).toBe("forbidden");
    expect(answer.json().description).toContain("bootstrap.allow_from");
  });

  test.each([
    ["10.1.2.3", 200],
    ["::ffff:10.1.2.3", 200],
    ["11.1.2.3", 403],
    ["192.168.7.7", 200],
    ["192.168.7.8", 403],
    ["2001:db8:1::5", 200],
    ["2001:db8:2::5", 403],
    ["172.16.3.3", 200],
  ])("bootstrap.allow_from decides about %s: %i", async (address, status) => {
    const allowing = new FakeApi({
      bootstrapAllowFrom: [
        { address: "10.0.0.0", prefixLength: 8 },
        { address: "192.168.7.7", prefixLength: 32 },
        { address: "2001:db8:1::", prefixLength: 48 },
        { address: "::ffff:172.16.0.0", prefixLength: 108 },
      ],
    });
    await using _ = allowing;
    expect((await from(address, allowing)).statusCode).toBe(status);
  });

  test("looking is for everybody, before there is a cluster", async () => {
    const answer = await api.app.inject({ method: "GET", url: "/v1/bootstrap", remoteAddress: "10.0.0.1" });
    expect(answer.statusCode).toBe(200);
  });

  test.each([
    "/v1/bootstrap/recover_cluster",
    "/v1/boostrap/recover_cluster",
    "/bootstrap/recover_cluster",
    "/v1/bootstrap/validate/recover_cluster",
  ])("on a member only an administrator: %s", async (path) => {
    await api.createCluster();
    await api.addViewer();
    const refused = await post(path, {}, VIEWER);
    expect([refused.statusCode, refused.json().error_code]).toEqual([403, "forbidden"]);
    expect(api.bootstrap.started).toEqual([]);
    expect((await post(path, {}, ADMIN)).statusCode).not.toBe(403);
  });

  test("a page of another site cannot start one through this host's browser", async () => {
    const headers = { "sec-fetch-site": "cross-site", "content-type": "text/plain" };
    const answer = await post("/v1/bootstrap/create_cluster", JSON.stringify(SMALLEST), headers);
    expect([answer.statusCode, answer.json().error_code]).toEqual([403, "forbidden"]);
  });
});
