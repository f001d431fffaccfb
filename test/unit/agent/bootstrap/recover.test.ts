import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { request } from "./fake-host.ts";
import { CUT } from "./fake-strangers.ts";
import { history, PASSWORD, Ruins, type Host } from "./ruins.ts";
import { COPY_PIECE_BYTES } from "#agent/bootstrap/copy-messages.ts";
import { StoreDamaged } from "#agent/ports/store.ts";
import type { Wire } from "#agent/ports/transport.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import type { RecoveryPlan } from "#shared/bootstrap/recovery.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { Prng } from "#shared/lib/prng.ts";
import { RECOVERY_INDEX_GAP } from "#shared/lib/limits.ts";
import { openMemoryStores } from "#test/support/memory-store.ts";
import { makeMember, type RegistryLog } from "#test/support/registry-log.ts";

const ANONYMOUS = request({ credentials: { username: "", password: "" } });
const BY = { by: "admin", timeoutMs: 5000 } as const;

let dir: string;
let ruins: Ruins;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-recover-"));
  ruins = new Ruins(dir);
});
afterEach(async () => {
  await ruins[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const zone =
  (...names: string[]) =>
  (log: RegistryLog): void => {
    for (const name of names) log.must({ type: "zone.create", name });
  };

/** A member of the lost cluster, whose log has these zones beside the first one. */
async function survivor(n: number, zones: string[] = [], options: { term?: number } = {}): Promise<Host> {
  const entries = await history(zone(...zones), options);
  return ruins.host(n, { entries, commit: entries.length });
}

const zonesOf = (host: Host): string[] => [...host.state.zones.values()].map(({ name }) => name);
const named = (state: BootstrapState) =>
  state.name === "completed" ? (state.recovery?.failure ?? null) : "failure" in state ? state.failure : null;

async function planOf(host: Host, body: BootstrapRequest): Promise<RecoveryPlan> {
  const validation = await host.rehearse(body);
  if (validation.ok && validation.recovery !== undefined) return validation.recovery;
  throw new Error(JSON.stringify(validation));
}

describe("from this host's own store", () => {
  test("it carries the cluster on alone: users, zones, members and registry are what they were", async () => {
    const host = await survivor(2, ["zone-2"]);
    expect(await host.recover(ANONYMOUS)).toMatchObject({ name: "completed", action: "recover_cluster" });
    expect(named(host.bootstrap.state)).toBeNull();
    expect(zonesOf(host)).toEqual(["zone-1", "zone-2"]);
    expect(host.state.users.has("admin")).toBe(true);
    expect(host.state.cluster).toMatchObject({ id: "c1", name: "my.cluster", incarnation: 2 });
    expect(host.identity).toMatchObject({ clusterId: "c1", incarnation: 2, uid: 2 });
    expect(host.identity?.lineage).toMatch(/^[0-9a-f-]{36}$/);
    expect(host.bootstrap.uid).toBe(2);
    const members = [...host.state.members.values()];
    expect(members.map(({ uid, failedAt }) => [uid, failedAt !== null])).toEqual([
      [1, true],
      [2, false],
      ...[3, 4, 5, 6, 7].map((uid) => [uid, true]),
    ]);
    expect(host.group.replica.status().config.voters).toEqual([host.peer]);
  });

  test("it takes writes at once, and holds everything after the next start", async () => {
    const host = await survivor(2);
    await host.recover(ANONYMOUS);
    const { index } = await host.group.replica.submit({ type: "zone.create", name: "later" }, BY);
    expect(index).toBeGreaterThan(RECOVERY_INDEX_GAP);
    await host.kill();
    await host.boot();
    expect(host.bootstrap.state).toMatchObject({ name: "completed", action: "recover_cluster" });
    await host.group.replica.readBarrier({ timeoutMs: 5000 });
    expect(zonesOf(host)).toEqual(["zone-1", "later"]);
  });

  test("what was acknowledged is there, though this host did not know that it was committed", async () => {
    const entries = await history(zone("acknowledged"));
    const host = await ruins.host(2, { entries, commit: entries.length - 1 });
    expect(zonesOf(host)).not.toContain("acknowledged"); // It cannot know before there is a leader.
    await host.recover(ANONYMOUS);
    expect(zonesOf(host)).toContain("acknowledged");
  });

  test("what it held is backed up first", async () => {
    const host = await survivor(2, ["zone-2"]);
    await host.recover(ANONYMOUS);
    const [name = ""] = await readdir(join(host.persistent, "backups"));
    const { head, state } = await host.backups.read(name);
    expect(head).toMatchObject({ cluster_id: "c1", incarnation: 1 });
    expect([...state.zones.values()].map((one) => one.name)).toEqual(["zone-1", "zone-2"]);
  });

  test("the parts of the attempt are told", async () => {
    const host = await survivor(2);
    await host.recover(ANONYMOUS);
    const steps = ["preflight", "survey", "backup", "write", "start"];
    expect(host.bootstrap.steps.map(({ name, state }) => [name, state])).toEqual(
      steps.map((name) => [name, "done"]),
    );
  });

  test("storage folders that were chosen stay chosen", async () => {
    const entries = await history();
    const paths = { persistent: join(dir, "chosen"), ephemeral: join(dir, "tmp"), bigstore: null };
    const host = await ruins.host(2, { entries, commit: entries.length, identity: { paths } });
    await host.recover(ANONYMOUS);
    expect(host.identity?.paths).toEqual(paths);
  });

  test("a second time, by mistake, it is refused: the cluster has a leader", async () => {
    const host = await survivor(2);
    await host.recover(ANONYMOUS);
    await expect(host.recover(ANONYMOUS)).rejects.toMatchObject({ kind: "already_in_cluster" });
    expect(host.identity?.incarnation).toBe(2);
  });
});

describe("credentials", () => {
  test("those of an administrator are taken", async () => {
    const host = await survivor(2);
    await host.recover(request());
    expect(host.identity?.incarnation).toBe(2);
  });

  test.each([
    ["a wrong password", { username: "admin", password: "wrong" }],
    ["an unknown user", { username: "nobody", password: PASSWORD }],
  ])("%s, though none is needed: access_denied", async (_what, credentials) => {
    const host = await survivor(2);
    expect(named(await host.recover(request({ credentials })))).toMatchObject({ code: "access_denied" });
    expect(host.identity?.incarnation).toBe(1);
  });

  test("a user who is no administrator", async () => {
    const entries = await history((log) => {
      const { verifier } = log.state.users.get("admin") ?? {};
      log.must({ type: "user.create", name: "viewer", role: "viewer", verifier } as never);
    });
    const host = await ruins.host(2, { entries, commit: entries.length });
    const credentials = { username: "viewer", password: PASSWORD };
    expect(named(await host.recover(request({ credentials })))).toMatchObject({ code: "access_denied" });
  });
});

describe("from the best of several copies", () => {
  test("the newest log is fetched from whoever has it; members are found by the own copy", async () => {
    const host = await survivor(1);
    await survivor(2, ["zone-2", "zone-3"]);
    await survivor(3, ["zone-2"]);
    await host.recover(request());
    expect(zonesOf(host)).toEqual(["zone-1", "zone-2", "zone-3"]);
    expect(host.identity).toMatchObject({ incarnation: 2, uid: 1 });
    expect(await readdir(join(host.persistent, "backups"))).toHaveLength(2); // Its own, and the one it took.
  });

  test("a later leader's short log beats a longer one of before (§3.6.1)", async () => {
    const host = await survivor(1, ["lost-2", "lost-3"]);
    await survivor(2, ["kept"], { term: 2 });
    await host.recover(request());
    expect(zonesOf(host)).toEqual(["zone-1", "kept"]);
  });

  test("a tail that its holder did not know to be committed comes along", async () => {
    const host = await survivor(1);
    const entries = await history(zone("acknowledged"));
    await ruins.host(3, { entries, commit: entries.length - 1 });
    await host.recover(request());
    expect(zonesOf(host)).toEqual(["zone-1", "acknowledged"]);
  });

  test("without credentials others are only asked whether the cluster is lost, and that is told", async () => {
    const host = await survivor(1);
    const other = await survivor(2, ["zone-2"]);
    const { chosen, losses, unreachable } = await planOf(host, ANONYMOUS);
    expect(chosen.source).toBe("store");
    expect(losses.join()).toContain(other.name);
    expect(unreachable).toContainEqual({
      address: `${other.name} (${other.address})`,
      cause: expect.stringContaining("give credentials") as string,
    });
  });

  test("a copy of many pieces arrives whole, though the line is cut in between", async () => {
    const host = await survivor(1);
    const prng = new Prng(1);
    const noise = (): string =>
      Buffer.from(Array.from({ length: 60 }, () => prng.below(256))).toString("base64");
    const names = Array.from({ length: 2000 }, (_, i) => `${i} ${noise()}`);
    await survivor(2, names);
    let pieces = 0;
    let cuts = 0;
    ruins.strangers.meddle = ({ body }) => {
      if (!isPiece(body)) return body;
      pieces += 1;
      if (pieces !== 2) return body;
      cuts += 1;
      return CUT;
    };
    await host.recover(request());
    expect(zonesOf(host)).toHaveLength(names.length + 1);
    expect(cuts).toBe(1);
    expect(pieces).toBeGreaterThan(2);
  });

  test("neither the password nor a verifier is said to anybody without a proof", async () => {
    const host = await survivor(1);
    await survivor(2, ["zone-2"]);
    const said: string[] = [];
    ruins.strangers.meddle = ({ body }) => {
      said.push(JSON.stringify(body));
      return body;
    };
    const credentials = { username: "admin", password: "wrong" };
    await host.rehearse(request({ credentials }));
    const { stored_key, server_key } = host.state.users.get("admin")?.verifier ?? {};
    for (const secret of ["wrong", stored_key, server_key]) expect(said.join()).not.toContain(secret);
    expect(said.some((text) => text.includes("sha256") || text.includes("server_signature"))).toBe(false);
  });
});

const isPiece = (body: Wire): body is { data: string; sha256: string; packed_bytes: number } =>
  typeof body === "object" && body !== null && "packed_bytes" in body;

describe("a holder that lies", () => {
  /** Host 2 has the newer copy, and something else arrives than what it says. */
  async function liar(lie: (piece: { data: string; sha256: string; packed_bytes: number }) => Wire) {
    const host = await survivor(1);
    await survivor(2, ["zone-2"]);
    ruins.strangers.meddle = ({ body }) => (isPiece(body) ? lie(body) : body);
    return host;
  }

  test.each<[string, (piece: { data: string; sha256: string; packed_bytes: number }) => Wire]>([
    ["a damaged copy", (piece) => ({ ...piece, data: piece.data.replace(/^..../, "AAAA") })],
    ["another copy than its hash says", (piece) => ({ ...piece, sha256: "0".repeat(64) })],
    ["a copy that is larger than it said", (piece) => ({ ...piece, bytes: 10 })],
    ["a copy of absurd size", (piece) => ({ ...piece, packed_bytes: 2 ** 40 })],
    ["pieces of a byte", (piece) => ({ ...piece, data: "AA==", packed_bytes: 2 * COPY_PIECE_BYTES })],
    ["nothing of the kind", () => "what?"],
  ])("%s: it is passed over, and named", async (_what, lie) => {
    let pieces = 0;
    const host = await liar((piece) => {
      pieces += 1;
      return lie(piece);
    });
    const plan = await planOf(host, request());
    expect(plan.chosen.source).toBe("store");
    expect(pieces).toBe(1); // It gets no second chance, and cannot keep the asker busy.
    expect(plan.losses.join()).toContain("tnt2");
    await host.recover(request());
    expect(zonesOf(host)).toEqual(["zone-1"]);
  });

  test("a copy that is not the one it had told of", async () => {
    const host = await survivor(1);
    await survivor(2, ["zone-2"]);
    const isHead = (body: Wire): body is { index: number } =>
      typeof body === "object" && body !== null && "index" in body && "server_signature" in body;
    ruins.strangers.meddle = ({ body }) => (isHead(body) ? { ...body, index: body.index + 1000 } : body);
    const plan = await planOf(host, request());
    expect(plan.chosen.source).toBe("store");
  });

  test("one that does not know the verifier is not believed", async () => {
    const host = await survivor(1);
    await survivor(2, ["zone-2"]);
    ruins.strangers.meddle = ({ body }) =>
      typeof body === "object" && body !== null && "server_signature" in body
        ? { ...body, server_signature: Buffer.alloc(32).toString("base64") }
        : body;
    const plan = await planOf(host, request());
    expect(plan.chosen.source).toBe("store");
  });
});

describe("on a fresh host, from agents that were named", () => {
  const nodes = ["10.0.0.2"];

  test("it takes the place of the first node, and whoever it was is fenced out for good", async () => {
    await survivor(2, ["zone-2"]);
    const fresh = await ruins.host(9);
    expect(await fresh.recover(request({ nodes }))).toMatchObject({ name: "completed" });
    expect(zonesOf(fresh)).toEqual(["zone-1", "zone-2"]);
    expect(fresh.identity).toMatchObject({ clusterId: "c1", incarnation: 2, uid: 1 });
    expect(fresh.state.tombstones.has("peer-1")).toBe(true);
  });

  test("members whom only the fetched copy knows are asked as well", async () => {
    await survivor(2);
    await survivor(3, ["zone-2"]);
    const fresh = await ruins.host(9);
    const plan = await planOf(fresh, request({ nodes }));
    expect(plan.chosen).toMatchObject({ source: "agent", peer: "peer-3" });
    expect(plan.candidates.map(({ peer }) => peer)).toEqual(["peer-3", "peer-2"]);
    expect(plan.rejoin.map(({ uid }) => uid)).toEqual([2, 3, 4, 5, 6, 7]);
    expect(plan.losses).toEqual([expect.stringContaining("tnt1.public.i (10.0.0.1), tnt4.public.i")]);
  });

  test("with a wrong password: access_denied, and nothing is left behind", async () => {
    await survivor(2);
    const fresh = await ruins.host(9);
    const credentials = { username: "admin", password: "wrong" };
    expect(await fresh.recover(request({ nodes, credentials }))).toMatchObject({
      name: "error",
      failure: { code: "access_denied" },
    });
    expect(fresh.identity).toBeNull();
  });

  test("who guesses passwords is slowed down", async () => {
    await survivor(2);
    const fresh = await ruins.host(9);
    const guess = request({ nodes, credentials: { username: "admin", password: "wrong" } });
    for (let i = 0; i < 10; i += 1) await fresh.rehearse(guess);
    const right = await fresh.rehearse(request({ nodes }));
    expect(right).toMatchObject({ ok: false, failure: { code: "access_denied" } });
    expect(JSON.stringify(right)).toContain("too many failed logins");
  });

  test("the place of a node that answers is not taken", async () => {
    await survivor(2);
    const fresh = await ruins.host(9);
    const identity = { externalAddrs: [], uid: 2 };
    expect(await fresh.recover(request({ nodes, identity }))).toMatchObject({
      failure: { code: "config_error", details: { field: "node.identity.uid" } },
    });
    expect(fresh.identity).toBeNull();
  });

  test("nobody there: which ways there are is told", async () => {
    const fresh = await ruins.host(9);
    expect(await fresh.recover(request({ nodes }))).toMatchObject({
      failure: { code: "config_error", details: { field: "cluster.nodes" } },
    });
  });
});

describe("from a backup", () => {
  /** A backup that host 2 made, as a file anywhere. */
  async function backup(zones: string[], to: string): Promise<string> {
    const other = new Ruins(dir);
    try {
      const entries = await history(zone(...zones));
      const host = await other.host(2, { entries, commit: entries.length });
      const copy = await host.group.cluster.copy();
      if (copy === null) throw new Error("host 2 holds a copy");
      await writeFile(to, host.backups.pack(copy.state, copy.identity));
    } finally {
      await other[Symbol.asyncDispose]();
    }
    return to;
  }

  test("by its absolute path, on a fresh host, without a password", async () => {
    const recoveryFilename = await backup(["zone-2"], join(dir, "copy.muster"));
    const fresh = await ruins.host(9);
    expect(await fresh.recover({ ...ANONYMOUS, recoveryFilename })).toMatchObject({ name: "completed" });
    expect(zonesOf(fresh)).toEqual(["zone-1", "zone-2"]);
    expect(fresh.identity).toMatchObject({ incarnation: 2, uid: 1 });
  });

  test("as another node than the first, when that is said", async () => {
    const recoveryFilename = await backup([], join(dir, "copy.muster"));
    const fresh = await ruins.host(9);
    await fresh.recover({ ...ANONYMOUS, recoveryFilename, identity: { externalAddrs: [], uid: 3 } });
    expect(fresh.identity?.uid).toBe(3);
    expect(fresh.state.tombstones.has("peer-3")).toBe(true);
  });

  test("a node that there is none of: config_error", async () => {
    const recoveryFilename = await backup([], join(dir, "copy.muster"));
    const fresh = await ruins.host(9);
    const body = { ...ANONYMOUS, recoveryFilename, identity: { externalAddrs: [], uid: 9 } };
    expect(await fresh.recover(body)).toMatchObject({
      failure: { code: "config_error", details: { field: "node.identity.uid" } },
    });
    expect(fresh.identity).toBeNull();
  });

  test.each(["persistent", "ephemeral"] as const)("relative to the %s path of the request", async (kind) => {
    const mounted = await mkdtemp(join(dir, "old-"));
    await backup(["zone-2"], join(mounted, "copy.muster"));
    const fresh = await ruins.host(9);
    const paths = { [kind]: mounted };
    await fresh.recover({ ...ANONYMOUS, recoveryFilename: "copy.muster", paths });
    expect(zonesOf(fresh)).toEqual(["zone-1", "zone-2"]);
  });

  test("relative to the configured path", async () => {
    const fresh = await ruins.host(9);
    await backup(["zone-2"], join(fresh.persistent, "copy.muster"));
    await fresh.recover({ ...ANONYMOUS, recoveryFilename: "copy.muster" });
    expect(zonesOf(fresh)).toEqual(["zone-1", "zone-2"]);
  });

  test("a damaged one is not used", async () => {
    const recoveryFilename = await backup(["zone-2"], join(dir, "copy.muster"));
    const text = await readFile(recoveryFilename, "utf8");
    await writeFile(recoveryFilename, text.replace("zone-2", "zone-3"));
    const fresh = await ruins.host(9);
    expect(await fresh.recover({ ...ANONYMOUS, recoveryFilename })).toMatchObject({
      failure: { code: "config_error", details: { field: "recovery_filename" } },
    });
  });

  test("none there: path_error", async () => {
    const fresh = await ruins.host(9);
    expect(await fresh.recover({ ...ANONYMOUS, recoveryFilename: "none" })).toMatchObject({
      failure: { code: "path_error" },
    });
  });

  test("members whom only this host's own copy knows are asked as well: one may live in a later incarnation", async () => {
    const recoveryFilename = await backup([], join(dir, "copy.muster"));
    const entries = await history((log) => {
      log.must({ type: "member.add", member: makeMember(8) });
      log.must({ type: "member.activate", peer: "peer-8" });
    });
    const commit = entries.length;
    const host = await ruins.host(2, { entries, commit });
    await ruins.host(8, { entries, commit, identity: { incarnation: 2, lineage: "x" } });
    expect(named(await host.recover({ ...ANONYMOUS, recoveryFilename }))).toMatchObject({
      code: "config_error",
      details: { field: "action" },
    });
  });

  test("it is used though a member has a newer copy, and that is told", async () => {
    const recoveryFilename = await backup([], join(dir, "copy.muster"));
    const host = await survivor(2, ["zone-2"]);
    const body = { ...request(), recoveryFilename };
    expect((await planOf(host, body)).losses.join()).toMatch(/tnt2\.public\.i holds a newer copy/);
    await host.recover(body);
    expect(zonesOf(host)).toEqual(["zone-1"]);
    expect(host.identity).toMatchObject({ incarnation: 2, uid: 2 });
  });
});

describe("refused, and nothing is changed", () => {
  const action = { code: "config_error", details: { field: "action" } };

  test("while a member that can be reached knows a leader", async () => {
    const host = await survivor(1);
    const other = await survivor(2);
    await other.recover(ANONYMOUS); // It leads now, of a later incarnation.
    const failure = named(await host.recover(request()));
    expect(failure).toMatchObject(action);
    expect(failure?.details.message).toContain(`${other.name} (${other.address}) knows a leader`);
    expect(host.identity?.incarnation).toBe(1);
  });

  test("while a majority is there that has only just started: it is given the time of an election", async () => {
    const host = await survivor(1);
    for (const n of [2, 3, 4]) await survivor(n);
    const fresh = await ruins.host(9);
    const [here, there] = await Promise.all([
      host.rehearse(ANONYMOUS),
      fresh.rehearse(request({ nodes: [host.address] })),
    ]);
    expect(here).toMatchObject({ ok: false, failure: action });
    expect(there).toMatchObject({ ok: false, failure: action });
    expect(JSON.stringify(there)).toContain("knows a leader");
    expect(host.group.replica.status().leader).not.toBeNull();
  });

  test("within the time of an election after this host heard of a leader", async () => {
    const host = await survivor(1);
    const status = host.group.replica.status.bind(host.group.replica);
    let elected = false;
    host.group.replica.status = () => ({ ...status(), ageMs: 4800, leader: elected ? "peer-3" : null });
    const sleep = ruins.clock.sleep.bind(ruins.clock);
    ruins.clock.sleep = (ms, signal) => {
      elected ||= ms === 200; // What is left of five seconds.
      return sleep(ms, signal);
    };
    expect(await host.rehearse(ANONYMOUS)).toMatchObject({ ok: false, failure: action });
  });

  test("on a fresh host, while an agent that was named knows a leader", async () => {
    const other = await survivor(2);
    await other.recover(ANONYMOUS);
    const fresh = await ruins.host(9);
    expect(await fresh.recover(request({ nodes: [other.address] }))).toMatchObject({
      name: "error",
      failure: { ...action, details: { message: expect.stringContaining("knows a leader") as string } },
    });
  });

  test("when a member lives in a later incarnation, though that has lost its leader", async () => {
    const host = await survivor(1);
    const entries = await history();
    await ruins.host(2, { entries, commit: entries.length, identity: { incarnation: 2, lineage: "x" } });
    const failure = named(await host.recover(ANONYMOUS));
    expect(failure).toMatchObject(action);
    expect(failure?.details.message).toContain("incarnation 2");
    expect(host.identity?.incarnation).toBe(1);
  });

  test("when two who hear each other try at once, neither does", async () => {
    const hosts = [await survivor(1), await survivor(2)] as const;
    const met = Promise.withResolvers<void>();
    let asked = 0;
    // Each is asked while the other is asking.
    for (const { group } of hosts) {
      const copy = group.cluster.copy.bind(group.cluster);
      group.cluster.copy = async () => {
        asked += 1;
        if (asked === 2) met.resolve();
        await met.promise;
        return copy();
      };
    }
    const ends = await Promise.all(hosts.map((host) => host.recover(request())));
    expect(ends.map((end) => named(end)?.details.message)).toEqual([
      expect.stringContaining("is recovering the cluster"),
      expect.stringContaining("is recovering the cluster"),
    ]);
  });

  test("a rehearsal changes nothing, not even a backup", async () => {
    const host = await survivor(1);
    const before = JSON.stringify(host.disk.durable);
    const plan = await planOf(host, ANONYMOUS);
    expect(plan).toMatchObject({
      incarnation: 2,
      uid: 1,
      rejoin: [2, 3, 4, 5, 6, 7].map((uid) => ({ uid })),
    });
    expect(JSON.stringify(host.disk.durable)).toBe(before);
    expect(await readdir(host.persistent)).toEqual([]);
  });
});

describe("interrupted or failed, this host is what it was", () => {
  /** It has the former cluster still, after a restart too. */
  async function expectFormer(host: Host): Promise<void> {
    expect(host.bootstrap.state).toMatchObject({ name: "completed", action: "join_cluster" });
    expect(host.identity).toMatchObject({ clusterId: "c1", incarnation: 1 });
    await host.kill();
    await host.boot();
    expect(host.bootstrap.state).toMatchObject({ name: "completed", action: "join_cluster" });
    const copy = await host.group.cluster.copy();
    expect(copy?.identity.incarnation).toBe(1);
    expect([...(copy?.state.zones.values() ?? [])].map(({ name }) => name)).toEqual(["zone-1"]);
  }

  test("the backup cannot be written", async () => {
    const host = await survivor(1);
    await writeFile(join(host.persistent, "backups"), "a file where a folder should be");
    expect(named(await host.recover(ANONYMOUS))).toMatchObject({ code: "path_error" });
    await expectFormer(host);
  });

  test.each(["survey", "backup"])("the agent is stopped during %s", async (step) => {
    const host = await survivor(1);
    const there = Promise.withResolvers<void>();
    const on = Promise.withResolvers<void>();
    const wait = async (): Promise<void> => {
      there.resolve();
      await on.promise;
    };
    const { cluster } = host.group;
    const [copy, save] = [cluster.copy.bind(cluster), host.backups.save.bind(host.backups)];
    if (step === "survey") cluster.copy = () => wait().then(copy);
    else host.backups.save = (...args) => wait().then(() => save(...args));
    const ends = host.recover(ANONYMOUS);
    await there.promise;
    const stopped = host.bootstrap[Symbol.asyncDispose]();
    on.resolve();
    await stopped;
    expect(named(await ends)?.details.message).toContain("stopped");
    await expectFormer(host);
  });

  test("the disk refuses the write", async () => {
    const host = await survivor(1);
    refuseWrites(host);
    expect(named(await host.recover(ANONYMOUS))).toMatchObject({ code: "internal_error" });
    await expectFormer(host);
  });

  test("the cluster has a leader again before the write", async () => {
    const host = await survivor(1);
    const status = host.group.replica.status.bind(host.group.replica);
    const save = host.backups.save.bind(host.backups);
    host.backups.save = async (...args) => {
      host.group.replica.status = () => ({ ...status(), leader: "peer-3" });
      return save(...args);
    };
    expect(named(await host.recover(ANONYMOUS))).toMatchObject({ details: { field: "action" } });
    host.group.replica.status = status;
    await expectFormer(host);
  });

  test("the cluster had a leader meanwhile, who is gone again: it may have acknowledged something", async () => {
    const host = await survivor(1);
    const save = host.backups.save.bind(host.backups);
    host.backups.save = async (...args) => {
      const index = host.disk.durable.entries.length + 1;
      const entries = [{ index, term: 1, kind: "noop", data: "" } as const];
      await openMemoryStores(host.disk).log.append({
        truncateFrom: null,
        entries,
        hardState: null,
        sync: true,
      });
      return save(...args);
    };
    expect(named(await host.recover(ANONYMOUS))).toMatchObject({ details: { field: "action" } });
    await expectFormer(host);
  });

  test("the own log has caught up with the better copy meanwhile: nothing is lost by that one", async () => {
    const entries = await history(zone("zone-2"));
    const behind = await ruins.host(1, { entries: entries.slice(0, -1), commit: entries.length - 1 });
    const ahead = await ruins.host(2, { entries, commit: entries.length });
    const save = behind.backups.save.bind(behind.backups);
    behind.backups.save = async (...args) => {
      const missing = entries.slice(behind.disk.durable.entries.length);
      const batch = { truncateFrom: null, entries: missing, hardState: null, sync: true };
      if (missing.length > 0) await openMemoryStores(behind.disk).log.append(batch);
      return save(...args);
    };
    const body = request({ nodes: [ahead.address] });
    expect(await behind.recover(body)).toMatchObject({ name: "completed", action: "recover_cluster" });
    expect(zonesOf(behind)).toContain("zone-2");
  });

  test("a power cut right after the write: the new incarnation is there, whole", async () => {
    const host = await survivor(1);
    const cut = Promise.withResolvers<void>();
    host.disk.beforeWrite = async () => {
      if (host.bootstrap.steps.at(-1)?.name !== "start" || host.bootstrap.steps.at(-1)?.state !== "done")
        return;
      cut.resolve();
      throw new Error("power is out");
    };
    void host.recover(ANONYMOUS);
    await cut.promise;
    await host.kill();
    host.disk.cutPower();
    host.disk.beforeWrite = () => Promise.resolve();
    await host.boot();
    expect(host.bootstrap.state).toMatchObject({ name: "completed", action: "recover_cluster" });
    await host.group.replica.readBarrier({ timeoutMs: 5000 });
    expect(host.state.cluster?.incarnation).toBe(2);
    expect(zonesOf(host)).toEqual(["zone-1"]);
  });

  test("a member whose own copy cannot be read keeps what it has", async () => {
    const from = await survivor(2, ["zone-2"]);
    const host = await survivor(1);
    host.group.cluster.copy = () => Promise.reject(new StoreDamaged("entry 4 is damaged", "do something"));
    refuseWrites(host);
    const body = request({ nodes: [from.address] });
    expect(named(await host.recover(body))).toMatchObject({ code: "internal_error" });
    expect(host.identity).toMatchObject({ clusterId: "c1", incarnation: 1 });
    host.disk.beforeWrite = () => Promise.resolve();
    await expect.poll(() => host.group.replica.status().halted).toBeNull();
    await host.recover(body);
    expect(zonesOf(host)).toEqual(["zone-1", "zone-2"]);
    expect(host.identity).toMatchObject({ incarnation: 2, uid: 1 });
  });

  test("what is on the disk counts, though going on from there failed", async () => {
    const other = await survivor(2, ["zone-2"]);
    const fresh = await ruins.host(9);
    const { cluster } = fresh.group;
    const recover = cluster.recover.bind(cluster);
    cluster.recover = async (...args) => {
      await recover(...args);
      throw new AppError("quorum_lost", { leader: null, missing: [] });
    };
    const body = request({ nodes: [other.address], maxRetries: 1 });
    expect(await fresh.recover(body)).toMatchObject({ name: "completed" });
    const steps = fresh.bootstrap.steps.map(({ name }) => name);
    expect(steps).toEqual(["preflight", "survey", "backup", "write", "start"]); // It was not tried again.
    expect(fresh.identity).toMatchObject({ clusterId: "c1", incarnation: 2 });
    expect(zonesOf(fresh)).toEqual(["zone-1", "zone-2"]);
  });

  test("on a fresh host nothing is left behind", async () => {
    await survivor(2);
    const fresh = await ruins.host(9);
    refuseWrites(fresh);
    expect(await fresh.recover(request({ nodes: ["10.0.0.2"] }))).toMatchObject({ name: "error" });
    await fresh.kill();
    await fresh.boot();
    expect(fresh.identity).toBeNull();
    expect(fresh.bootstrap.state).toMatchObject({ name: "error" });
  });
});

/** The disk takes nothing while the new incarnation is to be written; then it is well again. */
function refuseWrites({ disk, bootstrap }: Host): void {
  disk.beforeWrite = async () => {
    const { name, state } = bootstrap.steps.at(-1) ?? {};
    if (name === "write" && state === "running") throw new Error("EIO");
  };
}
