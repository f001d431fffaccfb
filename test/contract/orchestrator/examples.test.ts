import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Orchestrator } from "./orchestrator.ts";

// Every example of the covered part of seed 000, in its order. Bodies are compared as values: the seed's own order of keys
// differs from one sample to the next. Where a sample is a misprint, the test says which.

let api: Orchestrator;
beforeEach(async () => void (api = await Orchestrator.start()));
afterEach(() => api.close());

/** The seed's envelope of a success. */
const ok = (data: unknown): unknown => ({ error: { code: 0, message: "ok" }, data, status: true });

async function zones(...names: readonly string[]): Promise<void> {
  for (const name of names) expect((await api.call("POST", "/api/v1/zone", { name })).status).toBe(200);
}

const WEIGHTS = {
  "1": { "2": 10, "3": 11 },
  "2": { "1": 10, "3": 12 },
  "3": { "1": 11, "2": 12 },
};

const NODE_2 = {
  zone_id: 1,
  uuid: "uuid-2",
  uri: "tnt2.public.i:3301",
  user: "user1:pass1",
  repl_user: "repl_user1:repl_pass1",
  cfg: { listen: "0.0.0.0:3301" },
};

describe("Configuring the zones", () => {
  test("POST /api/v1/zone", async () => {
    // The sample asks for "zone 1" and answers with zone 2, "zone 2": here they belong together.
    const first = await api.call("POST", "/api/v1/zone", { name: "zone 1" });
    const second = await api.call("POST", "/api/v1/zone", { name: "zone 2" });
    expect(first).toMatchObject({ status: 200, json: ok({ id: 1, name: "zone 1" }) });
    expect(second).toMatchObject({ status: 200, json: ok({ id: 2, name: "zone 2" }) });
    expect(second.text).toBe(
      '{"error":{"code":0,"message":"ok"},"data":{"id":2,"name":"zone 2"},"status":true}',
    );
    expect(second.headers["content-type"]).toBe("application/json; charset=utf-8");
  });

  test("GET /api/v1/zone", async () => {
    await zones("zone 11", "zone 2");
    const all = await api.call("GET", "/api/v1/zone");
    expect(all.status).toBe(200);
    expect(all.text).toBe(
      '{"error":{"code":0,"message":"ok"},"data":[{"id":1,"name":"zone 11"},{"id":2,"name":"zone 2"}],"status":true}',
    );
  });

  test("GET /api/v1/zone before there is one", async () => {
    expect((await api.call("GET", "/api/v1/zone")).json).toEqual(ok([]));
  });

  test("GET /api/v1/zone/{zone_id}: the same list, with the specified zone", async () => {
    await zones("zone 11", "zone 2");
    expect((await api.call("GET", "/api/v1/zone/2")).json).toEqual(ok([{ id: 2, name: "zone 2" }]));
  });

  test("PUT /api/v1/zone/{zone_id}", async () => {
    await zones("zone 1", "zone 2");
    const put = await api.call("PUT", "/api/v1/zone/2", { name: "zone 22" });
    expect(put.text).toBe('{"error":{"code":0,"message":"ok"},"data":{},"status":true}');
    expect((await api.call("GET", "/api/v1/zone/2")).json).toEqual(ok([{ id: 2, name: "zone 22" }]));
  });

  test("DELETE /api/v1/zone/{zone_id}", async () => {
    await zones("zone 1");
    const gone = await api.call("DELETE", "/api/v1/zone/1");
    expect(gone).toMatchObject({ status: 200, json: ok({}) });
    expect((await api.call("GET", "/api/v1/zone")).json).toEqual(ok([]));
  });
});

describe("Configuring the zone weights", () => {
  test("POST and GET /api/v1/zones/weights", async () => {
    await zones("a", "b", "c");
    expect((await api.call("GET", "/api/v1/zones/weights")).json).toEqual(ok({}));
    const post = await api.call("POST", "/api/v1/zones/weights", { weights: WEIGHTS });
    expect(post).toMatchObject({ status: 200, json: ok({}) });
    const get = await api.call("GET", "/api/v1/zones/weights");
    expect(get.status).toBe(200);
    expect(get.text).toBe(
      '{"error":{"code":0,"message":"ok"},"data":{"1":{"2":10,"3":11},"2":{"1":10,"3":12},"3":{"1":11,"2":12}},"status":true}',
    );
  });
});

describe("Configuring registry", () => {
  test("GET /api/v1/registry/nodes/new: every agent that is not registered", async () => {
    await zones("a");
    for (const n of [1, 3]) await api.call("POST", "/api/v1/registry/node", { ...NODE_2, uuid: `uuid-${n}` });
    const detected = await api.call("GET", "/api/v1/registry/nodes/new");
    expect(detected.status).toBe(200);
    expect(detected.text).toBe(
      '{"error":{"code":0,"message":"ok"},"data":[{"uuid":"uuid-2","hostname":"tnt2.public.i","name":"tnt2"}],"status":true}',
    );
  });

  test("POST /api/v1/registry/node", async () => {
    await zones("a");
    const post = await api.call("POST", "/api/v1/registry/node", NODE_2);
    expect(post.text).toBe('{"error":{"code":0,"message":"ok"},"data":{},"status":true}');
    const detected = await api.call("GET", "/api/v1/registry/nodes/new");
    expect(detected.json.data.map(({ uuid }: { uuid: string }) => uuid)).toEqual(["uuid-1", "uuid-3"]);
  });

  test("PUT, then GET /api/v1/registry/node: the sample with two nodes", async () => {
    await zones("a");
    await api.call("POST", "/api/v1/registry/node", { ...NODE_2, uuid: "uuid-1", uri: "tnt1.public.i:3301" });
    await api.call("POST", "/api/v1/registry/node", NODE_2);
    const put = await api.call("PUT", "/api/v1/registry/node/uuid-1", {
      zone_id: 1,
      repl_user: "repl_user2:repl_pass2",
      cfg: { listen: "0.0.0.0:3301", memtx_memory: 100000 },
    });
    expect(put).toMatchObject({ status: 200, json: ok({}) });
    const all = await api.call("GET", "/api/v1/registry/node");
    expect(all.status).toBe(200);
    expect(all.headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(all.json).toEqual(
      ok({
        "uuid-1": {
          user: "user1:pass1",
          hostname: "tnt1.public.i",
          repl_user: "repl_user2:repl_pass2",
          uri: "tnt1.public.i:3301",
          zone_id: 1,
          name: "tnt1",
          cfg: { listen: "0.0.0.0:3301", memtx_memory: 100000 },
          zone: 1,
        },
        // The sample's uuid-2 lacks zone_id, which its uuid-1 has: both have it here.
        "uuid-2": {
          user: "user1:pass1",
          hostname: "tnt2.public.i",
          name: "tnt2",
          uri: "tnt2.public.i:3301",
          repl_user: "repl_user1:repl_pass1",
          zone_id: 1,
          cfg: { listen: "0.0.0.0:3301" },
          zone: 1,
        },
      }),
    );
    // The one with the most fields, byte by byte, as the sample orders them.
    expect(all.text).toContain(
      '"uuid-1":{"user":"user1:pass1","hostname":"tnt1.public.i","repl_user":"repl_user2:repl_pass2",' +
        '"uri":"tnt1.public.i:3301","zone_id":1,"name":"tnt1","cfg":{"listen":"0.0.0.0:3301","memtx_memory":100000},"zone":1}',
    );
  });

  test("GET /api/v1/registry/node before there is one", async () => {
    expect((await api.call("GET", "/api/v1/registry/node")).json).toEqual(ok({}));
  });

  test("GET /api/v1/registry/node/{node_uuid}: the same map, with this node only", async () => {
    await zones("a");
    await api.call("POST", "/api/v1/registry/node", NODE_2);
    await api.call("POST", "/api/v1/registry/node", {
      uuid: "uuid-1",
      zone_id: 1,
      uri: "tnt1.public.i:3301",
    });
    expect((await api.call("GET", "/api/v1/registry/node/uuid-2")).json).toEqual(
      ok({
        "uuid-2": {
          user: "user1:pass1",
          hostname: "tnt2.public.i",
          repl_user: "repl_user1:repl_pass1",
          uri: "tnt2.public.i:3301",
          zone_id: 1,
          name: "tnt2",
          cfg: { listen: "0.0.0.0:3301" },
          zone: 1,
        },
      }),
    );
    // Logins that were never given are not shown.
    expect((await api.call("GET", "/api/v1/registry/node/uuid-1")).json.data["uuid-1"]).toEqual({
      hostname: "tnt1.public.i",
      uri: "tnt1.public.i:3301",
      zone_id: 1,
      name: "tnt1",
      cfg: {},
      zone: 1,
    });
  });

  test("DELETE /api/v1/registry/node/{node_uuid}: the node is detected again", async () => {
    await zones("a");
    await api.call("POST", "/api/v1/registry/node", NODE_2);
    expect(await api.call("DELETE", "/api/v1/registry/node/uuid-2")).toMatchObject({
      status: 200,
      json: ok({}),
    });
    expect((await api.call("GET", "/api/v1/registry/node")).json).toEqual(ok({}));
    expect((await api.call("GET", "/api/v1/registry/nodes/new")).json.data).toHaveLength(3);
  });

  test("GET /api/v1/registry/node follows every change, and shows nothing of a refused one", async () => {
    const uris = async (): Promise<string[]> => {
      const { json } = await api.call("GET", "/api/v1/registry/node");
      return Object.entries(json.data as Record<string, { uri: string }>).map(
        ([uuid, { uri }]) => `${uuid} ${uri}`,
      );
    };
    await zones("a");
    await api.call("POST", "/api/v1/registry/node", { ...NODE_2, uuid: "uuid-3", uri: "c:1" });
    expect(await uris()).toEqual(["uuid-3 c:1"]);
    await api.call("POST", "/api/v1/registry/node", { ...NODE_2, uuid: "uuid-1", uri: "a:1" });
    expect(await uris()).toEqual(["uuid-1 a:1", "uuid-3 c:1"]);
    await api.call("PUT", "/api/v1/registry/node/uuid-3", { uri: "c:2" });
    expect(await uris()).toEqual(["uuid-1 a:1", "uuid-3 c:2"]);
    await api.call("PUT", "/api/v1/registry/node/uuid-3", { uri: "c:3", zone_id: 9 });
    await zones("b");
    expect(await uris()).toEqual(["uuid-1 a:1", "uuid-3 c:2"]);
    await api.call("DELETE", "/api/v1/registry/node/uuid-1");
    expect(await uris()).toEqual(["uuid-3 c:2"]);
  });
});
