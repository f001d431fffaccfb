import { createHash } from "node:crypto";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { unpackBackup } from "#agent/backup/form.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import { ADMIN, basic, FakeApi } from "#test/support/fake-api.ts";

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(() => api[Symbol.asyncDispose]());

const get = (query = "", headers: Record<string, string> = ADMIN, method: "GET" | "HEAD" = "GET") =>
  api.app.inject({ method, url: `/muster/v1/backup${query}`, headers });

describe("GET backup", () => {
  test("is a file with this agent's copy, its digest and its name", async () => {
    await api.createCluster();
    const { statusCode, headers, rawPayload } = await get();
    expect(statusCode).toBe(200);
    const digest = createHash("sha256").update(rawPayload).digest("base64");
    expect(headers).toMatchObject({
      "content-type": "application/octet-stream",
      "content-length": String(rawPayload.length),
      "content-disposition": 'attachment; filename="muster-my.cluster-20260101T000000Z-1.backup"',
      "repr-digest": `sha-256=:${digest}:`,
      "cache-control": "no-store",
      "x-muster-index": "1",
    });
    expect(headers["etag"]).toBeUndefined();
    const { head, state } = unpackBackup(rawPayload);
    expect(head).toMatchObject({
      cluster_id: "22222222-2222-4222-8222-222222222222",
      incarnation: 1,
      index: 1,
      host: "host-1.example",
      taken_at_ms: api.clock.now(),
    });
    expect(encodeState(state)).toBe(encodeState(api.registry.state));
  });

  test("HEAD tells the same without the file", async () => {
    await api.createCluster();
    const [whole, head] = [await get(), await get("", ADMIN, "HEAD")];
    expect([head.statusCode, head.body]).toEqual([200, ""]);
    expect(head.headers["repr-digest"]).toBe(whole.headers["repr-digest"]);
  });

  test("is for administrators of a cluster", async () => {
    const outside = await get("", {});
    expect([outside.statusCode, outside.json().error.code]).toEqual([503, "not_in_cluster"]);
    await api.createCluster();
    expect((await get("", {})).statusCode).toBe(401);
    const verifier = api.passwords.verifier("seen");
    await api.registry.submit(
      { type: "user.create", name: "viewer", role: "viewer", verifier },
      { by: "admin" },
    );
    const viewer = await get("", basic("viewer", "seen"));
    expect([viewer.statusCode, viewer.json().error.code]).toEqual([403, "forbidden"]);
  });

  test("needs no majority, unless the newest is asked for", async () => {
    await api.createCluster();
    api.registry.quorum = false;
    expect((await get()).statusCode).toBe(200);
    const newest = await get("?consistency=linearizable");
    expect([newest.statusCode, newest.json().error.code]).toEqual([503, "quorum_lost"]);
    api.registry.quorum = true;
    expect((await get("?consistency=linearizable")).statusCode).toBe(200);
  });

  test("waits for an index that is to be in it", async () => {
    await api.createCluster();
    const asked = get("?min_index=2");
    await api.registry.submit({ type: "zone.create", name: "zone 1" }, { by: "admin" });
    expect(unpackBackup((await asked).rawPayload).state.zones.size).toBe(1);
  });
});
