import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { BackupFolder } from "#agent/backup/folder.ts";
import { packBackup } from "#agent/backup/form.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { backupName, headLine, sealedText } from "#shared/contract/backup.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { BACKUPS_KEPT } from "#shared/lib/limits.ts";
import { epochMs } from "#shared/lib/time.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember, RegistryLog } from "#test/support/registry-log.ts";

// Goal: what lies in the folder is whole and can be used, or it does not count; and nothing else in it is touched.
// Method: real folders. The wall clock is the test's own, because names and ages come from it.

const IDENTITY: ClusterIdentity = { clusterId: "cluster-1", incarnation: 1, uid: 1, contacts: [] };

let base: string;
let persistent: string;
let wall: number;
let log: RecordingLog;
let registry: RegistryLog;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "muster-backup-"));
  persistent = join(base, "persist");
  mkdirSync(persistent);
  mkdirSync(join(base, "tmp"));
  wall = Date.UTC(2026, 10, 21, 19, 30);
  log = new RecordingLog();
  registry = new RegistryLog();
  registry.must(makeCluster());
  registry.must({ type: "zone.create", name: "hall ä" });
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function made(host = "host-1"): BackupFolder {
  const system = new SystemClock();
  const clock: Clock = {
    now: () => epochMs(wall),
    monotonicMs: () => system.monotonicMs(),
    sleep: (ms, signal) => system.sleep(ms, signal),
    every: (ms, callback) => system.every(ms, callback),
  };
  const paths = { persistent, ephemeral: join(base, "tmp"), bigstore: null };
  return new BackupFolder(
    { inventory: { paths: () => paths }, clock, log },
    { host, softwareVersion: "1.2.3" },
  );
}

/** Something changes, and an hour passes. */
function goOn(): void {
  registry.must({ type: "zone.rename", id: 1, name: `hall ${registry.state.index}` });
  wall += 3_600_000;
}

function files(): string[] {
  return readdirSync(join(persistent, "backups")).toSorted();
}

async function refusal(work: Promise<unknown>): Promise<AppError> {
  const error: unknown = await work.then(
    () => new Error("was not refused"),
    (reason: unknown) => reason,
  );
  if (error instanceof AppError) return error;
  throw error;
}

describe("a backup", () => {
  test("is a file for this user alone, named by cluster, time and index, and gives the same state again", async () => {
    const folder = made();
    const { path, head } = await folder.save(registry.state, IDENTITY);
    expect(files()).toEqual([`muster-test-20261121T193000Z-${registry.state.index}.backup`]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(persistent, "backups")).mode & 0o777).toBe(0o700);
    expect(head).toMatchObject({
      cluster_id: "cluster-1",
      cluster_name: "test",
      host: "host-1",
      index: 2,
      term: 1,
    });
    const [line = ""] = readFileSync(path, "utf8").split("\n");
    expect(JSON.parse(line)).toEqual(head);
    const read = await folder.read(path);
    expect(read.head).toEqual(head);
    expect(encodeState(read.state)).toBe(encodeState(registry.state));
    expect(readFileSync(path)).toEqual(folder.pack(registry.state, IDENTITY));
    expect([folder.lastSuccessAt, folder.failures]).toEqual([wall, 0]);
  });

  test("is the state as it was when it was asked for", async () => {
    const folder = made();
    const saving = folder.save(registry.state, IDENTITY);
    registry.must({ type: "zone.create", name: "later" });
    const { path } = await saving;
    expect((await folder.read(path)).state.zones.size).toBe(1);
  });

  test("of a large registry is read back in a thread of its own", async () => {
    const folder = made();
    const cfg = { filler: "x".repeat(60_000) };
    for (let n = 2; n < 10; n += 1) {
      const uuid = `00000000-0000-4000-8000-00000000000${n}`;
      registry.must({ type: "member.add", member: makeMember(n, { uuid }) });
      registry.must({ type: "node.register", uuid, zone_id: 1, uri: `h${n}:1`, cfg });
    }
    const { head, path } = await folder.save(registry.state, IDENTITY);
    expect(head.bytes).toBeGreaterThan(400_000);
    expect((await folder.read(path)).state.nodes.size).toBe(8);
  });

  test("is found by its absolute path, and relative to the persistent, the backups and the ephemeral folder", async () => {
    const folder = made();
    const { path, head } = await folder.save(registry.state, IDENTITY);
    const name = backupName(head);
    expect((await folder.read(name)).path).toBe(path);
    expect((await folder.read(join("backups", name))).path).toBe(path);
    writeFileSync(join(base, "tmp", "other"), readFileSync(path));
    expect((await folder.read("other")).path).toBe(join(base, "tmp", "other"));
    writeFileSync(join(persistent, "other"), readFileSync(path));
    expect((await folder.read("other")).path).toBe(join(persistent, "other"));
    const missing = await refusal(folder.read("nowhere"));
    expect([missing.kind, missing.message]).toEqual([
      "path_error",
      `nowhere: is none of ${persistent}/nowhere, ${persistent}/backups/nowhere, ${base}/tmp/nowhere; name a backup that the agent's user can read`,
    ]);
    const absolute = await refusal(folder.read("/nowhere"));
    expect([absolute.message, absolute.facts]).toEqual([
      "/nowhere: ENOENT: no such file or directory; name a backup that the agent's user can read",
      { path: "/nowhere", cause: "ENOENT: no such file or directory", errno: "ENOENT" },
    ]);
  });
});

describe("what is no whole backup is refused as recovery_filename, with the reason", () => {
  test("a byte that changed, wherever it is", async () => {
    const folder = made();
    const { path } = await folder.save(registry.state, IDENTITY);
    const good = readFileSync(path);
    const copy = join(base, "copy");
    const lineEnd = good.indexOf("\n");
    // Every byte of the head, where single fields could slip through, and some of the rest.
    const places = [...good.keys()].filter(
      (at) => at <= lineEnd + 1 || at % 97 === 0 || at === good.length - 1,
    );
    for (const at of places) {
      const bytes = Buffer.from(good);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      writeFileSync(copy, bytes);
      const error = await refusal(folder.read(copy));
      expect([at, error.kind, error.facts]).toMatchObject([
        at,
        "config_error",
        { field: "recovery_filename" },
      ]);
    }
    writeFileSync(copy, good);
    await folder.read(copy);
  });

  test("a part of one, one with something behind it, and something else", async () => {
    const folder = made();
    const { path, head } = await folder.save(registry.state, IDENTITY);
    const good = readFileSync(path);
    const copy = join(base, "copy");
    const said = async (bytes: Buffer | string): Promise<string> => {
      writeFileSync(copy, bytes);
      return (await refusal(folder.read(copy))).message.replace(copy, "FILE");
    };
    expect(await said(good.subarray(0, good.length - 1))).toBe(
      `recovery_filename: FILE is damaged: ${head.bytes - 1} bytes follow its first line, which speaks of ${head.bytes}; use another backup`,
    );
    expect(await said(Buffer.concat([good, Buffer.from("\n")]))).toMatch(/ bytes follow its first line/);
    const changed = Buffer.from(good);
    changed[changed.length - 2] = 0x20;
    expect(await said(changed)).toBe(
      "recovery_filename: FILE is damaged: its checksum is wrong; use another backup",
    );
    expect(await said("")).toMatch(/^recovery_filename: FILE is no backup of muster/);
    expect(await said('{"a":1}\n{}')).toMatch(/^recovery_filename: FILE is no backup of muster/);
    expect(await said('{"muster_backup":2}\n')).toBe(
      "recovery_filename: FILE has form 2, this version of muster reads 1; upgrade muster",
    );
    expect((await refusal(folder.read(base))).message).toBe(`recovery_filename: ${base} is no file`);
    const pipe = join(base, "pipe");
    execFileSync("mkfifo", [pipe]);
    expect((await refusal(folder.read(pipe))).message).toBe(`recovery_filename: ${pipe} is no file`);
  });

  test("a right checksum over what cannot be used: no cluster, another cluster's head, a state that contradicts itself", async () => {
    const folder = made();
    const copy = join(base, "copy");
    const said = async (content: string | Buffer): Promise<string> => {
      writeFileSync(copy, content);
      return (await refusal(folder.read(copy))).message.replace(copy, "FILE");
    };
    expect(await said(folder.pack(new RegistryLog().state, IDENTITY))).toBe(
      "recovery_filename: FILE cannot be used: it holds no cluster",
    );
    expect(await said(folder.pack(registry.state, { ...IDENTITY, clusterId: "cluster-2" }))).toBe(
      "recovery_filename: FILE cannot be used: its first line tells of another state than it holds",
    );
    const { head, bytes } = packBackup(registry.state, IDENTITY, {
      host: "h",
      softwareVersion: "1",
      at: epochMs(wall),
    });
    const body = bytes.toString("utf8", bytes.indexOf("\n") + 1);
    for (const claim of [{ index: 7 }, { term: 7 }, { cluster_name: "another" }]) {
      const claimed = { ...head, ...claim };
      const sha256 = createHash("sha256").update(sealedText(claimed)).update(body).digest("hex");
      expect(await said(`${headLine({ ...claimed, sha256 })}\n${body}`)).toBe(
        "recovery_filename: FILE cannot be used: its first line tells of another state than it holds",
      );
    }
    expect(await said(`${JSON.stringify(head, null, 1).replaceAll("\n", "")}\n${body}`)).toBe(
      "recovery_filename: FILE is damaged: its first line was changed",
    );
    registry.state.nextZoneId = 1;
    expect(await said(folder.pack(registry.state, IDENTITY))).toMatch(
      /FILE cannot be used: the snapshot is damaged/,
    );
  });
});

describe("the folder", () => {
  test("keeps the newest of this cluster by this host, and touches nothing else", async () => {
    const folder = made();
    const foreign = join(persistent, "backups");
    await made("host-2").save(registry.state, IDENTITY);
    goOn();
    const other = new RegistryLog();
    other.must({ ...makeCluster(), cluster_id: "cluster-2", name: "other" } as never);
    await folder.save(other.state, { ...IDENTITY, clusterId: "cluster-2" });
    writeFileSync(join(foreign, "muster-test-20200101T000000Z-1.backup"), "not one of ours\n");
    writeFileSync(join(foreign, "notes.txt"), "mine");
    mkdirSync(join(foreign, "muster-test-20200101T000000Z-2.backup"));
    const before = files();
    const saved: string[] = [];
    for (let i = 0; i < BACKUPS_KEPT + 2; i += 1) {
      goOn();
      saved.push(backupName((await folder.save(registry.state, IDENTITY)).head));
    }
    const left = new Set(files());
    expect(saved.filter((name) => left.has(name))).toEqual(saved.slice(-BACKUPS_KEPT));
    for (const name of before) expect([name, left.has(name)]).toEqual([name, true]);
    expect(left.size).toBe(before.length + BACKUPS_KEPT);
  });

  test("counts what it holds, not its clock: set back, the newest are kept all the same", async () => {
    const folder = made();
    const saved: string[] = [];
    for (let i = 0; i < BACKUPS_KEPT + 1; i += 1) {
      registry.must({ type: "zone.rename", id: 1, name: `hall ${i}` });
      wall -= 3_600_000;
      saved.push(backupName((await folder.save(registry.state, IDENTITY)).head));
    }
    expect(files()).toEqual(saved.slice(1).toSorted());
    const newest = (await made().newest("cluster-1"))?.head;
    expect([newest?.index, newest?.taken_at_ms]).toEqual([registry.state.index, wall]);
    expect(folder.lastSuccessAt).toBe(wall);
    const later = made();
    expect(later.lastSuccessAt).toBeNull();
    await later.newest("cluster-1");
    expect(later.lastSuccessAt).toBe(wall);
  });

  test("the first of a content outlives all that say the same: what is recovered from again and again", async () => {
    const folder = made();
    const { path } = await folder.save(registry.state, IDENTITY);
    for (let i = 0; i < 3 * BACKUPS_KEPT; i += 1) {
      wall += 1000;
      await folder.save(registry.state, IDENTITY);
    }
    expect(files()).toHaveLength(BACKUPS_KEPT);
    await folder.read(path);
  });

  test("the one just written stays, also when others hold more: before a recovery from an older copy", async () => {
    const folder = made();
    const older = new RegistryLog();
    older.must(makeCluster());
    for (let i = 0; i < BACKUPS_KEPT; i += 1) {
      goOn();
      await folder.save(registry.state, IDENTITY);
    }
    const { path } = await folder.save(older.state, IDENTITY);
    expect(files()).toHaveLength(BACKUPS_KEPT);
    await folder.read(path);
  });

  test("what a crash left half-written does not count, and goes with the next one", async () => {
    const folder = made();
    const { path } = await folder.save(registry.state, IDENTITY);
    const half = readFileSync(path).subarray(0, 300);
    rmSync(path);
    writeFileSync(join(persistent, "backups", ".muster-host-1.draft"), half);
    expect(await folder.newest("cluster-1")).toBeNull();
    await folder.save(registry.state, IDENTITY);
    expect(files()).toEqual([backupName((await folder.newest("cluster-1"))!.head)]);
  });

  test("storage that is gone or full is a path_error, is counted, and leaves nothing", async () => {
    const folder = made();
    rmSync(persistent, { recursive: true });
    const gone = await refusal(folder.save(registry.state, IDENTITY));
    expect([gone.kind, gone.message]).toEqual([
      "path_error",
      expect.stringMatching(
        /\.backup: ENOENT: no such file or directory; give the agent's user a folder/,
      ) as string,
    ]);
    expect(gone.facts).toMatchObject({ errno: "ENOENT" });
    mkdirSync(persistent);
    appendFileSync(join(persistent, "backups"), "a file in the way");
    expect((await refusal(folder.save(registry.state, IDENTITY))).kind).toBe("path_error");
    expect([folder.lastSuccessAt, folder.failures]).toEqual([null, 2]);
    rmSync(join(persistent, "backups"));
    await folder.save(registry.state, IDENTITY);
    expect(files()).toHaveLength(1);
  });

  test("what could not be used is not kept: it is read back as a recovery would", async () => {
    const folder = made();
    registry.state.nextZoneId = 1;
    const error = await refusal(folder.save(registry.state, IDENTITY));
    expect([error.kind, error.message]).toEqual([
      "path_error",
      expect.stringMatching(
        /: what was written, read back, cannot be used: the snapshot is damaged/,
      ) as string,
    ]);
    expect([files(), folder.failures]).toEqual([[], 1]);
  });

  test("two at once are written one after the other", async () => {
    const folder = made();
    const first = folder.save(registry.state, IDENTITY);
    goOn();
    const second = folder.save(registry.state, IDENTITY);
    const paths = (await Promise.all([first, second])).map(({ path }) => path);
    for (const path of paths) await folder.read(path);
    expect(files()).toHaveLength(2);
  });
});
