import { describe, expect, test } from "vitest";

import { TOKEN_KEPT_MS, TOKENS_MAX, USERS_MAX } from "#shared/lib/limits.ts";
import type { Command } from "#shared/registry/command.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import type { JoinToken } from "#shared/registry/state.ts";
import { kindOf, makeCluster, makeMember, RegistryLog, VERIFIER } from "#test/support/registry-log.ts";

const ADMIN = "admin@example.com";
const KEYS = { stored_key: "c3Q=", server_key: "c2s=" };

const token = (id: string, ttl_ms = 1000): Command => ({
  type: "token.create",
  id,
  keys: KEYS,
  ttl_ms,
  created_by: ADMIN,
  note: "for host 2",
});

function cluster(): RegistryLog {
  const log = new RegistryLog();
  log.must(makeCluster());
  return log;
}

describe("users", () => {
  test("get the next uid and what they pass", () => {
    const log = cluster();
    const created = log.apply(
      { type: "user.create", name: "vera", role: "viewer", verifier: VERIFIER, display_name: "Vera" },
      { at: 700 },
    );
    expect(created).toMatchObject({
      result: { ok: true, value: { uid: 2 } },
      changes: [{ topic: "users", op: "set", id: "vera" }],
    });
    expect(log.state.users.get("vera")).toEqual({
      uid: 2,
      name: "vera",
      role: "viewer",
      verifier: VERIFIER,
      createdAt: 700,
      passwordAt: 700,
      displayName: "Vera",
      emailAlerts: false,
    });
  });

  test("a name is taken once; a uid is never given again", () => {
    const log = cluster();
    const vera: Command = { type: "user.create", name: "vera", role: "admin", verifier: VERIFIER };
    log.must(vera);
    expect(log.apply(vera).result).toEqual({
      ok: false,
      refusal: { kind: "user_exists", facts: { name: "vera" } },
    });
    log.must({ type: "user.delete", name: "vera" });
    expect(log.must(vera)).toEqual({ uid: 3 });
  });

  test("are so many at most", () => {
    const log = cluster();
    const admin = log.state.users.get(ADMIN);
    if (admin === undefined) throw new Error("no administrator");
    for (let n = 1; n < USERS_MAX; n += 1) log.state.users.set(`u${n}`, { ...admin, name: `u${n}` });
    const create: Command = { type: "user.create", name: "one more", role: "admin", verifier: VERIFIER };
    expect(log.apply(create).result).toMatchObject({
      refusal: { kind: "limit_reached", facts: { what: "users", limit: USERS_MAX } },
    });
  });

  test("an update replaces what it passes; only a new password is dated", () => {
    const log = cluster();
    log.must({ type: "user.create", name: "vera", role: "viewer", verifier: VERIFIER });
    const before = log.state.users.get("vera");
    log.apply({ type: "user.update", name: "vera", role: "admin", email_alerts: true }, { at: 800 });
    expect(log.state.users.get("vera")).toEqual({ ...before, role: "admin", emailAlerts: true });
    const verifier = { ...VERIFIER, salt: "bmV3" };
    log.apply({ type: "user.update", name: "vera", verifier }, { at: 900 });
    expect(log.state.users.get("vera")).toMatchObject({ verifier, passwordAt: 900, role: "admin" });
    const nothing = log.apply({ type: "user.update", name: "vera", email_alerts: true });
    expect(nothing).toMatchObject({ result: { ok: true, value: { uid: 2 } }, changes: [] });
  });

  test("a stranger is neither updated nor deleted", () => {
    const log = cluster();
    for (const type of ["user.update", "user.delete"] as const) {
      expect(log.apply({ type, name: "nobody" }).result).toEqual({
        ok: false,
        refusal: { kind: "user_not_found", facts: { name: "nobody" } },
      });
    }
  });

  test("the last administrator stays one; the last but one need not", () => {
    const log = cluster();
    const demote: Command = { type: "user.update", name: ADMIN, role: "viewer" };
    const remove: Command = { type: "user.delete", name: ADMIN };
    log.must({ type: "user.create", name: "vera", role: "viewer", verifier: VERIFIER });
    for (const [command, what] of [
      [demote, `make a viewer of ${ADMIN}`],
      [remove, `delete ${ADMIN}`],
    ] as const) {
      const before = log.state.users.get(ADMIN);
      expect(log.apply(command).result).toEqual({
        ok: false,
        refusal: { kind: "change_refused", facts: { what, reason: "it is the last administrator" } },
      });
      expect(log.state.users.get(ADMIN)).toBe(before);
    }
    log.must({ type: "user.update", name: ADMIN, display_name: "still one" });
    log.must({ type: "user.update", name: "vera", role: "admin" });
    log.must(remove);
    expect(kindOf(log.apply({ type: "user.delete", name: "vera" }))).toBe("change_refused");
  });
});

describe("join tokens", () => {
  test("are kept with the keys of their secret, and a watcher is told no more than the id", () => {
    const log = cluster();
    const created = log.apply(token("t"), { at: 5000 });
    expect(created.result).toEqual({ ok: true, value: { expires_at: 6000 } });
    expect(created.changes).toEqual([{ index: 2, at: 5000, topic: "tokens", op: "set", id: "t" }]);
    expect(log.state.tokens.get("t")).toEqual({
      id: "t",
      keys: KEYS,
      note: "for host 2",
      createdBy: ADMIN,
      createdAt: 5000,
      expiresAt: 6000,
      usedBy: null,
      usedAt: null,
    });
  });

  test("go with the right of their maker to let hosts in, unless they were used", () => {
    for (const end of [
      { type: "user.delete", name: "vera" },
      { type: "user.update", name: "vera", role: "viewer" },
    ] as const) {
      const log = cluster();
      log.must({ type: "user.create", name: "vera", role: "admin", verifier: VERIFIER });
      for (const id of ["hers", "used"]) log.must({ ...token(id), created_by: "vera" } as Command);
      log.must(token("another's"));
      log.must({ type: "member.add", member: makeMember(2), token: "used" });
      log.must({ type: "user.update", name: "vera", display_name: "Vera" });
      expect(log.state.tokens.has("hers")).toBe(true);
      const { changes } = log.apply(end);
      expect([...log.state.tokens.keys()].sort()).toEqual(["another's", "used"]);
      expect(changes).toContainEqual(expect.objectContaining({ topic: "tokens", op: "delete", id: "hers" }));
    }
  });

  test("an id is given once, and revoking takes it off the list", () => {
    const log = cluster();
    log.must(token("t"));
    expect(log.apply(token("t")).result).toEqual({
      ok: false,
      refusal: { kind: "bad_request", facts: { field: "id", rule: "is in use" } },
    });
    const revoked = log.apply({ type: "token.revoke", id: "t" });
    expect(revoked.changes).toMatchObject([{ topic: "tokens", op: "delete", id: "t" }]);
    expect(log.apply({ type: "token.revoke", id: "t" }).result).toEqual({
      ok: false,
      refusal: { kind: "token_not_found", facts: { token: "t" } },
    });
  });

  test("are forgotten some time after they expired or were used, whichever came first, in the order of their ids", () => {
    const log = cluster();
    log.apply(token("z-expired", 1000), { at: 10_000 });
    log.apply(token("b-used", 60_000), { at: 10_000 });
    log.apply({ type: "member.add", member: makeMember(2), token: "b-used" }, { at: 11_000 });
    log.apply(token("later", 60_000), { at: 11_000 });
    log.apply(token("x"), { at: 11_000 + TOKEN_KEPT_MS - 1 });
    expect([...log.state.tokens.keys()].toSorted()).toEqual(["b-used", "later", "x", "z-expired"]);
    const applied = log.apply(token("y"), { at: 11_000 + TOKEN_KEPT_MS });
    expect(applied.changes.map(({ op, id }) => `${op} ${id}`)).toEqual([
      "delete b-used",
      "delete z-expired",
      "set y",
    ]);
    expect([...log.state.tokens.keys()].toSorted()).toEqual(["later", "x", "y"]);
  });

  test("are so many at most; those that are of no use make room, and a refusal forgets nobody", () => {
    const log = cluster();
    log.apply(token("old"), { at: 1000 });
    const old = log.state.tokens.get("old") as JoinToken;
    for (let n = 1; n < TOKENS_MAX; n += 1) log.state.tokens.set(`t${n}`, { ...old, id: `t${n}` });
    const full = encodeState({ ...log.state, index: 0, sessions: new Map() });
    expect(log.apply(token("new"), { at: 2000 }).result).toMatchObject({
      refusal: { kind: "limit_reached", facts: { what: "join tokens", limit: TOKENS_MAX } },
    });
    expect(JSON.parse(encodeState(log.state))).toMatchObject({
      tokens: (JSON.parse(full) as { tokens: object[] }).tokens,
    });
    expect(log.apply(token("new"), { at: 2000 + TOKEN_KEPT_MS }).result).toMatchObject({ ok: true });
    expect([...log.state.tokens.keys()]).toEqual(["new"]);
  });
});

describe("what an administrator configures", () => {
  const configure = (more: object): Command => ({ type: "cluster.configure", ...more });

  test("replaces what is passed, the policy field by field", () => {
    const log = cluster();
    log.must(configure({ policy: { default_shards_placement: "dense" }, license: "a" }));
    log.must(configure({ policy: { shards_overbooking: false }, dns_suffixes: [{ name: "a.example" }] }));
    log.must(configure({ trusted_ca: "pem", repair_policy: "open" }));
    expect(log.state.cluster).toMatchObject({
      policy: {
        default_shards_placement: "dense",
        shards_overbooking: false,
        default_sharded_proxy_policy: "all-master-shards",
      },
      license: "a",
      dnsSuffixes: [{ name: "a.example" }],
      trustedCa: "pem",
      settings: { repairPolicy: "open", candidatePoolSize: 10 },
    });
    log.must(configure({ license: "", dns_suffixes: [] }));
    expect(log.state.cluster).toMatchObject({ license: "", dnsSuffixes: [], trustedCa: "pem" });
    expect(log.apply(configure({ license: "", policy: { shards_overbooking: false } })).changes).toEqual([]);
  });

  test("rack awareness is switched on once all members have racks, and never off again", () => {
    const log = cluster();
    const refusal = (reason: string): object => ({
      refusal: { kind: "change_refused", facts: { what: "change rack awareness", reason } },
    });
    expect(log.apply(configure({ rack_aware: true, license: "b" })).result).toMatchObject(
      refusal("these members have no rack_id: tnt1.public.i"),
    );
    expect(log.state.cluster?.license).toBe("");
    log.must({ type: "member.configure", peer: "peer-1", rack_id: "a" });
    log.must(configure({ rack_aware: true }));
    log.must(configure({ rack_aware: true }));
    expect(log.apply(configure({ rack_aware: false })).result).toMatchObject(
      refusal("it cannot be switched off again"),
    );
  });

  test("of a member: only what is passed changes", () => {
    const log = cluster();
    const before = log.state.members.get("peer-1");
    const passed = {
      addr: "10.7.7.7",
      external_addrs: ["10.1.1.1"],
      second_rack_id: "two",
      accept_servers: false,
      max_listeners: 5,
      max_redis_servers: 6,
    };
    for (const [field, value] of Object.entries(passed)) {
      log.must({ type: "member.configure", peer: "peer-1", [field]: value });
    }
    expect(log.state.members.get("peer-1")).toEqual({ ...before, ...passed });
    expect(log.apply({ type: "member.configure", peer: "peer-1", ...passed }).changes).toEqual([]);
    expect(kindOf(log.apply({ type: "member.configure", peer: "peer-9" }))).toBe("member_not_found");
  });
});
