import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Level } from "level";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { WriteFailed } from "#agent/ports/store.ts";
import { beginCount, CountedWrites } from "#agent/store/counted-writes.ts";
import type { Database } from "#agent/store/database.ts";

/** The one form of `batch` that is used here; Level has others. */
interface Batches {
  batch(steps: readonly unknown[], options?: object): Promise<void>;
}

// The order of writes, on a real database whose batches are held up.

let dir: string;
let db: Database;
let writes: CountedWrites;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-unit-"));
  db = new Level<string, Uint8Array>(join(dir, "db"), { valueEncoding: "view" });
  await db.open();
  await beginCount(db);
  writes = await CountedWrites.open(db, join(dir, "mark"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await writes[Symbol.asyncDispose]();
  await db.close();
  await rm(dir, { recursive: true, force: true });
});

const put = (key: string) => [{ type: "put", key, value: Buffer.from(key) }] as const;

test("a write begins at once when none is under way, and else after the one before it", async () => {
  const ends: (() => void)[] = [];
  const batch = vi
    .spyOn(db as Batches, "batch")
    .mockImplementation(() => new Promise<void>((resolve) => ends.push(() => resolve())));
  const first = writes.aside(put("a"), { sync: false });
  expect(batch).toHaveBeenCalledTimes(1);
  const second = writes.aside(put("b"), { sync: false });
  await new Promise((resolve) => setImmediate(resolve));
  expect(batch).toHaveBeenCalledTimes(1);
  ends[0]?.();
  await first;
  await vi.waitFor(() => expect(batch).toHaveBeenCalledTimes(2));
  ends[1]?.();
  await second;
  void writes.aside(put("c"), { sync: false });
  expect(batch).toHaveBeenCalledTimes(3);
  ends[2]?.();
});

test("what waits behind a write that fails is not tried", async () => {
  const batch = vi.spyOn(db as Batches, "batch").mockRejectedValueOnce(new Error("I/O error"));
  const results = await Promise.allSettled([writes.write(put("a")), writes.write(put("b"))]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(batch).toHaveBeenCalledTimes(1);
  await expect(writes.write(put("c"))).rejects.toThrow(WriteFailed);
  expect(batch).toHaveBeenCalledTimes(1);
});
