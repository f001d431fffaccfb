import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { AppError } from "#shared/errors/app-error.ts";
import { ADMIN, basic, FakeApi } from "#test/support/fake-api.ts";

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

/** Sent at once, awaited or not. */
async function get(url: string, headers: Record<string, string> = {}, remoteAddress = "10.0.0.1") {
  return await api.app.inject({ method: "GET", url, headers, remoteAddress });
}

/** Adds a user who may only look: there is no command for that yet, so it is put into the state itself. */
function addViewer(name: string, password: string): void {
  const verifier = api.passwords.verifier(password);
  api.registry.state.users.set(name, {
    uid: 2,
    name,
    role: "viewer",
    verifier,
    createdAt: api.clock.now(),
    passwordAt: api.clock.now(),
    displayName: "",
    emailAlerts: false,
  });
}

const ZONE = { method: "POST", url: "/api/v1/zone", payload: { name: "z" } } as const;

describe("before there is a cluster", () => {
  test("routes of the cluster are 503 in their dialect's form, with or without credentials", async () => {
    const answer = await get("/api/v1/registry/node", ADMIN);
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toMatchObject({ status: false, error: { message: "not_in_cluster" } });
    expect((await get("/muster/v1/members")).json().error.code).toBe("not_in_cluster");
  });

  test("this host is told to callers on it only", async () => {
    expect((await get("/muster/v1/status", {}, "127.0.0.1")).statusCode).toBe(200);
    expect((await get("/muster/v1/hosts", {}, "::1")).statusCode).toBe(200);
    const stranger = await get("/muster/v1/status");
    expect([stranger.statusCode, stranger.json().error.code]).toEqual([403, "forbidden"]);
  });
});

describe("in a cluster", () => {
  beforeEach(() => api.createCluster());

  test("reading needs a user, changing an administrator", async () => {
    addViewer("eve", "look");
    expect((await get("/api/v1/registry/node", basic("eve", "look"))).statusCode).toBe(200);
    const refused = await api.app.inject({ ...ZONE, headers: basic("eve", "look") });
    expect([refused.statusCode, refused.json().error.message]).toEqual([403, "forbidden"]);
    const done = await api.app.inject({ ...ZONE, headers: ADMIN });
    expect(done.statusCode).toBe(200);
  });

  test("a member that recovers its cluster is one all the while", async () => {
    const { state } = api.bootstrap;
    if (state.name !== "completed") throw new Error("it is no member");
    const { name: _name, ...how } = state;
    const { startedAt } = how;
    for (const name of ["initiated", "running"] as const) {
      api.bootstrap.state = {
        name,
        action: "recover_cluster",
        attempt: 2,
        startedAt,
        member: { ...how, incarnation: 1 },
      };
      expect((await get("/v1/bootstrap", {}, "127.0.0.1")).statusCode).toBe(401);
      expect((await get("/api/v1/registry/node", ADMIN)).statusCode).toBe(200);
    }
  });

  test("callers on a loopback address need credentials like everybody", async () => {
    expect((await get("/muster/v1/status", {}, "127.0.0.1")).statusCode).toBe(401);
  });

  test.each([
    ["nothing", {}],
    ["another scheme", { authorization: "Bearer abc" }],
    ["no base64", { authorization: "Basic ***" }],
    ["no colon", { authorization: `Basic ${Buffer.from("admin").toString("base64")}` }],
    ["no user", basic("", "secret")],
    ["an unknown user", basic("nobody", "secret")],
    ["a wrong password", basic("admin", "Secret")],
    ["no password", basic("admin", "")],
    ["an endless password", basic("admin", "x".repeat(1025))],
  ])("401 for %s", async (_what, headers) => {
    expect((await get("/api/v1/registry/node", headers as Record<string, string>)).statusCode).toBe(401);
  });

  test("an unknown user costs as much as a wrong password", async () => {
    await get("/muster/v1/status", basic("nobody", "secret"));
    expect([api.passwords.hashes, api.passwords.dummies]).toEqual([1, 1]);
  });

  test("a user name is written in UTF-8, a password may hold colons", async () => {
    addViewer("zoë", "a:b:ç");
    expect((await get("/muster/v1/status", basic("zoë", "a:b:ç"))).statusCode).toBe(200);
  });

  test("open paths ask for nothing", async () => {
    for (const path of ["/muster/v1/health/live", "/muster/v1/health/ready", "/muster/v1/mesh"]) {
      expect((await get(path)).statusCode).toBe(200);
    }
  });

  test("a write without a majority is refused at once, naming who is missing; reads go on", async () => {
    const peer = await api.addMember();
    const status = api.registry.status.bind(api.registry);
    api.registry.status = () => ({
      ...status(),
      quorum: false,
      leader: null,
      missing: [peer],
    });
    const refused = await api.app.inject({ ...ZONE, headers: ADMIN });
    expect(refused.statusCode).toBe(503);
    expect(refused.headers["retry-after"]).toBe("1");
    expect(refused.json().error).toMatchObject({ message: "quorum_lost" });
    expect(refused.body).toContain("host-2");
    expect((await get("/api/v1/registry/node", ADMIN)).statusCode).toBe(200);
  });

  test("a member whose registry is not loaded yet calls no password wrong", async () => {
    api.registry.state.cluster = null;
    api.registry.state.users.clear();
    const answer = await get("/v1/bootstrap", ADMIN);
    expect([answer.statusCode, answer.json().error_code]).toEqual([503, "quorum_lost"]);
  });

  test("who asked goes into the log of the cluster, with the caller's key", async () => {
    const first = await api.app.inject({ ...ZONE, headers: { ...ADMIN, "idempotency-key": "k-1" } });
    const again = await api.app.inject({ ...ZONE, headers: { ...ADMIN, "idempotency-key": "k-1" } });
    expect([again.statusCode, again.json()]).toEqual([200, first.json()]);
    const other = { ...ZONE, payload: { name: "y" }, headers: { ...ADMIN, "idempotency-key": "k-1" } };
    expect((await api.app.inject(other)).statusCode).toBe(422);
  });

  test.each(["", "a b", "ü", "x".repeat(129)])("no Idempotency-Key: %j", async (key) => {
    const answer = await api.app.inject({ ...ZONE, headers: { ...ADMIN, "idempotency-key": key } });
    expect([answer.statusCode, answer.body.includes("Idempotency-Key")]).toEqual([400, true]);
  });
});

describe("guessing", () => {
  beforeEach(() => api.createCluster());

  async function guess(times: number, remoteAddress: string, user = "admin"): Promise<number> {
    let last = 0;
    for (let i = 0; i < times; i += 1) {
      last = (await get("/muster/v1/status", basic(user, `wrong-${i}`), remoteAddress)).statusCode;
    }
    return last;
  }

  test("a source that fails again and again has to wait, longer each time", async () => {
    expect(await guess(10, "10.0.0.9")).toBe(401);
    const refused = await get("/muster/v1/status", basic("admin", "x"), "10.0.0.9");
    expect([refused.statusCode, refused.json().error.code]).toEqual([429, "too_many_attempts"]);
    expect(refused.headers["retry-after"]).toBe("1");
    await api.clock.advance(1000);
    expect(await guess(1, "10.0.0.9")).toBe(401);
    expect((await get("/muster/v1/status", basic("admin", "x"), "10.0.0.9")).headers["retry-after"]).toBe(
      "2",
    );
  });

  test("a refused guess costs no hash", async () => {
    await guess(10, "10.0.0.9");
    const { hashes } = api.passwords;
    await guess(5, "10.0.0.9");
    expect(api.passwords.hashes).toBe(hashes);
  });

  test("guesses that are made at the same time count, too", async () => {
    api.passwords.hold();
    const guesses = Array.from({ length: 30 }, (_, i) =>
      get("/muster/v1/status", basic("admin", `w${i}`), "10.0.0.9"),
    );
    // The last ones are refused while the first ones are still being checked.
    await guesses.at(-1);
    expect(api.passwords.hashes).toBe(10);
    api.passwords.release();
    await Promise.all(guesses);
  });

  test("other sources are not held up by one that guesses", async () => {
    await guess(12, "10.0.0.9");
    expect((await get("/muster/v1/status", ADMIN, "10.0.0.10")).statusCode).toBe(200);
  });

  test("addresses of one IPv6 subscriber are one source", async () => {
    for (let i = 0; i < 10; i += 1) await guess(1, `2001:db8::${i + 1}`);
    expect(await guess(1, "2001:db8::ffff")).toBe(429);
    expect(await guess(1, "2001:db8:0:1::1")).toBe(401);
  });

  test("strangers cannot lock out a user whose password is known to be right, nor the place it worked from", async () => {
    expect((await get("/muster/v1/status", ADMIN, "10.0.0.1")).statusCode).toBe(200);
    for (let i = 0; i < 40; i += 1) await guess(1, `10.9.${i}.1`);
    expect(await guess(1, "10.9.99.1")).toBe(429);
    // Cached.
    expect((await get("/muster/v1/status", ADMIN, "10.5.5.5")).statusCode).toBe(200);
    // No longer cached: five minutes later, with guessing going on.
    await api.clock.advance(5 * 60_000);
    for (let i = 0; i < 3; i += 1) await guess(1, `10.8.${i}.1`);
    expect((await get("/muster/v1/status", basic("admin", "secret"), "10.7.7.7")).statusCode).toBe(429);
    expect((await get("/muster/v1/status", ADMIN, "10.0.0.1")).statusCode).toBe(200);
  });

  test("after a quiet quarter of an hour all is forgotten", async () => {
    await guess(14, "10.0.0.9");
    await api.clock.advance(15 * 60_000);
    expect(await guess(10, "10.0.0.9")).toBe(401);
  });
});

describe("checked passwords are remembered", () => {
  beforeEach(() => api.createCluster());

  test("a second request costs no hash; five minutes later one does", async () => {
    await get("/muster/v1/status", ADMIN);
    await get("/api/v1/registry/node", ADMIN, "10.0.0.2");
    expect(api.passwords.hashes).toBe(1);
    await api.clock.advance(5 * 60_000);
    await get("/muster/v1/status", ADMIN);
    expect(api.passwords.hashes).toBe(2);
  });

  test("many at once share one hash", async () => {
    api.passwords.hold();
    const answers = Promise.all(Array.from({ length: 20 }, () => get("/muster/v1/status", ADMIN)));
    await new Promise((resolve) => setImmediate(resolve));
    api.passwords.release();
    expect(new Set((await answers).map(({ statusCode }) => statusCode))).toEqual(new Set([200]));
    expect(api.passwords.hashes).toBe(1);
  });

  test("a new password is in force at once, the old one is not", async () => {
    await get("/muster/v1/status", ADMIN);
    const user = api.registry.state.users.get("admin");
    if (user === undefined) throw new Error("no admin");
    api.registry.state.users.set("admin", { ...user, verifier: api.passwords.verifier("new") });
    expect((await get("/muster/v1/status", ADMIN)).statusCode).toBe(401);
    expect((await get("/muster/v1/status", basic("admin", "new"))).statusCode).toBe(200);
  });

  test("a user deleted during the check is not let in", async () => {
    api.passwords.hold();
    const answer = get("/muster/v1/status", ADMIN);
    await new Promise((resolve) => setImmediate(resolve));
    api.registry.state.users.delete("admin");
    api.passwords.release();
    expect((await answer).statusCode).toBe(401);
  });

  test("a check that could not be made is no failed login", async () => {
    const verify = api.passwords.verify.bind(api.passwords);
    api.passwords.verify = () => Promise.reject(new AppError("overloaded", { what: "password checks" }));
    for (let i = 0; i < 12; i += 1) {
      expect((await get("/muster/v1/status", basic("admin", `w${i}`))).statusCode).toBe(503);
    }
    api.passwords.verify = verify;
    expect((await get("/muster/v1/status", ADMIN)).statusCode).toBe(200);
  });
});
