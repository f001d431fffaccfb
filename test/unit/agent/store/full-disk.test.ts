import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { explainFailure } from "#agent/explain-failure.ts";
import { WriteFailed } from "#agent/ports/store.ts";
import { openStores, type DiskStores } from "#agent/store/open.ts";
import type { Entry } from "#shared/consensus/messages.ts";
import { entry } from "#test/suites/store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

// A store on a small tmpfs that is filled for real.

const root = mkdtempSync(join(tmpdir(), "muster-full-"));
/** Only root may mount, and not everywhere. */
const mounts = process.getuid?.() === 0 && mountTmpfs();

function mountTmpfs(): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", root]).status === 0;
}

if (mounts) execFileSync("umount", [root]);

beforeEach(() => {
  if (mounts) mountTmpfs();
});

afterEach(() => {
  if (mounts) execFileSync("umount", [root]);
});

process.on("exit", () => rmSync(root, { recursive: true, force: true }));

const ballast = join(root, "ballast");
const openHere = (): Promise<DiskStores> => openStores(join(root, "store"), { log: new RecordingLog() });

async function fill(): Promise<void> {
  await using file = await open(ballast, "w");
  for (const size of [64 * 1024, 4096, 1]) {
    let full = false;
    while (!full) {
      full = await file.write(Buffer.alloc(size)).then(
        () => false,
        () => true,
      );
    }
  }
}

/** Appends until it fails; answers the failure and the last entry that was acknowledged. */
async function appendUntilFailed(
  stores: DiskStores,
  from: number,
): Promise<{ error: unknown; last: number }> {
  for (let index = from; ; index += 1) {
    const entries: Entry[] = [entry(index, 1, "x".repeat(2000))];
    const hardState = { term: 1, vote: "a", commit: index };
    try {
      await stores.log.append({ truncateFrom: null, entries, hardState, sync: true });
    } catch (error) {
      return { error, last: index - 1 };
    }
  }
}

describe.skipIf(!mounts)(`a disk that fills up${mounts ? "" : " (needs root, to mount a tmpfs)"}`, () => {
  test("is no place to begin; told in one sentence, and begun once there is room", async () => {
    await fill();
    const error: unknown = await openHere().catch((reason: unknown) => reason);
    expect(explainFailure(error)).toContain("No space left on device");
    await rm(ballast);
    await using stores = await openHere();
    expect((await stores.identity.host()).starts).toBe(1);
  });

  test("takes nothing more until the stores are opened anew, and then all that was acknowledged is there", async () => {
    await using stores = await openHere();
    let last = 0;
    for (let round = 1; round <= 3; round += 1) {
      await fill();
      const failed = await appendUntilFailed(stores, last + 1);
      expect(failed.error).toBeInstanceOf(WriteFailed);
      expect(failed.error).toMatchObject({ full: true });
      expect(stores.disk.failure).toBe(failed.error);
      expect((await stores.disk.space()).freeBytes).toBeLessThan(4096);
      await expect(stores.disk.reopen()).rejects.toMatchObject({ name: "WriteFailed", full: true });

      await rm(ballast);
      // There is room, and what LevelDB would make of its half-written log is not tried out.
      await expect(stores.identity.saveCluster({} as never)).rejects.toBe(failed.error);
      await expect(stores.snapshots.save({} as never, Buffer.alloc(9))).rejects.toBe(failed.error);
      await stores.disk.reopen();
      expect(stores.disk.failure).toBeNull();
      const loaded = await stores.log.load();
      // The one that failed may be there as well: nobody was told what became of it.
      expect(loaded.entries.length - failed.last).toBeOneOf([0, 1]);
      expect(loaded.cut).toBe(0);
      last = loaded.entries.length;
      expect(await stores.disk.scrub()).toBeNull();
    }
    await stores.disk.probe();
    await stores[Symbol.asyncDispose]();
    await using again = await openHere();
    expect((await again.log.load()).entries).toHaveLength(last);
  });
});
