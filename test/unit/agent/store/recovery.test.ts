import { cp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import { Level } from "level";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { HeldStores, Stores } from "#agent/ports/store.ts";
import { KEYS, numbered, under } from "#agent/store/keys.ts";
import { Prng } from "#shared/lib/prng.ts";
import { entries } from "#test/suites/store.ts";

import { flipBit, StoreFolder, type RawDatabase } from "./store-folder.ts";

let folder: StoreFolder;

beforeEach(async () => {
  folder = await StoreFolder.create();
});

afterEach(() => folder[Symbol.asyncDispose]());

const CONFIG = { voters: ["a"], outgoing: [], learners: [] };
const FORMER = { clusterId: "c", incarnation: 1, uid: 1, contacts: [] };

/** More than one part, and no compression shortens it. */
function noise(bytes: number): Buffer {
  const prng = new Prng(7);
  return Buffer.from(Uint8Array.from({ length: bytes }, () => prng.below(256)));
}

const RECOVERED = {
  identity: { ...FORMER, incarnation: 2, lineage: "l" },
  hardState: { term: 8, vote: null, commit: 1000 },
  meta: { index: 1000, term: 8, config: CONFIG },
  body: noise(1_200_000),
};

async function writeFormer(stores: Stores): Promise<void> {
  await stores.identity.saveCluster(FORMER);
  const hardState = { term: 1, vote: "a", commit: 38 };
  await stores.log.append({ truncateFrom: null, entries: entries(1, 40), hardState, sync: true });
  for (const index of [10, 20]) {
    await stores.snapshots.save({ index, term: 1, config: CONFIG }, Buffer.from(`state ${index}`));
  }
  await stores.log.compact(15);
}

const held = (): Promise<HeldStores | null> => folder.use((stores) => stores.held());

async function writeAheadLog(): Promise<string> {
  const [file, ...more] = (await readdir(folder.dir)).filter((name) => name.endsWith(".log"));
  expect(more).toEqual([]);
  return join(folder.dir, file ?? "");
}

// A power cut leaves some beginning of LevelDB's own log, and the mark of counted writes as it was at any time before.
test(
  "a power cut at any moment of a recovery leaves the former cluster or the new one, whole",
  { timeout: 60_000 },
  async () => {
    await folder.use(writeFormer);
    const former = await held(); // What was written moves from the log into tables.
    await held();
    const mark = await readFile(`${folder.dir}.written`);
    await folder.use((stores) => stores.recover(RECOVERED));
    const file = basename(await writeAheadLog());
    const whole = join(folder.root, "whole");
    await cp(folder.dir, whole, { recursive: true });
    const { size } = await stat(join(whole, file));
    expect(size).toBeGreaterThan(RECOVERED.body.length);
    const cuts = Array.from({ length: 24 }, (_, i) => Math.floor((i * size) / 24));
    for (let back = 0; back < 4000; back += 170) cuts.push(size - back);
    const seen: string[] = [];
    for (const at of cuts.toSorted((a, b) => a - b)) {
      await rm(folder.dir, { recursive: true });
      await cp(whole, folder.dir, { recursive: true });
      await writeFile(`${folder.dir}.written`, mark);
      await truncate(join(folder.dir, file), at);
      await folder.use(async (stores) => {
        const now = await stores.held();
        expect(now?.identity.incarnation, `cut at ${at} of ${size}`).toBeOneOf([1, 2]);
        if (now?.identity.incarnation === 1) {
          expect(now).toEqual(former);
          seen.push("former");
        } else {
          const { identity, hardState } = RECOVERED;
          expect(now).toMatchObject({ identity, hardState, entries: [], snapshot: { meta: RECOVERED.meta } });
          expect(Buffer.compare(RECOVERED.body, Buffer.from(now?.snapshot?.body ?? []))).toBe(0);
          seen.push("new");
        }
        expect(await stores.snapshots.load()).toEqual(now?.snapshot); // Sweeps what is nobody's.
        expect(await stores.log.load()).toMatchObject({ entries: now?.entries, cut: 0 });
      });
      await folder.tamper(async (db) => {
        const parts = await db.keys(under(KEYS.snapshotPart)).all();
        expect(parts).toHaveLength(2); // Of two small snapshots, or of the one large.
      });
    }
    expect(seen).toEqual(seen.toSorted()); // Once it is there it stays.
    expect(new Set(seen).size).toBe(2);
  },
);

test("nothing of what was held before is left behind", async () => {
  await folder.use(writeFormer);
  await folder.use((stores) => stores.recover({ ...RECOVERED, body: Buffer.from("small") }));
  await folder.tamper(async (db) => {
    expect(await db.keys(under("log/")).all()).toEqual([KEYS.hardState]);
    expect(await db.keys(under("snapshot/")).all()).toHaveLength(2); // One head, one part.
  });
});

test("what is held is of one moment, however long it takes to read it", async () => {
  await folder.use(async (stores) => {
    await writeFormer(stores);
    const before = await stores.held();
    const begun = Promise.withResolvers<void>();
    const changed = Promise.withResolvers<void>();
    // The first thing that is read is the identity; all else is read when the disk holds something else.
    const slow = vi.spyOn(Level.prototype, "get");
    slow.mockImplementationOnce(async function (this: RawDatabase, key: unknown, options: object) {
      begun.resolve();
      await changed.promise;
      slow.mockRestore();
      return this.get(key as string, options);
    });
    const reading = stores.held();
    await begun.promise;
    await stores.log.append({ truncateFrom: null, entries: entries(41, 60), hardState: null, sync: true });
    for (const index of [45, 50]) {
      await stores.snapshots.save({ index, term: 1, config: CONFIG }, Buffer.from(`state ${index}`));
    }
    await stores.log.compact(50);
    await stores.recover({ ...RECOVERED, body: Buffer.from("small") });
    changed.resolve();
    expect(await reading).toEqual(before);
    expect((await stores.held())?.identity).toEqual(RECOVERED.identity);
  });
});

test("a torn end is left out of what is held, and left where it is", async () => {
  await folder.use(writeFormer);
  await folder.tamper((db) => flipBit(db, numbered(KEYS.entry, 40)));
  expect((await held())?.entries).toEqual(entries(16, 39));
  expect(await folder.use((stores) => stores.log.load())).toMatchObject({ cut: 1 });
  await folder.tamper((db) => flipBit(db, numbered(KEYS.entry, 38)));
  await expect(held()).rejects.toThrow("the log entry 38 fails its checksum");
});

test("of two snapshots the older one is held when the newest is damaged", async () => {
  await folder.use(writeFormer);
  await folder.tamper(async (db) => {
    const keys = await db.keys(under(KEYS.snapshotHead)).all();
    await flipBit(db, keys.at(-1) ?? "");
  });
  expect((await held())?.snapshot?.meta.index).toBe(10);
});
