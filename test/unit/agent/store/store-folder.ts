import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Level } from "level";

import { openStores, type DiskStores } from "#agent/store/open.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

export type RawDatabase = Level<string, Uint8Array>;

/** A store on the real disk, for tests that put their hands on it between two lives of an agent. */
export class StoreFolder implements AsyncDisposable {
  readonly root: string;
  dir: string;
  readonly log = new RecordingLog();

  private constructor(root: string) {
    this.root = root;
    this.dir = join(root, "store");
  }

  static async create(): Promise<StoreFolder> {
    return new StoreFolder(await mkdtemp(join(tmpdir(), "muster-store-")));
  }

  /** One life: the stores are open while `use` runs. */
  async use<T>(use: (stores: DiskStores) => Promise<T>): Promise<T> {
    await using stores = await openStores(this.dir, { log: this.log });
    return await use(stores);
  }

  /** The records themselves, while no agent runs. */
  async tamper(change: (db: RawDatabase) => Promise<void>): Promise<void> {
    await using db = new Level<string, Uint8Array>(this.dir, { keyEncoding: "utf8", valueEncoding: "view" });
    await change(db);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

/** In the last digit or letter but one: what is left still has the right form, and only the checksum can tell. */
export async function flipBit(db: RawDatabase, key: string): Promise<void> {
  const record = Buffer.from((await db.get(key)) ?? []);
  const at = record.length - 2;
  record[at] = (record[at] ?? 0) ^ 1;
  await db.put(key, record);
}
