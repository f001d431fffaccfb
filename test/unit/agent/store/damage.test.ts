import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { StoreDamaged, type Stores } from "#agent/ports/store.ts";
import { openStores } from "#agent/store/open.ts";
import { KEYS, numbered, under } from "#agent/store/keys.ts";
import { CountedWrites } from "#agent/store/counted-writes.ts";
import { sealRecord } from "#agent/store/record.ts";
import { LevelSnapshotStore } from "#agent/store/snapshot-store.ts";
import { Prng } from "#shared/lib/prng.ts";
import { entries, entry } from "#test/suites/store.ts";

import { flipBit, StoreFolder, type RawDatabase } from "./store-folder.ts";

let folder: StoreFolder;

beforeEach(async () => {
  folder = await StoreFolder.create();
});

afterEach(() => folder[Symbol.asyncDispose]());

const withStores = <T>(use: (stores: Stores) => Promise<T>): Promise<T> => folder.use(use);
const tamper = (change: (db: RawDatabase) => Promise<void>): Promise<void> => folder.tamper(change);

const CONFIG = { voters: ["a"], outgoing: [], learners: [] };

const tenEntries = (commit: number): Promise<void> =>
  withStores((stores) =>
    stores.log.append({
      truncateFrom: null,
      entries: entries(1, 10),
      hardState: { term: 1, vote: "a", commit },
      sync: true,
    }),
  );

const entryKey = (index: number): string => numbered(KEYS.entry, index);

describe("the log", () => {
  test("a torn end is cut, and told", async () => {
    await tenEntries(5);
    await tamper(async (db) => {
      await flipBit(db, entryKey(9));
      await flipBit(db, entryKey(10));
    });
    const loaded = await withStores((stores) => stores.log.load());
    expect(loaded.cut).toBe(2);
    expect(loaded.entries).toEqual(entries(1, 8));
    expect(folder.log.matching("cut a torn end")).toHaveLength(1);
    await withStores(async (stores) => {
      await stores.log.append({ truncateFrom: null, entries: [entry(9, 2)], hardState: null, sync: true });
      expect((await stores.log.load()).cut).toBe(0);
    });
  });

  test.each([
    ["too short to hold a checksum", Buffer.from("abc")],
    ["empty", Buffer.alloc(0)],
  ])("a last record that is %s is torn", async (_what, record) => {
    await tenEntries(5);
    await tamper((db) => db.put(entryKey(10), record));
    const loaded = await withStores((stores) => stores.log.load());
    expect(loaded.entries).toEqual(entries(1, 9));
  });

  test.each([
    ["a bad record in the middle", 5, (db: RawDatabase) => flipBit(db, entryKey(7)), "log entry 7"],
    ["a bad record that was committed", 10, (db: RawDatabase) => flipBit(db, entryKey(10)), "log entry 10"],
    ["a gap", 5, (db: RawDatabase) => db.del(entryKey(4)), "log entries 4 to 4 are missing"],
    ["no hard state", 5, (db: RawDatabase) => db.del(KEYS.hardState), "no record of term and vote"],
    ["a bad hard state", 5, (db: RawDatabase) => flipBit(db, KEYS.hardState), "term and vote"],
  ])("%s is damage, with advice", async (_what, commit, change, words) => {
    await tenEntries(commit);
    await tamper(change);
    const error = await withStores((stores) => stores.log.load()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StoreDamaged);
    expect((error as StoreDamaged).message).toContain(words);
    expect((error as StoreDamaged).advice).toContain("join it to the cluster again");
  });

  test("after a failed write there is no second try", async () => {
    await using stores = await openStores(folder.dir, { log: folder.log });
    await stores.log.load();
    await stores[Symbol.asyncDispose](); // A closed database fails every write.
    const write = (): Promise<void> =>
      stores.log.append({
        truncateFrom: null,
        entries: [],
        hardState: { term: 1, vote: null, commit: 0 },
        sync: true,
      });
    const first: unknown = await write().catch((error: unknown) => error);
    expect(first).toBeInstanceOf(Error);
    await expect(write()).rejects.toBe(first);
  });
});

describe("snapshots", () => {
  const save = (index: number): Promise<void> =>
    withStores((stores) =>
      stores.snapshots.save({ index, term: 1, config: CONFIG }, Buffer.from(`state ${index}`)),
    );
  const load = (): Promise<string | null> =>
    withStores(async (stores) => {
      const snapshot = await stores.snapshots.load();
      return snapshot === null ? null : Buffer.from(snapshot.body).toString();
    });

  test("parts without a head are leftovers of a crash: swept, and nobody's snapshot", async () => {
    await save(1);
    await tamper((db) => db.put(`${numbered(KEYS.snapshotPart, 2)}/0000000000000000`, Buffer.from("half")));
    expect(await load()).toBe("state 1");
    await tamper(async (db) => {
      expect(await db.keys(under(KEYS.snapshotPart)).all()).toHaveLength(1);
    });
  });

  test("two are kept", async () => {
    for (let index = 1; index <= 4; index += 1) await save(index);
    await tamper(async (db) => {
      expect(await db.keys(under(KEYS.snapshotHead)).all()).toHaveLength(2);
      expect(await db.keys(under(KEYS.snapshotPart)).all()).toHaveLength(2);
    });
  });

  test.each([
    ["a bad head", (db: RawDatabase) => flipBit(db, numbered(KEYS.snapshotHead, 2))],
    ["a bad part", (db: RawDatabase) => flipBit(db, `${numbered(KEYS.snapshotPart, 2)}/0000000000000000`)],
    ["a missing part", (db: RawDatabase) => db.del(`${numbered(KEYS.snapshotPart, 2)}/0000000000000000`)],
  ])("with %s the one before is taken; without one it is damage", async (_what, change) => {
    await save(1);
    await save(2);
    await tamper(change);
    expect(await load()).toBe("state 1");
    await tamper((db) => flipBit(db, numbered(KEYS.snapshotHead, 1)));
    await expect(load()).rejects.toBeInstanceOf(StoreDamaged);
  });
});

describe("a crash at any write of a snapshot", () => {
  /** From the write with this number on nothing reaches the disk. Answers how many writes there were. */
  const saveUntil = async (crashAt: number, index: number, body: Buffer): Promise<number> => {
    let writes = 0;
    await tamper(async (db) => {
      const crash = (): void => {
        writes += 1;
        if (writes >= crashAt) throw new Error("crash");
      };
      const batch = db.batch.bind(db) as (...args: unknown[]) => Promise<void>;
      Object.assign(db, {
        batch: async (...args: unknown[]) => (crash(), batch(...args)),
      });
      await using counted = await CountedWrites.open(db, `${folder.dir}.written`);
      const snapshots = new LevelSnapshotStore({ db, writes: counted, log: folder.log });
      await snapshots.save({ index, term: 1, config: CONFIG }, body).catch(() => undefined);
    });
    return writes;
  };

  test("leaves the one before it, whole and alone", async () => {
    const body = randomBytes(2_500_000); // Does not compress: three parts.
    const writes = await saveUntil(Infinity, 1, body);
    expect(writes).toBe(4);
    for (let crashAt = 1; crashAt <= writes; crashAt += 1) {
      await saveUntil(crashAt, 2, body);
      const loaded = await withStores((stores) => stores.snapshots.load());
      expect(loaded?.meta.index).toBe(1);
    }
    expect(folder.log.matching("damaged")).toEqual([]);
    expect(await saveUntil(Infinity, 3, body)).toBe(4);
    expect((await withStores((stores) => stores.snapshots.load()))?.meta.index).toBe(3);
  });
});

describe("opening", () => {
  test("makes a directory that nobody else may read", async () => {
    folder.dir = join(folder.root, "deep", "store");
    await withStores(() => Promise.resolve());
    expect((await stat(folder.dir)).mode & 0o777).toBe(0o700);
  });

  test("a second agent on the same directory is told so", async () => {
    await using _first = await openStores(folder.dir, { log: folder.log });
    await expect(openStores(folder.dir, { log: folder.log })).rejects.toMatchObject({
      kind: "path_error",
      facts: { cause: "another agent runs on this data directory" },
    });
  });

  test("what a newer version wrote is refused in one sentence", async () => {
    await withStores(() => Promise.resolve());
    await tamper((db) => db.put(KEYS.format, sealRecord('{"format":3}')));
    await expect(openStores(folder.dir, { log: folder.log })).rejects.toThrow(
      /written by a newer muster \(data format 3/,
    );
  });

  test("a host record of an earlier version names no peer, and gets one", async () => {
    const { uuid } = await withStores((stores) => stores.identity.host());
    await tamper((db) => db.put(KEYS.host, sealRecord(JSON.stringify({ uuid, starts: 3 }))));
    await withStores(async (stores) => {
      expect(await stores.identity.peer()).toBeNull();
      await stores.identity.savePeer("p");
      await expect(stores.identity.savePeer("q")).rejects.toThrow("never changes hands");
    });
    await withStores(async (stores) => {
      expect(await stores.identity.peer()).toBe("p");
      expect(await stores.identity.host()).toEqual({ uuid, starts: 5 });
    });
  });

  test("a path that is a file is a path error", async () => {
    await expect(openStores("/etc/hostname", { log: folder.log })).rejects.toMatchObject({
      kind: "path_error",
    });
  });

  test("a bootstrap state or identity of an unknown form is damage", async () => {
    await withStores(() => Promise.resolve());
    await tamper(async (db) => {
      await db.put(KEYS.bootstrap, sealRecord('{"name":"flying"}'));
      await db.put(KEYS.cluster, sealRecord('{"clusterId":7}'));
    });
    await withStores(async (stores) => {
      await expect(stores.bootstrap.load()).rejects.toBeInstanceOf(StoreDamaged);
      await expect(stores.identity.cluster()).rejects.toBeInstanceOf(StoreDamaged);
    });
  });
});

describe("kill -9", () => {
  test("whatever was acknowledged is there, whole and in order", { timeout: 60_000 }, async () => {
    const random = new Prng(7);
    for (let life = 1; life <= 5; life += 1) {
      const told = await runUntilKilled(random.between(5, 30));
      await withStores(async (stores) => {
        const { entries: loaded, hardState, cut } = await stores.log.load();
        const last = loaded.at(-1)?.index ?? 0;
        expect(cut).toBe(0);
        expect(last).toBeGreaterThanOrEqual(told.log);
        expect(last % 4).toBe(0); // Batches of four, each whole or not at all.
        expect(hardState.commit).toBe(last);
        const snapshot = await stores.snapshots.load();
        expect(snapshot?.meta.index ?? 0).toBeGreaterThanOrEqual(told.snapshot);
        expect(loaded[0]?.index ?? 1).toBeLessThanOrEqual((snapshot?.meta.index ?? 0) + 1);
        expect(folder.log.matching("is damaged")).toEqual([]);
      });
    }
  });
});

/** Starts the writer and kills it when it has said so many lines; answers what it last called durable. */
async function runUntilKilled(lines: number): Promise<{ log: number; snapshot: number }> {
  const script = new URL("store-writer.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, folder.dir], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const told = { log: 0, snapshot: 0 };
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [what, index] = line.split(" ");
    told[what as keyof typeof told] = Number(index);
    seen += 1;
    if (seen === lines) child.kill("SIGKILL");
  }
  await ended;
  return told;
}
