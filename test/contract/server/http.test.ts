import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { AppError } from "#shared/errors/app-error.ts";
import { HTTP_BODY_BYTES_MAX, HTTP_URL_BYTES_MAX } from "#shared/lib/limits.ts";
import { ADMIN, FakeApi, SELF_PEER } from "#test/support/fake-api.ts";

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

function get(url: string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: "GET", url, headers: { ...ADMIN, ...headers } });
}

/** One path of each dialect that needs a user and reads. */
const READS = ["/v1/bootstrap", "/api/v1/registry/node", "/muster/v1/members"];

describe("every read says how fresh it is", () => {
  test.each(READS)("%s", async (path) => {
    const { headers } = await get(path);
    expect(headers["x-muster-index"]).toBe("1");
    expect(headers["x-muster-leader"]).toBe("host-1.example");
    expect(headers["x-muster-age-ms"]).toBe("0");
  });

  test("also when it cannot be answered", async () => {
    api.registry.quorum = false;
    const answer = await get("/muster/v1/members?consistency=linearizable");
    expect([answer.statusCode, answer.headers["x-muster-index"]]).toEqual([503, "1"]);
  });

  test("a leader that is no member (any more) is told by its peer id; an unknown age or leader is left out", async () => {
    const status = api.registry.status.bind(api.registry);
    api.registry.status = () => ({ ...status(), leader: "12D3KooWGone", ageMs: null });
    const { headers } = await get("/muster/v1/members");
    expect([headers["x-muster-leader"], headers["x-muster-age-ms"]]).toEqual(["12D3KooWGone", undefined]);
    api.registry.status = () => ({ ...status(), leader: null });
    expect((await get("/muster/v1/members")).headers).not.toHaveProperty("x-muster-leader");
  });

  test("the index is that of what was read, not of what came after", async () => {
    // Another write is applied between the handler's look and the answer.
    api.app.addHook("preSerialization", async () => {
      if (api.registry.state.index === 1) await api.addMember();
    });
    const answer = await get("/muster/v1/members");
    expect(api.registry.state.index).toBe(2);
    expect(answer.json().members).toHaveLength(1);
    expect(answer.headers["x-muster-index"]).toBe("1");
  });

  test("a write says the index at which it can be read", async () => {
    const write = await api.app.inject({
      method: "POST",
      url: "/api/v1/zone",
      payload: { name: "z" },
      headers: ADMIN,
    });
    expect(write.headers["x-muster-index"]).toBe(String(api.registry.state.index));
  });

  test("strangers are told nothing of it", async () => {
    const answer = await api.app.inject({ method: "GET", url: "/muster/v1/members" });
    expect(Object.keys(answer.headers).filter((name) => name.startsWith("x-muster"))).toEqual([]);
  });
});

describe("every read can be asked to be fresh", () => {
  test.each(READS)("%s takes consistency and min_index", async (path) => {
    for (const query of [
      "consistency=stale",
      "consistency=default",
      "consistency=linearizable",
      "min_index=1",
      "min_index=0&wait=500ms",
      "consistency=linearizable&min_index=1&wait=10m",
    ]) {
      expect([query, (await get(`${path}?${query}`)).statusCode]).toEqual([query, 200]);
    }
  });

  test.each(READS)("%s refuses what it cannot read", async (path) => {
    for (const query of [
      "consistency=strong",
      "min_index=-1",
      "min_index=1.5",
      "min_index=x",
      "min_index=1&min_index=2",
      "min_index=1&wait=5",
      "min_index=1&wait=11m",
      "min_index=1&wait=-1s",
    ]) {
      expect([query, (await get(`${path}?${query}`)).statusCode]).toEqual([query, 400]);
    }
  });

  test("linearizable asks for a barrier; without a majority it is 503 in the dialect's form", async () => {
    let barriers = 0;
    const readBarrier = api.registry.readBarrier.bind(api.registry);
    api.registry.readBarrier = () => {
      barriers += 1;
      return readBarrier();
    };
    await get("/v1/bootstrap?consistency=linearizable");
    await get("/v1/bootstrap?consistency=default");
    expect(barriers).toBe(1);
    api.registry.quorum = false;
    const redis = await get("/v1/bootstrap?consistency=linearizable");
    expect([redis.statusCode, redis.json().error_code, redis.headers["retry-after"]]).toEqual([
      503,
      "quorum_lost",
      "1",
    ]);
    const orchestrator = await get("/api/v1/registry/node?consistency=linearizable");
    expect([orchestrator.statusCode, orchestrator.json().status]).toEqual([503, false]);
    expect((await get("/v1/bootstrap?consistency=stale")).statusCode).toBe(200);
  });

  test("min_index waits for that index, as long as it is told to", async () => {
    const waits: unknown[] = [];
    api.registry.waitForIndex = async (index: number, options?: { readonly timeoutMs: number }) => {
      waits.push([index, options?.timeoutMs]);
      await api.addMember();
      return index;
    };
    const answer = await get("/muster/v1/members?min_index=2&wait=500ms");
    expect(waits).toEqual([[2, 500]]);
    expect(answer.json().members).toHaveLength(2);
    expect(answer.headers["x-muster-index"]).toBe("2");
    await get("/muster/v1/members?min_index=3");
    expect(waits[1]).toEqual([3, 5000]);
  });

  test("an index that does not come in time is 503", async () => {
    const answer = await get("/muster/v1/members?min_index=99&wait=1ms");
    expect([answer.statusCode, answer.json().error]).toEqual([
      503,
      {
        code: "index_not_reached",
        message: "this agent has applied index 1, not yet 99",
        facts: { index: 1, wanted: 99 },
      },
    ]);
  });

  test("credentials are asked for first", async () => {
    const url = "/muster/v1/members?min_index=99&wait=10m";
    expect((await api.app.inject({ method: "GET", url })).statusCode).toBe(401);
  });
});

describe("limits and forms", () => {
  const FORMS = [
    ["/v1/nothing", "error_code"],
    ["/api/v1/nothing", "status"],
    ["/muster/v1/nothing", "error"],
    ["/nothing", "error"],
    ["/v1x", "error"],
  ] as const;
  test.each(FORMS)("404 of %s in its dialect's form", async (path, key) => {
    const answer = await get(path);
    expect(answer.statusCode).toBe(404);
    expect(answer.json()).toHaveProperty(key);
  });

  test("405 of each dialect, with Allow", async () => {
    for (const url of ["/v1/bootstrap", "/api/v1/zone", "/muster/v1/members"]) {
      const answer = await api.app.inject({ method: "PATCH", url, headers: ADMIN });
      expect([url, answer.statusCode]).toEqual([url, 405]);
      expect(answer.headers["allow"]).toMatch(/GET|POST/);
    }
  });

  test("a path that cannot be decoded is 400 in its dialect's form", async () => {
    const answer = await get("/api/v1/zone/%zz");
    expect([answer.statusCode, answer.json().status]).toEqual([400, false]);
  });

  test("a body that is too large", async () => {
    const payload = JSON.stringify({ name: "x".repeat(HTTP_BODY_BYTES_MAX) });
    const answer = await api.app.inject({ method: "POST", url: "/api/v1/zone", payload, headers: ADMIN });
    expect([answer.statusCode, answer.json().error.message]).toEqual([413, "too_large"]);
  });

  test("a URL that is too long", async () => {
    const answer = await get(`/muster/v1/members?x=${"y".repeat(HTTP_URL_BYTES_MAX)}`);
    expect([answer.statusCode, answer.json().error.code]).toEqual([413, "too_large"]);
  });

  test("a body is never coerced", async () => {
    for (const payload of [{ name: 5 }, { name: true }, { name: null }, { name: ["z"] }, "z"]) {
      const answer = await api.app.inject({
        method: "POST",
        url: "/api/v1/zone",
        payload: JSON.stringify(payload),
        headers: ADMIN,
      });
      expect(answer.statusCode).toBe(400);
    }
  });

  test("request ids: the caller's own, or a new one", async () => {
    expect((await get("/muster/v1/members", { "x-request-id": "abc-1" })).headers["x-request-id"]).toBe(
      "abc-1",
    );
    const made = (await get("/muster/v1/members", { "x-request-id": "a b" })).headers["x-request-id"];
    expect(made).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("nothing is cached, framed or sniffed", async () => {
    const { headers } = await get("/muster/v1/members");
    expect(headers["cache-control"]).toBe("no-store");
    expect(headers["x-content-type-options"]).toBe("nosniff");
    expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'");
  });

  test("a defect is 500 with an incident that the log explains", async () => {
    api.membership.view = () => {
      throw new TypeError("secret detail");
    };
    await api.addMember();
    const answer = await get("/muster/v1/members");
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain("secret detail");
    const [line] = api.log.matching("request failed");
    const { incident, err } = (line?.fields ?? {}) as { incident: string; err: Error };
    expect(answer.json().error.facts).toEqual({ incident });
    expect(err.message).toBe("secret detail");
  });

  test("the log tells who asked for what, and no secrets", async () => {
    await get("/muster/v1/members?token=hush");
    const [line] = api.log.matching("request");
    expect(line?.level).toBe("debug");
    expect(line?.fields).toMatchObject({
      request: expect.any(String),
      method: "GET",
      path: "/muster/v1/members",
      status: 200,
      user: "admin",
      from: "127.0.0.1",
    });
    const all = JSON.stringify(api.log.lines);
    expect(all).not.toContain("hush");
    expect(all).not.toContain(ADMIN.authorization.slice(6));
  });

  test("probes are no news, even when the answer is that this agent is not ready", async () => {
    const status = api.registry.status();
    api.registry.status = () => ({ ...status, halted: "entry 7 is of a type this version does not know" });
    expect((await get("/muster/v1/health/ready")).statusCode).toBe(503);
    expect((await get("/muster/v1/health/live")).statusCode).toBe(200);
    expect(api.log.matching("request").map(({ level }) => level)).toEqual(["debug", "debug"]);
  });

  test("a route without a gate stops the server", () => {
    expect(() => api.app.get("/forgotten", async () => "x")).toThrow("GET /forgotten declares no gate");
  });

  test("every AppError of a route comes out in its dialect's form", async () => {
    api.registry.submit = () => Promise.reject(new AppError("outcome_unknown", { key: "k-9" }));
    const answer = await api.app.inject({
      method: "DELETE",
      url: `/muster/v1/members/${SELF_PEER}`,
      headers: ADMIN,
    });
    expect([answer.statusCode, answer.json().error.facts]).toEqual([504, { key: "k-9" }]);
  });
});

describe("a body that nobody could tell apart from another, or show", () => {
  test.each([
    [
      "no UTF-8",
      Buffer.from([0x7b, 0x22, 0x6e, 0x61, 0x6d, 0x65, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]),
      "must be UTF-8",
    ],
    ["a prototype", Buffer.from('{"__proto__":{},"name":"x"}'), "must not have the keys __proto__"],
    ["a blank name", Buffer.from('{"name":"   "}'), "must be visible text"],
    ["a control character", Buffer.from('{"name":"a\\u0000b"}'), "must be visible text"],
    ["half a surrogate pair", Buffer.from('{"name":"\\ud800"}'), "must be visible text"],
    ["a change of direction", Buffer.from('{"name":"a\\u202eb"}'), "must be visible text"],
  ])("%s is refused with the rule", async (_what, payload, rule) => {
    const answer = await api.app.inject({ method: "POST", url: "/api/v1/zone", headers: ADMIN, payload });
    expect(answer.statusCode).toBe(400);
    expect(answer.json().status).toBe(false);
    expect(answer.body).toContain(rule);
    expect(api.registry.state.zones.size).toBe(0);
  });
});
