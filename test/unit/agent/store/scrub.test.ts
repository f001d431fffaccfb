import { open, readdir, stat, truncate } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { StoreDamaged } from "#agent/ports/store.ts";
import { openStores, type DiskStores } from "#agent/store/open.ts";
import { KEYS, numbered } from "#agent/store/keys.ts";
import { entries } from "#test/suites/store.ts";

import { flipBit, StoreFolder } from "./store-folder.ts";

// Damage that comes while the agent runs.

const CONFIG = { voters: ["a"], outgoing: [], learners: [] };
/** Calls in which everything has been read twice: a minute's worth. */
const CALLS = 12;

let folder: StoreFolder;

beforeEach(async () => {
  folder = await StoreFolder.create();
});

afterEach(() => folder[Symbol.asyncDispose]());

async function fill(stores: DiskStores, from: number): Promise<void> {
  const batch = { truncateFrom: null, entries: entries(from, from + 999), sync: true };
  await stores.log.append({ ...batch, hardState: { term: 1, vote: "a", commit: from } });
  const body = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * i) & 255));
  await stores.snapshots.save({ index: from, term: 1, config: CONFIG }, body);
}

/** A store with tables as well as a log of writes, read once through. */
async function running(): Promise<DiskStores> {
  await folder.use(async (stores) => fill(stores, 1));
  const stores = await openStores(folder.dir, { log: folder.log });
  await fill(stores, 1001);
  for (let i = 0; i < CALLS; i += 1) expect(await stores.disk.scrub()).toBeNull();
  return stores;
}

async function scrubbed(stores: DiskStores): Promise<StoreDamaged | null> {
  for (let i = 0; i < CALLS; i += 1) {
    const damage = await stores.disk.scrub();
    if (damage !== null) return damage;
  }
  return null;
}

async function flipByte(path: string, at: number): Promise<void> {
  await using file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, at);
}

describe("a bit flipped under a running agent is found within a minute's readings", () => {
  test.each([
    ["the log of writes", /\.log$/],
    ["a table", /\.ldb$/],
    ["the manifest", /^MANIFEST/],
    ["CURRENT", /^CURRENT$/],
  ])("in %s, at its beginning, middle and end", async (_what, pattern) => {
    await using stores = await running();
    const name = (await readdir(folder.dir)).find((file) => pattern.test(file)) ?? "";
    const path = join(folder.dir, name);
    const { size } = await stat(path);
    expect(size).toBeGreaterThan(10);
    for (const at of [0, Math.floor(size / 2), size - 1]) {
      await flipByte(path, at);
      const damage = await scrubbed(stores);
      expect(damage).toBeInstanceOf(StoreDamaged);
      expect(damage?.message).toMatch(/has changed since it was written|fails its checksum|cannot be read/);
      expect(damage?.advice).toContain("join it to the cluster again");
      await flipByte(path, at);
      expect(await scrubbed(stores)).toBeNull();
    }
  });

  test("a file that was cut short is found, too", async () => {
    await using stores = await running();
    const name = (await readdir(folder.dir)).find((file) => file.endsWith(".log")) ?? "";
    await truncate(join(folder.dir, name), 100);
    expect((await scrubbed(stores))?.message).toContain(`the file ${name} of the database has changed`);
  });
});

describe("records that are not what was written are found though the files are as they were", () => {
  test.each<[string, string, string]>([
    ["an entry", numbered(KEYS.entry, 1500), "the log entry 1500 fails its checksum"],
    ["term and vote", KEYS.hardState, "the record log/hard-state fails its checksum"],
    ["the host's identity", KEYS.host, "the record host/identity fails its checksum"],
    ["the newest snapshot's head", numbered(KEYS.snapshotHead, 2), "snapshot 2 fails its checksum"],
    [
      "a part of the newest snapshot",
      `${numbered(KEYS.snapshotPart, 2)}/0000000000000000`,
      "part 0 of snapshot 2 fails",
    ],
  ])("%s", async (_what, key, words) => {
    await folder.use(async (stores) => {
      await stores.identity.host();
      await fill(stores, 1);
      await fill(stores, 1001);
    });
    await folder.tamper((db) => flipBit(db, key));
    await using stores = await openStores(folder.dir, { log: folder.log });
    expect((await scrubbed(stores))?.message).toContain(words);
  });

  test("an entry that is missing", async () => {
    await folder.use(async (stores) => fill(stores, 1));
    await folder.tamper((db) => db.del(numbered(KEYS.entry, 700)));
    await using stores = await openStores(folder.dir, { log: folder.log });
    expect((await scrubbed(stores))?.message).toContain("log entries 700 to 700 are missing");
  });
});

describe("what is no damage", () => {
  test("appends, truncations, compactions, snapshots, merged tables and a reopening between the readings", async () => {
    await using stores = await running();
    let next = 2001;
    for (let round = 0; round < 30; round += 1) {
      await fill(stores, next);
      next += 1000;
      if (round % 3 === 0) {
        const batch = { entries: entries(next - 500, next - 1, 2), sync: true, hardState: null };
        await stores.log.append({ ...batch, truncateFrom: next - 500 });
      }
      if (round % 4 === 0) await stores.log.compact(next - 3000);
      if (round % 10 === 5) await stores.disk.reopen();
      const reading = stores.disk.scrub();
      await stores.log.append({
        truncateFrom: null,
        entries: entries(next, next, 2),
        hardState: null,
        sync: true,
      });
      next += 1;
      expect(await reading).toBeNull();
    }
    expect(await scrubbed(stores)).toBeNull();
  });

  test("a closed store", async () => {
    const stores = await running();
    await stores[Symbol.asyncDispose]();
    expect(await stores.disk.scrub()).toBeNull();
  });
});
