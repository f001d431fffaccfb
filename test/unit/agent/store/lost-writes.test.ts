import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { StoreDamaged, type Stores } from "#agent/ports/store.ts";
import { openStores } from "#agent/store/open.ts";
import { entry } from "#test/suites/store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

// Real files of a closed database, with something done to them that LevelDB itself takes without a word.

let root: string;
let dir: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "muster-lost-"));
  dir = join(root, "store");
});

afterEach(() => rm(root, { recursive: true, force: true }));

async function withStores<T>(use: (stores: Stores) => Promise<T>): Promise<T> {
  await using stores = await openStores(dir, { log: new RecordingLog() });
  return await use(stores);
}

const load = (): ReturnType<Stores["log"]["load"]> => withStores((stores) => stores.log.load());

async function damage(): Promise<string> {
  const error: unknown = await load().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StoreDamaged);
  expect((error as StoreDamaged).advice).toContain("join it to the cluster again");
  return (error as StoreDamaged).message;
}

/** Entries and votes in turn, each synced by itself, as a voter has them. */
async function append(stores: Stores, from: number, to: number): Promise<void> {
  for (let index = from; index <= to; index += 1) {
    const hardState = { term: index, vote: index % 2 === 0 ? "a" : null, commit: index - 1 };
    await stores.log.append({
      truncateFrom: null,
      entries: index % 3 === 0 ? [] : [entry(index - Math.floor(index / 3), 1, "x".repeat(200))],
      hardState,
      sync: true,
    });
  }
}

async function writeAheadLog(): Promise<string> {
  const [file, ...more] = (await readdir(dir)).filter((name) => name.endsWith(".log"));
  expect(more).toEqual([]);
  return join(dir, file ?? "");
}

async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file);
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  await writeFile(file, bytes);
}

describe("a byte flipped in LevelDB's own log", () => {
  const APPENDS = 250;

  test("is noticed wherever it takes a vote or an entry along", { timeout: 30_000 }, async () => {
    await withStores((stores) => append(stores, 1, APPENDS));
    const file = basename(await writeAheadLog());
    const whole = join(root, "whole");
    await cp(dir, whole, { recursive: true });
    expect((await load()).hardState.term).toBe(APPENDS);
    const { size } = await stat(join(whole, file));
    expect(size).toBeGreaterThan(2 * 32_768); // Blocks: from the first one only the middle is lost.
    const mark = await readFile(`${dir}.written`);
    for (let at = 5; at < size; at += 1499) {
      await rm(dir, { recursive: true });
      await cp(whole, dir, { recursive: true });
      // A loss from the middle shows in the database alone; only the end needs the mark.
      if (at < size - 32_768 - 500) await rm(`${dir}.written`, { force: true });
      else await writeFile(`${dir}.written`, mark);
      await flip(join(dir, file), at);
      expect(await damage(), `at ${at}`).toContain("lost writes that were on disk");
    }
  });

  test("is noticed in the last batch, which held nothing but a vote", async () => {
    const vote = { term: 9, vote: "b", commit: 0 };
    await withStores((stores) => append(stores, 1, 8));
    await load();
    await withStores((stores) =>
      stores.log.append({ truncateFrom: null, entries: [], hardState: vote, sync: true }),
    );
    const file = await writeAheadLog();
    await flip(file, (await stat(file)).size - 1);
    expect(await damage()).toContain("(8 of 9 are there without a gap)");
    expect(await damage()).toContain("(8 of 9 are there without a gap)"); // A second start is no way around.
  });
});

describe("the count of writes", () => {
  const unsynced = (stores: Stores): Promise<void> =>
    stores.log.append({
      truncateFrom: null,
      entries: [],
      hardState: { term: 9, vote: "a", commit: 5 },
      sync: false,
    });

  test("does not count what was never promised: an unsynced batch may be gone after a power cut", async () => {
    await withStores((stores) => append(stores, 1, 8));
    await load();
    let durable = 0;
    await withStores(async (stores) => {
      await append(stores, 10, 10);
      durable = (await stat(await writeAheadLog())).size;
      await unsynced(stores);
    });
    expect((await stat(await writeAheadLog())).size).toBeGreaterThan(durable);
    await truncate(await writeAheadLog(), durable);
    expect((await load()).hardState.commit).toBe(9);
  });

  test("accepts a mark that is older, torn, empty or missing, and goes on with the database's count", async () => {
    await withStores((stores) => append(stores, 1, 2));
    const older = await readFile(`${dir}.written`);
    await withStores((stores) => append(stores, 4, 5));
    const newest = await readFile(`${dir}.written`);
    const torn = Buffer.concat([newest.subarray(0, 10), older.subarray(10, 23), Buffer.from("7")]);
    for (const mark of [older, torn, Buffer.alloc(0), Buffer.alloc(24), null]) {
      await (mark === null ? unlink(`${dir}.written`) : writeFile(`${dir}.written`, mark));
      expect((await load()).hardState.term).toBe(5);
    }
    await withStores((stores) => append(stores, 6, 6));
    await writeFile(`${dir}.written`, newest);
    expect((await load()).hardState.term).toBe(6);
  });

  test("goes on over leaving a cluster and over a reset", async () => {
    await withStores(async (stores) => {
      await append(stores, 1, 5);
      await stores.forgetCluster();
      await append(stores, 1, 2);
      await stores.log.reset({ term: 9, vote: null, commit: 7 });
    });
    expect(await load()).toEqual({ hardState: { term: 9, vote: null, commit: 7 }, entries: [], cut: 0 });
  });

  test("notices a database that was replaced by an empty one, or by an older copy", async () => {
    await withStores((stores) => append(stores, 1, 5));
    await cp(dir, join(root, "older"), { recursive: true });
    await withStores((stores) => append(stores, 6, 7));
    await rm(dir, { recursive: true });
    await cp(join(root, "older"), dir, { recursive: true });
    expect(await damage()).toContain("(5 of 7 are there");
    await rm(dir, { recursive: true });
    expect(await damage()).toContain("(0 of 7 are there");
  });

  test("is for this user's eyes only, and as small as one record", async () => {
    await withStores((stores) => append(stores, 1, 120));
    const { mode, size } = await stat(`${dir}.written`);
    expect([mode & 0o777, size]).toEqual([0o600, 24]);
  });
});

describe("without CURRENT", () => {
  test.each([
    ["the log of writes", /\.log$/],
    ["a manifest", /^MANIFEST/],
    ["tables", /\.ldb$/],
  ])("a database of which %s is left is damaged, and not made anew", async (_what, kept) => {
    await withStores((stores) => append(stores, 1, 5));
    await load(); // The next life moves the log of writes into a table.
    await unlink(`${dir}.written`);
    for (const name of await readdir(dir)) if (!kept.test(name)) await unlink(join(dir, name));
    expect(await readdir(dir)).not.toEqual([]);
    expect(await damage()).toContain("has lost its file CURRENT");
    expect(await readdir(dir)).not.toContain("CURRENT");
  });

  test("what a first start leaves that was cut short is made anew", async () => {
    await mkdir(dir);
    for (const name of ["LOCK", "MANIFEST-000001", "000001.dbtmp"]) await writeFile(join(dir, name), "");
    expect((await load()).entries).toEqual([]);
  });
});
