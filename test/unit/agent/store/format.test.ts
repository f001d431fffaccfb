import { cp, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Stores } from "#agent/ports/store.ts";
import { settleFormat } from "#agent/store/format.ts";
import { KEYS, numbered, under } from "#agent/store/keys.ts";
import { sealRecord } from "#agent/store/record.ts";
import { entries, entry } from "#test/suites/store.ts";

import { flipBit, StoreFolder, type RawDatabase } from "./store-folder.ts";

let folder: StoreFolder;

beforeEach(async () => {
  folder = await StoreFolder.create();
});

afterEach(() => folder[Symbol.asyncDispose]());

const load = (): ReturnType<Stores["log"]["load"]> => folder.use((stores) => stores.log.load());

/** Entries as format 1 had them, of about 300 bytes each: more than two batches of a migration. */
const MANY = 2500;

async function writeFormat1(count = MANY): Promise<void> {
  await folder.use(() => Promise.resolve());
  await folder.tamper(async (db) => {
    await db.put(KEYS.format, sealRecord('{"format":1}'));
    await db.put(KEYS.hardState, sealRecord('{"term":1,"vote":"a","commit":3}'));
    for (const { index, term, kind, data } of entries(11, 10 + count)) {
      await db.put(numbered(KEYS.entry, index), sealRecord(`${index} ${term} ${kind} ${data}`));
    }
  });
}

/** Lets the migration write so many times, then fails. Answers how often it wrote. */
async function migrateUntil(crashAt: number): Promise<number> {
  let writes = 0;
  await folder.tamper(async (db) => {
    for (const name of ["put", "batch"] as const) {
      const write = db[name].bind(db) as (...args: unknown[]) => Promise<void>;
      const counted = async (...args: unknown[]): Promise<void> => {
        writes += 1;
        if (writes >= crashAt) throw new Error("crash");
        await write(...args);
      };
      Object.assign(db, { [name]: counted });
    }
    await settleFormat(db, folder.dir, folder.log).catch((error: unknown) => {
      if ((error as Error).message !== "crash") throw error;
    });
  });
  return writes;
}

describe("a store of format 1", () => {
  test("that the release before wrote opens with all it held, and goes on", async () => {
    await cp(new URL("format-1", import.meta.url).pathname, folder.root, { recursive: true });
    await folder.use(async (stores) => {
      expect(await stores.log.load()).toEqual({
        hardState: { term: 2, vote: "p", commit: 25 },
        entries: [...entries(11, 25), entry(26, 2), entry(27, 2)],
        cut: 0,
      });
      const snapshot = await stores.snapshots.load();
      expect(snapshot?.meta.index).toBe(20);
      expect(Buffer.from(snapshot?.body ?? []).toString()).toBe("state 20");
      expect(await stores.identity.peer()).toBe("p");
      expect(await stores.identity.host()).toMatchObject({ starts: 2 });
      expect(await stores.bootstrap.load()).toEqual({ name: "idle", reason: "written by the first format" });
      await stores.log.append({
        truncateFrom: null,
        entries: entries(28, 30, 2),
        hardState: null,
        sync: true,
      });
    });
    expect((await load()).entries.at(-1)?.index).toBe(30);
    expect(folder.log.matching("newer data format")).toHaveLength(1);
  });

  test("is migrated in bounded batches; a crash at any of them is made good by the next start", async () => {
    await writeFormat1();
    const writes = await migrateUntil(Infinity);
    expect(writes).toBe(4); // Three batches of entries and the version.
    for (let crashAt = 1; crashAt <= writes; crashAt += 1) {
      await writeFormat1();
      expect(await migrateUntil(crashAt)).toBe(crashAt);
      await migrateUntil(2); // Once more, a step further.
      expect((await load()).entries).toEqual(entries(11, 10 + MANY));
    }
  });

  test("leaves nothing of it in LevelDB's own log, whose damage is not told", async () => {
    await writeFormat1();
    await load();
    const names = (await readdir(folder.dir)).filter((name) => name.endsWith(".log"));
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder.dir, name))).size));
    expect(Math.max(...sizes)).toBeLessThan(MANY);
  });

  test("a torn end is cut as before, damage in the middle stays damage", async () => {
    const bad = (index: number) =>
      folder.tamper((db: RawDatabase) => flipBit(db, numbered(KEYS.entry, index)));
    await writeFormat1(20);
    await bad(30);
    expect(await load()).toMatchObject({ cut: 1, entries: entries(11, 29) });
    await folder.tamper((db) => db.clear(under("log/")));
    await writeFormat1(20);
    await bad(25);
    await expect(load()).rejects.toThrow("the log entry 25 fails its checksum");
  });

  test("a gap is not closed by the migration", async () => {
    await writeFormat1(20);
    await folder.tamper((db) => db.del(numbered(KEYS.entry, 20)));
    await expect(load()).rejects.toThrow("log entries 20 to 20 are missing");
  });
});
