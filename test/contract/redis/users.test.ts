import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { ADMIN, basic, FakeApi, VIEWER } from "#test/support/fake-api.ts";

// Goal: users as clients of this API make and change them; nothing of a password ever comes back or is logged.

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

type Method = "GET" | "POST" | "PUT" | "DELETE";
const answers: string[] = [];

async function call(method: Method, url: string, payload?: object, headers: Record<string, string> = ADMIN) {
  const answer = await api.app.inject({
    method,
    url,
    headers,
    ...(payload === undefined ? {} : { payload }),
  });
  answers.push(answer.body);
  return answer;
}

const ALICE = { email: "alice@example.com", password: "wonder-land", name: "Alice", role: "admin" };
const login = (user: { readonly email: string; readonly password: string }) =>
  basic(user.email, user.password);

describe("/v1/users", () => {
  test("begins with the administrator", async () => {
    expect((await call("GET", "/v1/users")).json()).toEqual([
      {
        uid: 1,
        email: "admin",
        name: "Administrator",
        role: "admin",
        role_uids: [1],
        auth_method: "regular",
        status: "active",
        email_alerts: false,
        password_issue_date: "2023-11-14T22:13:20Z",
      },
    ]);
  });

  test("a user is made, shown, changed, and taken out again", async () => {
    const made = await call("POST", "/v1/users", {
      ...ALICE,
      email_alerts: true,
      auth_method: "regular",
      bdb: 1,
    });
    const shown = {
      uid: 2,
      email: "alice@example.com",
      name: "Alice",
      role: "admin",
      role_uids: [1],
      auth_method: "regular",
      status: "active",
      email_alerts: true,
      password_issue_date: "2023-11-14T22:13:20Z",
    };
    expect([made.statusCode, made.json()]).toEqual([200, shown]);
    expect((await call("GET", "/v1/users/2", undefined, login(ALICE))).json()).toEqual(shown);

    const changes = { name: "A.", role: "viewer", email_alerts: false };
    const changed = await call("PUT", "/v1/users/2", { ...changes, email: ALICE.email });
    expect([changed.statusCode, changed.json()]).toEqual([200, { ...shown, ...changes, role_uids: [3] }]);
    expect((await call("PUT", "/v1/users/2", {}, login(ALICE))).statusCode).toBe(403);

    await call("PUT", "/v1/users/2", { password: "looking-glass" });
    expect((await call("GET", "/v1/users", undefined, login(ALICE))).statusCode).toBe(401);
    const fresh = basic(ALICE.email, "looking-glass");
    expect((await call("GET", "/v1/users", undefined, fresh)).json()).toHaveLength(2);

    const gone = await call("DELETE", "/v1/users/2");
    expect([gone.statusCode, gone.body]).toEqual([200, ""]);
    expect((await call("GET", "/v1/users/2")).statusCode).toBe(404);
    expect((await call("GET", "/v1/users", undefined, fresh)).statusCode).toBe(401);
  });

  test("nothing of any password came back or was logged", async () => {
    await call("POST", "/v1/users", ALICE);
    await call("POST", "/v1/users", { ...ALICE, password: 7 });
    await call("PUT", "/v1/users/2", { password: "look\u0000ing-glass" });
    const said = answers.join() + JSON.stringify(api.log.lines);
    for (const secret of ["wonder-land", "ing-glass", "stored_key", "server_key", "salt", "scrypt"]) {
      expect(said).not.toContain(secret);
    }
  });

  test("without a role a user may only look", async () => {
    const { role: _, ...plain } = ALICE;
    expect((await call("POST", "/v1/users", plain)).json().role).toBe("viewer");
  });

  test.each([
    [{ role: "admin" }, "admin"],
    [{ role: "viewer" }, "viewer"],
    [{ role: "cluster_viewer" }, "viewer"],
    [{ role: "db_viewer" }, "viewer"],
    [{ role: "", role_uids: [1] }, "admin"],
    [{ role_uids: [3, 5] }, "viewer"],
    [{ role: "admin", role_uids: [1] }, "admin"],
  ])("%j is %s", async (given, role) => {
    const { role: _, ...plain } = ALICE;
    expect((await call("POST", "/v1/users", { ...plain, ...given })).json().role).toBe(role);
  });

  test.each([
    [{ role: "db_member" }, "role_not_supported", "role"],
    [{ role: "constructor" }, "role_not_supported", "role"],
    [{ role: undefined, role_uids: [2] }, "role_not_supported", "role_uids"],
    [{ role: "admin", role_uids: [3] }, "role_not_supported", "role"],
    [{ auth_method: "certificate" }, "auth_method_not_supported", "auth_method"],
  ])("%j: 406", async (given, code, field) => {
    const answer = await call("POST", "/v1/users", { ...ALICE, ...given });
    expect([answer.statusCode, answer.json().error_code, answer.json().error_details.field]).toEqual([
      406,
      code,
      field,
    ]);
    expect(api.registry.state.users.size).toBe(1);
  });

  test.each([
    ["email", undefined],
    ["email", ""],
    ["email", "a:b"],
    ["email", "a<b"],
    ["email", 1],
    ["password", undefined],
    ["password", ""],
    ["password", "a\nb"],
    ["password", 1],
    ["name", 1],
    ["role", 1],
    ["role_uids", ["1"], "role_uids.0"],
    ["email_alerts", "yes"],
  ])("%s of %j: 400", async (field, value, told = field) => {
    const answer = await call("POST", "/v1/users", { ...ALICE, [field]: value });
    expect([answer.statusCode, answer.json().error_code, answer.json().error_details.field]).toEqual([
      400,
      "config_error",
      told,
    ]);
    expect(api.registry.state.users.size).toBe(1);
  });

  test("a name is taken once, and kept", async () => {
    await call("POST", "/v1/users", ALICE);
    const twice = await call("POST", "/v1/users", ALICE);
    expect([twice.statusCode, twice.json().error_code]).toEqual([409, "email_already_exists"]);
    const renamed = await call("PUT", "/v1/users/2", { email: "bob" });
    expect([renamed.statusCode, renamed.json().error_code]).toEqual([406, "email_fixed"]);
  });

  test("the last administrator stays one", async () => {
    for (const answer of [
      await call("DELETE", "/v1/users/1"),
      await call("PUT", "/v1/users/1", { role: "viewer" }),
    ]) {
      expect([answer.statusCode, answer.json().error_code]).toEqual([406, "change_refused"]);
    }
    await call("POST", "/v1/users", ALICE);
    expect((await call("DELETE", "/v1/users/1")).statusCode).toBe(200);
  });

  test.each(["9", "x", "01"])("there is no user %s: 404", async (uid) => {
    for (const answer of [
      await call("GET", `/v1/users/${uid}`),
      await call("PUT", `/v1/users/${uid}`, {}),
      await call("DELETE", `/v1/users/${uid}`),
    ]) {
      expect([answer.statusCode, answer.json().error_code]).toEqual([404, "user_not_found"]);
    }
  });

  test("who may look may not change", async () => {
    await api.addViewer();
    expect((await call("GET", "/v1/users", undefined, VIEWER)).json()).toHaveLength(2);
    expect((await call("POST", "/v1/users", ALICE, VIEWER)).statusCode).toBe(403);
    expect((await call("PUT", "/v1/users/1", {}, VIEWER)).statusCode).toBe(403);
    expect((await call("DELETE", "/v1/users/2", undefined, VIEWER)).statusCode).toBe(403);
  });

  test("an idempotency key has no meaning for a password, and one for the rest", async () => {
    const key = { ...ADMIN, "idempotency-key": "k" };
    const answer = await call("POST", "/v1/users", ALICE, key);
    expect([answer.statusCode, answer.json().error_details.field]).toEqual([400, "Idempotency-Key"]);
    await call("POST", "/v1/users", ALICE);
    expect((await call("DELETE", "/v1/users/2", undefined, key)).statusCode).toBe(200);
  });

  test("a change that was not read before is refused by If-Match", async () => {
    const { etag } = (await call("GET", "/v1/users/1")).headers;
    const mine = { ...ADMIN, "if-match": String(etag) };
    expect((await call("PUT", "/v1/users/1", { name: "A" }, mine)).statusCode).toBe(200);
    expect((await call("PUT", "/v1/users/1", { name: "B" }, mine)).statusCode).toBe(412);
  });
});
