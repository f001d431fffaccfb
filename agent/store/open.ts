import { chmod, mkdir, readdir } from "node:fs/promises";

import { Level } from "level";

import { LevelBootstrapStore } from "./bootstrap-store.ts";
import { CountedWrites, beginCount, saysFull } from "./counted-writes.ts";
import type { Database, Step } from "./database.ts";
import { settleFormat } from "./format.ts";
import { LevelDisk } from "./disk.ts";
import { LevelIdentityStore, clusterStep } from "./identity-store.ts";
import { CLUSTER_RANGES, KEYS, under } from "./keys.ts";
import { LevelLogStore, hardStateStep } from "./log-store.ts";
import { REJOIN_ADVICE } from "./record.ts";
import { Scrub } from "./scrub.ts";
import { LevelSnapshotStore } from "./snapshot-store.ts";
import type { Log } from "#agent/ports/log.ts";
import { StoreDamaged, WriteFailed, type StoreDisk, type Stores } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** All that is stored, and the disk that it is stored on. */
export type DiskStores = Stores & { readonly disk: StoreDisk } & AsyncDisposable;

/**
 * Opens the database in `dir`, making it if needed (readable by this user alone). One process at a time. Rejects with
 * AppError path_error (in use, not writable, written by a newer version), WriteFailed (no room) or StoreDamaged.
 */
export async function openStores(dir: string, deps: { readonly log: Log }): Promise<DiskStores> {
  await makePrivate(dir);
  await checkNotHeadless(dir);
  const db: Database = new Level(dir, { keyEncoding: "utf8", valueEncoding: "view" });
  await openDatabase(db, dir);
  try {
    const migrated = await settleFormat(db, dir, deps.log);
    if ((await beginCount(db)) || migrated) {
      await db.close();
      await openDatabase(db, dir);
    }
    return storesOn(db, await CountedWrites.open(db, `${dir}.written`), deps.log, dir);
  } catch (error) {
    await db.close();
    throw saysFull(error) ? new WriteFailed(error, { full: true }) : error;
  }
}

async function openDatabase(db: Database, dir: string): Promise<void> {
  try {
    await db.open();
  } catch (error) {
    throw openError(dir, error);
  }
}

function storesOn(db: Database, writes: CountedWrites, log: Log, dir: string): DiskStores {
  const logStore = new LevelLogStore({ db, writes, log });
  const snapshots = new LevelSnapshotStore({ db, writes, log });
  const openAgain = async (): Promise<void> => {
    await db.close();
    await checkNotHeadless(dir);
    await openDatabase(db, dir);
    logStore.forgotten();
  };
  const scrub = new Scrub({ db, snapshots }, { dir });
  const identity = new LevelIdentityStore({ db, writes });
  const disk = new LevelDisk({ writes, scrub, log, openAgain }, { dir });
  return {
    log: logStore,
    snapshots,
    identity,
    bootstrap: new LevelBootstrapStore({ db, writes }),
    disk,
    async held() {
      await using snapshot = db.snapshot();
      const cluster = await identity.clusterAt({ snapshot });
      if (cluster === null) return null;
      const held = await logStore.read({ snapshot });
      return { identity: cluster, ...held, snapshot: await snapshots.read({ snapshot }) };
    },
    async recover(recovered) {
      await snapshots.replace(recovered.meta, recovered.body, async (steps) => {
        const former: Step[] = [];
        for (const key of await db.keys(under(KEYS.entry)).all()) former.push({ type: "del", key });
        former.push({ type: "del", key: KEYS.anchor });
        const now = [hardStateStep(recovered.hardState), clusterStep(recovered.identity)];
        await writes.write([...former, ...steps, ...now]);
      });
      logStore.forgotten();
    },
    async forgetCluster() {
      const steps: Step[] = [];
      for (const prefix of CLUSTER_RANGES) {
        for (const key of await db.keys(under(prefix)).all()) steps.push({ type: "del", key });
      }
      await writes.write(steps);
      logStore.forgotten();
    },
    async [Symbol.asyncDispose]() {
      await disk[Symbol.asyncDispose]();
      await db.close();
      await writes[Symbol.asyncDispose]();
    },
  };
}

async function makePrivate(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await chmod(dir, 0o700);
  } catch (error) {
    throw new AppError("path_error", { path: dir, cause: (error as Error).message });
  }
}

/**
 * CURRENT names the file that names all others. Without it Level makes an empty database over what is there, and a voter
 * would have forgotten what it promised. A first start that was cut short leaves nothing but the first manifest.
 */
async function checkNotHeadless(dir: string): Promise<void> {
  const files = await readdir(dir);
  if (files.includes("CURRENT")) return;
  const left = files.find((file) => /^(?:\d+\.(?:ldb|sst|log)|MANIFEST-(?!0*1$)\d+)$/.test(file));
  if (left === undefined) return;
  throw new StoreDamaged(
    `the database in ${dir} has lost its file CURRENT (${left} is there)`,
    REJOIN_ADVICE,
  );
}

/** Level hides the reason behind a general error; it is in `cause.code`. */
function openError(dir: string, error: unknown): Error {
  const cause = error instanceof Error ? (error.cause as (Error & { code?: string }) | undefined) : undefined;
  if (cause?.code === "LEVEL_LOCKED") {
    return new AppError("path_error", { path: dir, cause: "another agent runs on this data directory" });
  }
  if (cause?.code === "LEVEL_CORRUPTION") {
    return new StoreDamaged(`the database in ${dir} is damaged (${cause.message})`, REJOIN_ADVICE);
  }
  return new AppError("path_error", { path: dir, cause: cause?.message ?? String(error) });
}
