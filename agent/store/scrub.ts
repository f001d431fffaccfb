import type { Database } from "./database.ts";
import { checkLink, indexOf, readEntry } from "./entry-record.ts";
import { FileScrub } from "./file-scrub.ts";
import { KEYS, numbered, under } from "./keys.ts";
import { REJOIN_ADVICE, openRecord } from "./record.ts";
import type { LevelSnapshotStore } from "./snapshot-store.ts";
import { StoreDamaged } from "#agent/ports/store.ts";

/** Entries and bytes of the log read back in one call: a log of 8,192 entries, which is a long one, in twelve. */
const ENTRIES = 700;
const ENTRY_BYTES = 1024 * 1024;

/**
 * Reads back what lies at rest, a piece at a time and round and round, so that damage is found while others still hold what was
 * damaged, and not at the next start. Two ways, since neither sees everything:
 *
 * - **The records** of log and newest snapshot as the stores would read them: checksum, chain, parts. LevelDB answers for what was
 *   written lately from its memory (4 MiB) and may answer from its cache (8 MiB), so this notices damage in tables on disk and what
 *   a defect wrote wrongly, not a flipped bit in its log of writes.
 * - **The files**, byte by byte, against what they held when they were first read, within a minute of being written. This notices
 *   any later change in any of them, the log of writes included.
 *
 * What neither finds: damage that comes before the first reading of a part that LevelDB still answers from memory (the count of
 * writes finds it at the next start), and a bad sector under a page that the kernel still holds in its cache. Nothing is wrong with
 * what is served then; the page is written back or dropped one day, and the next reading finds it.
 */
export class Scrub {
  readonly #db: Database;
  readonly #snapshots: LevelSnapshotStore;
  readonly #files: FileScrub;
  /** Where in the log to go on: the key of an entry that was read, or null at the beginning. */
  #at: string | null = null;
  #part = 0;

  constructor(
    deps: { readonly db: Database; readonly snapshots: LevelSnapshotStore },
    options: { readonly dir: string },
  ) {
    this.#db = deps.db;
    this.#snapshots = deps.snapshots;
    this.#files = new FileScrub(options);
  }

  /** The database was opened anew. */
  forget(): void {
    this.#files.forget();
    this.#at = null;
    this.#part = 0;
  }

  /** One piece of each. Null when it is as it was written, or while the database is closed. */
  async next(): Promise<StoreDamaged | null> {
    try {
      await this.#files.next();
      await this.#readEntries();
      this.#part = (await this.#snapshots.check(this.#part)) ?? 0;
      return null;
    } catch (error) {
      if (error instanceof StoreDamaged) return error;
      if (this.#db.status !== "open") return null;
      return new StoreDamaged(`the database cannot be read (${(error as Error).message})`, REJOIN_ADVICE);
    }
  }

  /** The chain from one entry to another. The first of them may have been replaced or forgotten since it was read. */
  async #readEntries(): Promise<void> {
    const range = { ...under(KEYS.entry), ...(this.#at === null ? {} : { gte: this.#at }) };
    await using records = this.#db.iterator({ ...range, fillCache: false, highWaterMarkBytes: ENTRY_BYTES });
    let last: { index: number; hash: string } | null = null;
    const some = await records.nextv(ENTRIES);
    for (const [key, record] of some) {
      const index = indexOf(key);
      const read = readEntry(index, record);
      if (read === "torn") throw new StoreDamaged(`the log entry ${index} fails its checksum`, REJOIN_ADVICE);
      if (last !== null) checkLink(read, last);
      last = { index, hash: read.hash };
    }
    const on: boolean = last !== null && some.length > 1;
    this.#at = on && last !== null ? numbered(KEYS.entry, last.index) : null;
    if (!on) await this.#readSingles();
  }

  /** The records that stand alone: term and vote, and who this host is. */
  async #readSingles(): Promise<void> {
    for (const key of [KEYS.hardState, KEYS.anchor, KEYS.host, KEYS.cluster, KEYS.bootstrap]) {
      const record = await this.#db.get(key);
      if (record !== undefined && openRecord(record) === null) {
        throw new StoreDamaged(`the record ${key} fails its checksum`, REJOIN_ADVICE);
      }
    }
  }
}
