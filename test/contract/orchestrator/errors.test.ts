import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Orchestrator, type Said } from "./orchestrator.ts";

// Every error of the covered part of seed 000, and what may go wrong with any request. The seed gives the names; place, status
// and code are our own promise (docs/api/orchestrator.md).

let api: Orchestrator;
beforeEach(async () => {
  api = await Orchestrator.start();
  for (const name of ["one", "two", "empty"]) await api.call("POST", "/api/v1/zone", { name });
  await api.call("POST", "/api/v1/registry/node", { ...NODE, uuid: "uuid-1" });
});
afterEach(() => api.close());

const NODE = { zone_id: 1, uuid: "uuid-2", uri: "tnt2.public.i:3301", cfg: {} };

/** The envelope of a failure; `details` must be a sentence, or the very one given. */
function failure(status: number, code: number, message: string, details?: string): object {
  const sentence: unknown = details ?? expect.stringMatching(/\w+ \w+/);
  return { status, json: { error: { code, message, details: sentence }, data: {}, status: false } };
}

interface Wrong {
  readonly call: readonly ["GET" | "POST" | "PUT" | "DELETE", string, unknown?];
  readonly gives: object;
  readonly because: string;
}

describe("errors that the seed names", () => {
  const WRONG: readonly Wrong[] = [
    {
      call: ["POST", "/api/v1/zone", { name: "one" }],
      because: "the specified zone already exists",
      gives: failure(409, 101, "zone_exists", "the zone one already exists"),
    },
    {
      call: ["GET", "/api/v1/zone/9"],
      because: "the specified zone is not found",
      gives: failure(404, 102, "zone_not_found", "the zone 9 does not exist"),
    },
    {
      call: ["PUT", "/api/v1/zone/9", { name: "nine" }],
      because: "the specified zone is not found",
      gives: failure(404, 102, "zone_not_found"),
    },
    {
      call: ["DELETE", "/api/v1/zone/9"],
      because: "the specified zone is not found",
      gives: failure(404, 102, "zone_not_found"),
    },
    {
      call: ["DELETE", "/api/v1/zone/1"],
      because: "the specified zone stores at least one node",
      gives: failure(409, 103, "zone_in_use", "the zone 1 still stores uuid-1"),
    },
    {
      call: ["POST", "/api/v1/zones/weights", { weights: { 1: { 9: 1 } } }],
      because: "a zone is not there",
      gives: failure(400, 104, "zones_weights_error", 'these zones do not exist: "9"'),
    },
    {
      call: ["POST", "/api/v1/zones/weights", { weights: { 1: { 1: 5 } } }],
      because: "a zone is away from itself",
      gives: failure(400, 104, "zones_weights_error"),
    },
    {
      call: ["POST", "/api/v1/registry/node", { ...NODE, uuid: "uuid-1" }],
      because: "the specified node is already registered",
      gives: failure(409, 111, "node_already_registered", "the node uuid-1 is already registered"),
    },
    {
      call: ["POST", "/api/v1/registry/node", { ...NODE, zone_id: 9 }],
      because: "the specified zone is not found",
      gives: failure(404, 102, "zone_not_found"),
    },
    {
      call: ["POST", "/api/v1/registry/node", { ...NODE, uuid: "uuid-9" }],
      because: "the specified node is not detected",
      gives: failure(404, 112, "node_not_discovered", "the node uuid-9 has not been detected"),
    },
    ...(["PUT", "GET", "DELETE"] as const).map((method): Wrong => ({
      call: [method, "/api/v1/registry/node/uuid-2", method === "PUT" ? { uri: "a:1" } : undefined],
      because: "the specified node is not registered",
      gives: failure(404, 113, "node_not_registered", "the node uuid-2 is not registered"),
    })),
  ];

  test.each(WRONG)("$call.0 $call.1: $because", async ({ call, gives }) => {
    expect(await api.call(...call)).toMatchObject(gives);
  });

  test("the envelope, byte by byte", async () => {
    expect((await api.call("GET", "/api/v1/zone/9")).text).toBe(
      '{"error":{"code":102,"message":"zone_not_found","details":"the zone 9 does not exist"},"data":{},"status":false}',
    );
  });

  test("a zone is renamed to another's name", async () => {
    expect(await api.call("PUT", "/api/v1/zone/1", { name: "two" })).toMatchObject(
      failure(409, 101, "zone_exists"),
    );
    expect((await api.call("PUT", "/api/v1/zone/1", { name: "one" })).status).toBe(200);
  });

  test("a node moves to a zone that is not there", async () => {
    expect(await api.call("PUT", "/api/v1/registry/node/uuid-1", { zone_id: 9 })).toMatchObject(
      failure(404, 102, "zone_not_found"),
    );
  });
});

describe("paths", () => {
  test.each(["abc", "0", "-1", "01", "1.0", "9007199254740993", "%00", "__proto__"])(
    "no zone is called %s",
    async (id) => {
      for (const method of ["GET", "DELETE"] as const) {
        expect(await api.call(method, `/api/v1/zone/${id}`)).toMatchObject(
          failure(404, 102, "zone_not_found"),
        );
      }
    },
  );

  test("a trailing slash makes no difference", async () => {
    for (const path of [
      "zone",
      "zone/1",
      "zones/weights",
      "registry/nodes/new",
      "registry/node",
      "registry/node/uuid-1",
    ]) {
      const [with_, without] = [
        await api.call("GET", `/api/v1/${path}/`),
        await api.call("GET", `/api/v1/${path}`),
      ];
      expect(without.status, path).toBe(200);
      expect(with_.text, path).toBe(without.text);
    }
    expect((await api.call("POST", "/api/v1/zone/", { name: "slash" })).status).toBe(200);
  });

  test.each(["__proto__", "constructor", "a%2Fb"])("the uuid %s is a name like any other", async (uuid) => {
    expect(await api.call("GET", `/api/v1/registry/node/${uuid}`)).toMatchObject(
      failure(404, 113, "node_not_registered"),
    );
  });

  test("what is not there is said in the same form", async () => {
    expect(await api.call("GET", "/api/v1/nowhere")).toMatchObject(failure(404, 2, "not_found"));
  });

  test("what cannot be done is, too, with what can", async () => {
    const answer = await api.call("PATCH", "/api/v1/zone/1", {});
    expect(answer).toMatchObject(failure(405, 3, "method_not_allowed"));
    expect(answer.headers["allow"]).toBe("DELETE, GET, HEAD, PUT");
  });
});

describe("bodies", () => {
  test.each([
    undefined,
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-8",
    "nonsense",
  ])("are JSON under the Content-Type %s", async (type) => {
    expect((await api.call("POST", "/api/v1/zone", { name: "typed" }, { "content-type": type })).status).toBe(
      200,
    );
  });

  interface Bad {
    readonly call: readonly ["POST" | "PUT", string, unknown?];
    readonly says: string | RegExp;
  }
  const zone = (body: unknown): Bad["call"] => ["POST", "/api/v1/zone", body];
  const weights = (weights: unknown): Bad["call"] => ["POST", "/api/v1/zones/weights", { weights }];
  const node = (body: object): Bad["call"] => ["POST", "/api/v1/registry/node", { ...NODE, ...body }];
  const put = (body: unknown): Bad["call"] => ["PUT", "/api/v1/registry/node/uuid-1", body];

  test.each<Bad>([
    { call: zone("{"), says: "body: must be valid JSON" },
    { call: zone(undefined), says: /^body: must be object/ },
    { call: zone("[]"), says: "body: must be object" },
    { call: zone("null"), says: "body: must be object" },
    { call: zone("{}"), says: "name: is required" },
    { call: zone({ name: 7 }), says: "name: must be string" },
    { call: zone({ name: "" }), says: /^name: / },
    { call: zone({ name: "x".repeat(129) }), says: /^name: / },
    {
      call: zone(`{"name":${"[".repeat(65)}${"]".repeat(65)}}`),
      says: "body: must not nest deeper than 64 levels",
    },
    { call: ["PUT", "/api/v1/zone/1", {}], says: "name: is required" },
    { call: ["POST", "/api/v1/zones/weights", { 1: { 2: 3 } }], says: "weights: is required" },
    { call: weights([]), says: "weights: must be object" },
    { call: weights({ 1: 5 }), says: "weights.1: must be object" },
    { call: weights({ 1: { 2: "5" } }), says: "weights.1.2: must be number" },
    { call: weights({ 1: { 2: -1 } }), says: "weights.1.2: must be >= 0" },
    { call: node({ zone_id: "1" }), says: "zone_id: must be integer" },
    { call: node({ zone_id: 1.5 }), says: "zone_id: must be integer" },
    { call: node({ uuid: undefined }), says: "uuid: is required" },
    { call: node({ uri: "" }), says: /^uri: / },
    { call: node({ user: 1 }), says: "user: must be string" },
    { call: node({ repl_user: {} }), says: "repl_user: must be string" },
    { call: node({ cfg: [] }), says: "cfg: must be object" },
    { call: node({ cfg: null }), says: "cfg: must be object" },
    { call: put({ zone_id: null }), says: "zone_id: must be integer" },
    { call: put("7"), says: "body: must be object" },
  ])("%j", async ({ call, says }) => {
    const before = (await api.call("GET", "/api/v1/registry/node")).text;
    const answer = await api.call(...call);
    expect(answer).toMatchObject(failure(400, 1, "bad_request"));
    expect(answer.json.error.details).toMatch(says);
    expect((await api.call("GET", "/api/v1/registry/node")).text).toBe(before);
  });

  test("a body over the limit", async () => {
    const answer = await api.call("POST", "/api/v1/zone", { name: "x".repeat(1024 * 1024) });
    expect(answer).toMatchObject(failure(413, 4, "too_large"));
  });

  test("a cfg over its limit", async () => {
    const answer = await api.call("PUT", "/api/v1/registry/node/uuid-1", {
      cfg: { a: "x".repeat(64 * 1024) },
    });
    expect(answer).toMatchObject(failure(413, 4, "too_large", "cfg is larger than 65536 bytes"));
  });

  test("a node may be sent back as it was read: fields that cannot be set are ignored", async () => {
    const node = async (): Promise<unknown> =>
      (await api.call("GET", "/api/v1/registry/node/uuid-1")).json.data["uuid-1"];
    const read = await node();
    expect((await api.call("PUT", "/api/v1/registry/node/uuid-1", read)).status).toBe(200);
    expect(await node()).toEqual(read);
  });

  test("a DELETE may have a body, of which nobody takes notice", async () => {
    expect((await api.call("DELETE", "/api/v1/zone/3", {})).status).toBe(200);
    expect((await api.call("DELETE", "/api/v1/zone/2", "")).status).toBe(200);
  });
});

type Write = readonly [method: "POST" | "PUT" | "DELETE", path: string, body: object | undefined];

describe("who may", () => {
  const READS = [
    "zone",
    "zone/1",
    "zones/weights",
    "registry/nodes/new",
    "registry/node",
    "registry/node/uuid-1",
  ];
  const WRITES: readonly Write[] = [
    ["POST", "/api/v1/zone", { name: "x" }],
    ["PUT", "/api/v1/zone/1", { name: "x" }],
    ["DELETE", "/api/v1/zone/3", undefined],
    ["POST", "/api/v1/zones/weights", { weights: {} }],
    ["POST", "/api/v1/registry/node", NODE],
    ["PUT", "/api/v1/registry/node/uuid-1", {}],
    ["DELETE", "/api/v1/registry/node/uuid-1", undefined],
  ];

  test("nobody without credentials, nor with wrong ones", async () => {
    for (const authorization of [undefined, "Basic eDp5", "Bearer x"]) {
      const answer: Said = await api.call("GET", "/api/v1/registry/node", undefined, { authorization });
      expect(answer).toMatchObject(failure(401, 5, "unauthenticated"));
      expect(answer.headers["www-authenticate"]).toContain("Basic");
      expect(answer.text).not.toContain("uuid-1");
    }
    expect(await api.call("GET", "/api/v1/nowhere", undefined, { authorization: undefined })).toMatchObject(
      failure(401, 5, "unauthenticated"),
    );
  });

  test("a viewer reads", async () => {
    for (const path of READS) expect((await api.asViewer("GET", `/api/v1/${path}`)).status, path).toBe(200);
  });

  test.each(WRITES)("a viewer does not %s %s", async (method, path, body) => {
    expect(await api.asViewer(method, path, body)).toMatchObject(failure(403, 6, "forbidden"));
  });

  test.each(WRITES)("without a majority there is no %s %s, and it says so", async (method, path, body) => {
    api.registry.quorum = false;
    const answer = await api.call(method, path, body);
    expect(answer).toMatchObject(failure(503, 202, "quorum_lost"));
    expect(answer.json.error.details).toContain("12D3KooWMissing");
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
  });

  test("without a majority a write is refused before its body is looked at", async () => {
    api.registry.quorum = false;
    expect(await api.call("POST", "/api/v1/zone", "{")).toMatchObject(failure(503, 202, "quorum_lost"));
  });

  test("without a majority reads go on", async () => {
    api.registry.quorum = false;
    for (const path of READS) expect((await api.call("GET", `/api/v1/${path}`)).status, path).toBe(200);
  });

  test("before there is a cluster there is nothing to read", async () => {
    api.bootstrap.state = { name: "idle" };
    expect(await api.call("GET", "/api/v1/zone")).toMatchObject(failure(503, 201, "not_in_cluster"));
  });
});

describe("writing once", () => {
  const key = { "idempotency-key": "4f1d" };

  test("the same request under the same key takes effect once", async () => {
    const first = await api.call("POST", "/api/v1/zone", { name: "keyed" }, key);
    const again = await api.call("POST", "/api/v1/zone", { name: "keyed" }, key);
    expect(again).toMatchObject({ status: 200, text: first.text });
    expect((await api.call("GET", "/api/v1/zone")).json.data).toHaveLength(4);
  });

  test("another request under the key is refused", async () => {
    await api.call("POST", "/api/v1/zone", { name: "keyed" }, key);
    expect(await api.call("POST", "/api/v1/zone", { name: "other" }, key)).toMatchObject(
      failure(422, 9, "idempotency_key_reused"),
    );
  });
});

test("logins and credentials stay out of the log", async () => {
  await api.call("POST", "/api/v1/registry/node", { ...NODE, user: "u:hush", repl_user: "r:hush" });
  await api.call("POST", "/api/v1/registry/node", { ...NODE, user: "u:hush", zone_id: "hush" });
  expect(api.log.lines.length).toBeGreaterThan(0);
  expect(JSON.stringify(api.log.lines)).not.toMatch(/hush|secret/);
});
