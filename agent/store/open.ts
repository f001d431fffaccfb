import { chmod, mkdir } from "node:fs/promises";

import { Level } from "level";

import { LevelBootstrapStore } from "./bootstrap-store.ts";
import type { Database, Step } from "./database.ts";
import { settleFormat } from "./format.ts";
import { LevelIdentityStore } from "./identity-store.ts";
import { CLUSTER_RANGES, under } from "./keys.ts";
import { LevelLogStore } from "./log-store.ts";
import { REJOIN_ADVICE } from "./record.ts";
import { LevelSnapshotStore } from "./snapshot-store.ts";
import type { Log } from "#agent/ports/log.ts";
import { StoreDamaged, type Stores } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";

/**
 * Opens the database in `dir`, making it if needed (readable by this user alone). One process at a time. Rejects with
 * AppError path_error (in use, not writable, written by a newer version) or StoreDamaged.
 */
export async function openStores(
  dir: string,
  deps: { readonly log: Log },
): Promise<Stores & AsyncDisposable> {
  await makePrivate(dir);
  const db: Database = new Level(dir, { keyEncoding: "utf8", valueEncoding: "view" });
  try {
    await db.open();
  } catch (error) {
    throw openError(dir, error);
  }
  try {
    await settleFormat(db, dir);
  } catch (error) {
    await db.close();
    throw error;
  }
  return storesOn(db, deps.log);
}

function storesOn(db: Database, log: Log): Stores & AsyncDisposable {
  const logStore = new LevelLogStore({ db, log });
  return {
    log: logStore,
    snapshots: new LevelSnapshotStore({ db, log }),
    identity: new LevelIdentityStore({ db }),
    bootstrap: new LevelBootstrapStore({ db }),
    async forgetCluster() {
      const steps: Step[] = [];
      for (const prefix of CLUSTER_RANGES) {
        for (const key of await db.keys(under(prefix)).all()) steps.push({ type: "del", key });
      }
      await db.batch(steps, { sync: true });
      logStore.forgotten();
    },
    [Symbol.asyncDispose]: () => db.close(),
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
