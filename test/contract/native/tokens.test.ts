import { Value } from "typebox/value";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { decodeToken } from "#agent/bootstrap/token.ts";
import { JoinTokenList, NewJoinToken } from "#shared/contract/native.ts";
import { TOKENS_MAX } from "#shared/lib/limits.ts";
import { ADMIN, basic, FakeApi } from "#test/support/fake-api.ts";

// Join tokens over the native API: docs/api/native.md.

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

type Headers = Record<string, string>;

function ask(method: "GET" | "POST" | "DELETE", path: string, payload?: object, headers: Headers = ADMIN) {
  const body = payload === undefined ? {} : { payload };
  return api.app.inject({ method, url: `/muster/v1/${path}`, headers, ...body });
}

async function made(payload?: object): Promise<NewJoinToken> {
  const answer = await ask("POST", "tokens", payload);
  expect(answer.statusCode).toBe(201);
  return answer.json<NewJoinToken>();
}

describe("POST tokens", () => {
  test("makes a token of this cluster, tells it once, and nothing on the way keeps it", async () => {
    const answer = await ask("POST", "tokens", { ttl_s: 3600, note: "rack 7" });
    expect(answer.statusCode).toBe(201);
    expect(answer.headers["cache-control"]).toBe("no-store");
    const body = answer.json<NewJoinToken>();
    expect(Value.Check(NewJoinToken, body)).toBe(true);
    const { id, secret, clusterId, peers } = decodeToken(body.token);
    expect(id).toBe(body.id);
    expect(Buffer.from(secret, "base64url")).toHaveLength(32);
    expect(clusterId).toBe("22222222-2222-4222-8222-222222222222");
    expect(peers).toHaveLength(1);
    expect(body.expires_at_ms).toBe((api.registry.state.tokens.get(id)?.createdAt ?? 0) + 3_600_000);
    const list = await ask("GET", "tokens");
    expect(list.body).not.toContain(secret);
    expect(list.body).not.toContain(body.token);
  });

  test("needs no body: a day, no note", async () => {
    const { id } = await made();
    const token = api.registry.state.tokens.get(id);
    expect(token).toMatchObject({ note: "", createdBy: "admin" });
    expect((token?.expiresAt ?? 0) - (token?.createdAt ?? 0)).toBe(86_400_000);
  });

  test("two are never alike", async () => {
    const [one, two] = [await made({}), await made({})];
    expect(one.id).not.toBe(two.id);
    expect(decodeToken(one.token).secret).not.toBe(decodeToken(two.token).secret);
  });

  test.each([
    [{ ttl_s: 0 }, "ttl_s"],
    [{ ttl_s: 30 * 86_400 + 1 }, "ttl_s"],
    [{ ttl_s: "1h" }, "ttl_s"],
    [{ note: "x".repeat(257) }, "note"],
    [{ ttl: 5 }, "ttl"],
  ])("%j is refused and names the field", async (body, field) => {
    const answer = await ask("POST", "tokens", body);
    expect([answer.statusCode, answer.json().error.facts.field]).toEqual([400, field]);
    expect(api.registry.state.tokens.size).toBe(0);
  });

  test("there is a limit", async () => {
    const { id } = await made();
    const token = api.registry.state.tokens.get(id);
    if (token === undefined) throw new Error("it was made");
    for (let i = 1; i < TOKENS_MAX; i += 1) api.registry.state.tokens.set(`t${i}`, { ...token, id: `t${i}` });
    const answer = await ask("POST", "tokens", {});
    expect([answer.statusCode, answer.json().error.code]).toEqual([409, "limit_reached"]);
  });

  test("a condition is refused rather than ignored", async () => {
    const answer = await ask("POST", "tokens", {}, { ...ADMIN, "if-match": '"e4c1a2b3-1-42"' });
    expect(answer.statusCode).toBe(400);
  });
});

describe("GET tokens", () => {
  test("what became of each, in order of id; nothing that could let anybody in", async () => {
    const peer = await api.addMember();
    const [valid, used, expired] = [await made({ note: "a" }), await made({}), await made({ ttl_s: 1 })];
    const { tokens } = api.registry.state;
    const at = api.registry.state.at;
    const one = tokens.get(used.id);
    if (one === undefined) throw new Error("it was made");
    tokens.set(used.id, { ...one, usedBy: peer, usedAt: at });
    api.clock.jumpWall(at - api.clock.now() + 2000); // The log has a clock of its own here.
    const answer = await ask("GET", "tokens");
    const body = answer.json<JoinTokenList>();
    expect(Value.Check(JoinTokenList, body)).toBe(true);
    expect(body.tokens.map(({ id }) => id)).toEqual([valid.id, used.id, expired.id].toSorted());
    const told = new Map(body.tokens.map((token) => [token.id, token]));
    expect(told.get(valid.id)).toMatchObject({
      state: "valid",
      note: "a",
      created_by: "admin",
      used_by: null,
    });
    expect(told.get(used.id)).toMatchObject({
      state: "used",
      used_by: { peer, name: "host-2" },
      used_at_ms: at,
    });
    expect(told.get(expired.id)).toMatchObject({ state: "expired", used_by: null, used_at_ms: null });
    expect(answer.body).not.toMatch(/key/);
  });

  test("a host that is no member any more keeps its peer id", async () => {
    const { id } = await made();
    const token = api.registry.state.tokens.get(id);
    if (token === undefined) throw new Error("it was made");
    api.registry.state.tokens.set(id, { ...token, usedBy: "12D3KooWGone", usedAt: api.registry.state.at });
    const [told] = (await ask("GET", "tokens")).json<JoinTokenList>().tokens;
    expect(told?.used_by).toEqual({ peer: "12D3KooWGone", name: null });
  });
});

describe("DELETE tokens/{id}", () => {
  test("takes it back; a second time there is nothing", async () => {
    const { id } = await made();
    expect((await ask("DELETE", `tokens/${id}`)).statusCode).toBe(204);
    expect((await ask("GET", "tokens")).json()).toEqual({ tokens: [] });
    const again = await ask("DELETE", `tokens/${id}`);
    expect([again.statusCode, again.json().error.code]).toEqual([404, "token_not_found"]);
  });
});

describe("who may", () => {
  const CALLS = [
    ["GET", "tokens"],
    ["POST", "tokens"],
    ["DELETE", "tokens/x"],
  ] as const;

  test.each(CALLS)("%s %s: administrators only", async (method, path) => {
    const { registry, passwords } = api;
    const verifier = passwords.verifier("look");
    await registry.submit({ type: "user.create", name: "viewer", role: "viewer", verifier }, { by: "admin" });
    expect((await ask(method, path, undefined, {})).statusCode).toBe(401);
    expect((await ask(method, path, undefined, basic("viewer", "look"))).statusCode).toBe(403);
  });

  test.each(CALLS)("%s %s: only in a cluster", async (method, path) => {
    await using fresh = new FakeApi();
    const answer = await fresh.app.inject({ method, url: `/muster/v1/${path}`, headers: ADMIN });
    expect(answer.statusCode).toBe(503);
  });

  test("without a majority they are listed, not made", async () => {
    await made();
    api.registry.quorum = false;
    expect((await ask("GET", "tokens")).statusCode).toBe(200);
    expect((await ask("POST", "tokens", {})).statusCode).toBe(503);
  });
});

test("neither a token nor its secret is ever logged, whatever is called", async () => {
  const { token, id } = await made({ note: "seen" });
  await ask("GET", "tokens");
  await ask("DELETE", `tokens/${id}`);
  const { secret } = decodeToken(token);
  const logged = JSON.stringify(api.log.lines);
  expect(api.log.lines.length).toBeGreaterThan(0);
  for (const hidden of [token, token.slice(8, 40), secret]) expect(logged).not.toContain(hidden);
});
