import type { InjectOptions } from "fastify";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import type { Command } from "#shared/registry/command.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import { ADMIN, FakeApi } from "#test/support/fake-api.ts";

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
  await populate(api);
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

const NODE = "00000000-0000-4000-8000-686f73742d32";
const VERSIONED = [
  "/api/v1/zone",
  "/api/v1/zone/1",
  "/api/v1/zones/weights",
  "/api/v1/registry/nodes/new",
  "/api/v1/registry/node",
  `/api/v1/registry/node/${NODE}`,
  "/muster/v1/cluster",
  "/v1/cluster/policy",
  "/v1/users",
  "/v1/users/1",
];
const UNVERSIONED = [
  "/muster/v1/members",
  "/muster/v1/hosts",
  "/muster/v1/hosts/host-2",
  "/muster/v1/status",
  "/muster/v1/mesh",
  "/v1/bootstrap",
  "/v1/nodes",
  "/v1/cluster",
];

async function populate(one: FakeApi): Promise<void> {
  await one.createCluster();
  await one.addMember();
  for (const command of [
    { type: "zone.create", name: "a" },
    { type: "zone.create", name: "b" },
    { type: "zones.set_weights", weights: { 2: { 1: 4 }, 1: { 2: 4 } } },
    { type: "node.register", uuid: NODE, zone_id: 1, uri: "u", cfg: { z: 1, a: { b: 2 } } },
  ] satisfies Command[]) {
    await change(command, one);
  }
}

async function change(command: Command, one = api): Promise<void> {
  const { result } = await one.registry.submit(command, { by: "admin" });
  expect(result.ok).toBe(true);
}

function call(
  method: NonNullable<InjectOptions["method"]>,
  url: string,
  headers: object = {},
  body?: object,
) {
  return api.app.inject({
    method,
    url,
    headers: { ...ADMIN, ...headers },
    ...(body !== undefined && { payload: body }),
  });
}

async function tagOf(url: string): Promise<string> {
  const { headers } = await call("GET", url);
  return String(headers.etag);
}

describe("the ETag", () => {
  test.each(VERSIONED)("of %s is strong: cluster, incarnation, index of the last change", async (path) => {
    expect(await tagOf(path)).toMatch(/^"22222222-1-\d+"$/);
    const head = await call("HEAD", path);
    expect(head.headers.etag).toBe(await tagOf(path));
  });

  test.each(UNVERSIONED)("is not given for %s, which tells more than the registry", async (path) => {
    expect((await call("GET", path)).headers).not.toHaveProperty("etag");
  });

  test.each(VERSIONED)(
    "of %s and the body are the same on an agent that has the state from a snapshot",
    async (path) => {
      const other = new FakeApi();
      await populate(other);
      other.registry.replace(decodeState(encodeState(api.registry.state)));
      const [here, there] = await Promise.all(
        [api, other].map(({ app }) => app.inject({ method: "GET", url: path, headers: ADMIN })),
      );
      expect([there?.headers.etag, there?.body]).toEqual([here?.headers.etag, here?.body]);
      await other[Symbol.asyncDispose]();
    },
  );

  test("changes with what is shown, and with nothing else", async () => {
    const before = await Promise.all(VERSIONED.map(tagOf));
    await change({ type: "zone.rename", id: 2, name: "c" });
    const after = await Promise.all(VERSIONED.map(tagOf));
    expect(VERSIONED.filter((_path, n) => before[n] !== after[n])).toEqual(["/api/v1/zone"]);
  });

  test("of a record that was deleted and made again is a new one; of one that is gone there is none", async () => {
    const url = `/api/v1/registry/node/${NODE}`;
    const first = await tagOf(url);
    await change({ type: "node.unregister", uuid: NODE });
    const gone = await call("GET", url, { "if-none-match": "*" });
    expect([gone.statusCode, gone.headers.etag]).toEqual([404, undefined]);
    await change({ type: "node.register", uuid: NODE, zone_id: 1, uri: "u", cfg: { z: 1, a: { b: 2 } } });
    expect(await tagOf(url)).not.toBe(first);
  });

  test.each([1, 2, 3])("stands for one body, however writes and reads meet (seed %i)", async (seed) => {
    const random = new Prng(seed);
    const bodies = new Map<string, string>();
    const reads: Promise<void>[] = [];
    const look = async (url: string): Promise<void> => {
      const { headers, body } = await call("GET", url);
      const key = `${url} ${String(headers.etag)}`;
      expect(bodies.get(key) ?? body).toBe(body);
      bodies.set(key, body);
    };
    // A write is applied wherever the server lets go of a request.
    for (const hook of ["onRequest", "preValidation", "preSerialization"] as const) {
      api.app.addHook(hook, async () => {
        if (random.chance(0.5)) await change({ type: "zone.rename", id: 1, name: `n${random.below(1e9)}` });
      });
    }
    for (let n = 0; n < 100; n += 1) {
      const url = n % 2 === 0 ? "/api/v1/zone" : "/api/v1/zone/1";
      reads.push(look(url));
      if (n % 7 === 0) await Promise.all(reads.splice(0));
    }
    await Promise.all(reads);
    expect(bodies.size).toBeGreaterThan(20);
  });
});

describe("If-None-Match", () => {
  test.each(VERSIONED)("of %s: 304 without a body, with all headers", async (path) => {
    const { headers } = await call("GET", path);
    const answer = await call("GET", path, { "if-none-match": headers.etag });
    expect([answer.statusCode, answer.body]).toEqual([304, ""]);
    for (const name of ["etag", "x-muster-index", "x-muster-leader", "x-muster-age-ms", "cache-control"]) {
      expect(answer.headers[name], name).toBe(headers[name]);
    }
    expect((await call("HEAD", path, { "if-none-match": headers.etag })).statusCode).toBe(304);
  });

  test("takes a list, weak tags and *; another version is answered in full", async () => {
    const tag = await tagOf("/api/v1/zone");
    const codes = [];
    for (const header of [`"x", ${tag}`, `W/${tag}`, `"a,b",W/"c" , ${tag}`, "*", `"x"`, `"22222222-1-1"`]) {
      codes.push((await call("GET", "/api/v1/zone", { "if-none-match": header })).statusCode);
    }
    expect(codes).toEqual([304, 304, 304, 304, 200, 200]);
  });

  test.each(["x", `"x`, "W/x", `"a" b`])("%j is no list of tags", async (header) => {
    const answer = await call("GET", "/api/v1/zone", { "if-none-match": header });
    expect([answer.statusCode, answer.json().error.message]).toEqual([400, "bad_request"]);
  });

  test("and a blocking read: 304 when the time passed without a change", async () => {
    const { headers } = await call("GET", "/api/v1/zone");
    const known = { "if-none-match": headers.etag };
    const url = `/api/v1/zone?index=${String(headers["x-muster-index"])}&wait=1s`;
    const waits = () => expect.poll(() => api.clock.timers, { interval: 1 }).toBe(2); // Beside the event streams' own.
    const pending = call("GET", url, known);
    await waits();
    await api.clock.advance(2000);
    expect((await pending).statusCode).toBe(304);
    const woken = call("GET", url, known);
    await waits();
    await change({ type: "zone.rename", id: 2, name: "c" });
    expect((await woken).statusCode).toBe(200);
  });

  test("is not for writes: what exists is never created twice anyway", async () => {
    const answer = await call("POST", "/api/v1/zone", { "if-none-match": "*" }, { name: "new" });
    expect([answer.statusCode, answer.json().error.message]).toEqual([400, "bad_request"]);
  });
});

describe("If-Match", () => {
  interface Write {
    readonly method: "PUT" | "POST" | "DELETE";
    readonly url: string;
    /** Where its tag is read. */
    readonly read: string;
    readonly body?: object;
    /** Another's change of the same. */
    readonly rival: Command;
  }

  const rename: Command = { type: "zone.rename", id: 1, name: "rival" };
  const update: Command = { type: "node.update", uuid: NODE, uri: "rival" };
  const WRITES: readonly Write[] = [
    { method: "POST", url: "/api/v1/zone", read: "/api/v1/zone", body: { name: "new" }, rival: rename },
    { method: "PUT", url: "/api/v1/zone/1", read: "/api/v1/zone/1", body: { name: "new" }, rival: rename },
    {
      method: "DELETE",
      url: "/api/v1/zone/2",
      read: "/api/v1/zone/2",
      rival: { type: "zone.rename", id: 2, name: "rival" },
    },
    {
      method: "POST",
      url: "/api/v1/zones/weights",
      read: "/api/v1/zones/weights",
      body: { weights: {} },
      rival: { type: "zones.set_weights", weights: { 1: { 2: 9 } } },
    },
    {
      method: "PUT",
      url: `/api/v1/registry/node/${NODE}`,
      read: `/api/v1/registry/node/${NODE}`,
      body: { uri: "new" },
      rival: update,
    },
    {
      method: "DELETE",
      url: `/api/v1/registry/node/${NODE}`,
      read: `/api/v1/registry/node/${NODE}`,
      rival: update,
    },
  ];

  const send = ({ method, url, body }: Write, match: string) =>
    call(method, url, { "if-match": match }, body);

  test.each(WRITES)("$method $url takes place while nothing has changed", async (write) => {
    const tag = await tagOf(write.read);
    expect((await send(write, tag)).statusCode).toBe(200);
    // It changed the very thing, so the same tag is no good a second time.
    expect((await send(write, tag)).statusCode).toBe(412);
  });

  test.each(WRITES)("$method $url after another's change is 412 in the dialect's form", async (write) => {
    const tag = await tagOf(write.read);
    await change(write.rival);
    const before = api.registry.state.index;
    const answer = await send(write, tag);
    expect([answer.statusCode, answer.json().error]).toMatchObject([
      412,
      { code: 8, message: "precondition_failed" },
    ]);
    // Known here to be in vain, it costs the cluster nothing.
    expect(api.registry.state.index).toBe(before);
    expect((await send(write, await tagOf(write.read))).statusCode).toBe(200);
  });

  test("POST registry/node is about the list of nodes", async () => {
    await change({ type: "node.unregister", uuid: NODE });
    const tag = await tagOf("/api/v1/registry/node");
    const body = { uuid: NODE, zone_id: 1, uri: "u" };
    expect((await call("POST", "/api/v1/registry/node", { "if-match": tag }, body)).statusCode).toBe(200);
    await change({ type: "node.unregister", uuid: NODE });
    expect((await call("POST", "/api/v1/registry/node", { "if-match": tag }, body)).statusCode).toBe(412);
  });

  test("weights that were never set have a version, too", async () => {
    const fresh = new FakeApi();
    await fresh.createCluster();
    const url = "/api/v1/zones/weights";
    const { headers } = await fresh.app.inject({ method: "GET", url, headers: ADMIN });
    expect(headers.etag).toBe('"22222222-1-0"');
    const post = { method: "POST", url, headers: { ...ADMIN, "if-match": headers.etag } } as const;
    expect((await fresh.app.inject({ ...post, payload: { weights: {} } })).statusCode).toBe(200);
    expect((await fresh.app.inject({ ...post, payload: { weights: {} } })).statusCode).toBe(412);
    await fresh[Symbol.asyncDispose]();
  });

  test("a member is removed only as it was seen; its tag is in the list and with its host", async () => {
    const seen = async (): Promise<string> =>
      (await call("GET", "/muster/v1/members")).json().members[1].etag;
    const tag = await seen();
    expect((await call("GET", "/muster/v1/hosts/host-2")).json().member.etag).toBe(tag);
    await change({ type: "member.activate", peer: "12D3KooWOther" });
    const url = "/muster/v1/members/host-2";
    const refused = await call("DELETE", url, { "if-match": tag });
    expect([refused.statusCode, refused.json().error]).toMatchObject([412, { code: "precondition_failed" }]);
    // What is heard of a host is no change of its record.
    const heard = await seen();
    api.membership.views.set("12D3KooWOther", { ...api.membership.view("12D3KooWOther"), liveness: "dead" });
    expect(await seen()).toBe(heard);
    expect((await call("DELETE", url, { "if-match": heard })).statusCode).toBe(204);
  });

  test("* wants something to be there; that there is nothing is told as ever", async () => {
    expect((await call("PUT", "/api/v1/zone/1", { "if-match": "*" }, { name: "x" })).statusCode).toBe(200);
    expect((await call("PUT", "/api/v1/zone/9", { "if-match": "*" }, { name: "y" })).statusCode).toBe(404);
  });

  test.each([
    [`"nonsense"`, 412],
    [`"22222222-2-5"`, 412],
    [`"33333333-1-5"`, 412],
    [`"22222222-1-"`, 412],
    [`W/TAG`, 412],
    [`TAG, "x"`, 400],
    ["TAGx", 400],
    ["22222222-1-5", 400],
    ["", 400],
  ])("%s is %i, and nothing is written", async (form, status) => {
    const header = form.replace("TAG", await tagOf("/api/v1/zone/1"));
    const { index } = api.registry.state;
    const answer = await call("PUT", "/api/v1/zone/1", { "if-match": header }, { name: "x" });
    expect([answer.statusCode, api.registry.state.index]).toEqual([status, index]);
  });

  test("on a read: 412 unless it is the present version", async () => {
    const tag = await tagOf("/api/v1/zone");
    const codes = [];
    for (const header of [tag, "*", `"x", ${tag}`, `"x"`, `W/${tag}`]) {
      codes.push((await call("GET", "/api/v1/zone", { "if-match": header })).statusCode);
    }
    expect(codes).toEqual([200, 200, 200, 412, 412]);
  });

  test("belongs to the request that an idempotency key stands for", async () => {
    const key = { "idempotency-key": "k", "if-match": await tagOf("/api/v1/zone/1") };
    const put = () => call("PUT", "/api/v1/zone/1", key, { name: "mine" });
    expect((await put()).statusCode).toBe(200);
    expect((await put()).statusCode).toBe(200);
    const other = { ...key, "if-match": await tagOf("/api/v1/zone/1") };
    expect((await call("PUT", "/api/v1/zone/1", other, { name: "mine" })).statusCode).toBe(422);
  });
});
