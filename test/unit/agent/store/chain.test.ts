import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { StoreDamaged } from "#agent/ports/store.ts";
import { CHAIN_START, sealEntry } from "#agent/store/entry-record.ts";
import { KEYS, numbered } from "#agent/store/keys.ts";
import { hashOf } from "#agent/store/record.ts";
import { entries, entry } from "#test/suites/store.ts";

import { StoreFolder, type RawDatabase } from "./store-folder.ts";

// Records whose own checksum is right, and which are not what was written there.

let folder: StoreFolder;

beforeEach(async () => {
  folder = await StoreFolder.create();
});

afterEach(() => folder[Symbol.asyncDispose]());

const key = (index: number): string => numbered(KEYS.entry, index);

const append = (from: number, to: number, more: { truncateFrom?: number; term?: number } = {}) =>
  folder.use((stores) =>
    stores.log.append({
      truncateFrom: more.truncateFrom ?? null,
      entries: entries(from, to, more.term),
      hardState: { term: more.term ?? 1, vote: "a", commit: 3 },
      sync: true,
    }),
  );

async function get(db: RawDatabase, index: number): Promise<Uint8Array> {
  const record = await db.get(key(index));
  if (record === undefined) throw new Error(`there is no entry ${index}`);
  return record;
}

async function damage(): Promise<StoreDamaged> {
  const error: unknown = await folder.use((stores) => stores.log.load()).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StoreDamaged);
  expect((error as StoreDamaged).advice).toContain("join it to the cluster again");
  return error as StoreDamaged;
}

describe("a record that is whole and out of its place", () => {
  test.each<[string, (db: RawDatabase) => Promise<void>, string]>([
    [
      "one replaced by another of the same index",
      async (db) => {
        const before = hashOf(await get(db, 5));
        await db.put(key(6), sealEntry(entry(6, 1, "forged"), before).record);
      },
      "the log entry 7 does not follow",
    ],
    [
      "one replaced by what an earlier leader had there",
      async (db) => db.put(key(6), sealEntry(entry(6, 1, "older"), CHAIN_START).record),
      "the log entry 6 does not follow",
    ],
    [
      "the last one replaced",
      async (db) => db.put(key(10), sealEntry(entry(10, 1, "older"), CHAIN_START).record),
      "the log entry 10 does not follow",
    ],
    [
      "the first one replaced",
      async (db) => db.put(key(1), sealEntry(entry(1, 1, "other"), CHAIN_START).record),
      "the log entry 2 does not follow",
    ],
    [
      "two swapped",
      async (db) => {
        const [fourth, fifth] = [await get(db, 4), await get(db, 5)];
        await db.put(key(4), fifth);
        await db.put(key(5), fourth);
      },
      "the record of log entry 4 is not the one",
    ],
    ["one missing", (db) => db.del(key(4)), "log entries 4 to 4 are missing"],
    ["the first one missing", (db) => db.del(key(1)), "log entries 1 to 1 are missing"],
    ["no anchor", (db) => db.del(KEYS.anchor), "no record of where it begins"],
  ])("%s", async (_what, change, words) => {
    await append(1, 10);
    await folder.tamper(change);
    expect((await damage()).message).toContain(words);
  });
});

describe("the chain goes on", () => {
  test("over restarts, a truncation, a truncation to nothing, and a reset", async () => {
    await append(1, 5);
    await append(6, 8);
    await append(4, 9, { truncateFrom: 4, term: 2 });
    await append(10, 10, { term: 2 });
    const load = () => folder.use(async (stores) => (await stores.log.load()).entries);
    expect(await load()).toEqual([...entries(1, 3), ...entries(4, 10, 2)]);
    await append(1, 2, { truncateFrom: 1, term: 3 });
    expect(await load()).toEqual(entries(1, 2, 3));
    await folder.use((stores) => stores.log.reset({ term: 3, vote: null, commit: 40 }));
    await append(41, 43, { term: 3 });
    expect(await load()).toEqual(entries(41, 43, 3));
  });

  test("behind what was forgotten: the first entry that is kept cannot be replaced or missed", async () => {
    await append(1, 10);
    await folder.use((stores) => stores.log.compact(4));
    const load = () => folder.use(async (stores) => (await stores.log.load()).entries);
    expect(await load()).toEqual(entries(5, 10));
    await folder.tamper(async (db) => db.put(key(5), sealEntry(entry(5, 1, "forged"), CHAIN_START).record));
    expect((await damage()).message).toContain("the log entry 5 does not follow");
    await folder.tamper((db) => db.del(key(5)));
    expect((await damage()).message).toContain("log entries 5 to 5 are missing");
  });

  test("after a compaction that broke off: what it had left is forgotten", async () => {
    await append(1, 10);
    let kept: [string, Uint8Array][] = [];
    await folder.tamper(async (db) => {
      kept = [
        [key(3), await get(db, 3)],
        [key(4), await get(db, 4)],
      ];
    });
    await folder.use((stores) => stores.log.compact(4));
    await folder.tamper(async (db) => {
      for (const [name, record] of kept) await db.put(name, record);
    });
    await append(11, 11); // Before anything was loaded.
    expect(await folder.use(async (stores) => (await stores.log.load()).entries)).toEqual(entries(5, 11));
    await folder.tamper(async (db) => {
      expect(await db.keys({ lt: key(5), gte: KEYS.entry }).all()).toEqual([]);
    });
  });
});
