import { writeSync } from "node:fs";
import { constants, open, type FileHandle } from "node:fs/promises";

import type { Database, Step } from "./database.ts";
import { KEYS, numberIn, numbered, under } from "./keys.ts";
import { REJOIN_ADVICE, openRecord, sealRecord } from "./record.ts";
import { StoreDamaged, WriteFailed } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";

// LevelDB forgets without a word what stands behind a damaged byte of its own write-ahead log, and has no setting that
// Node can reach to make it refuse. A vote that is gone so could elect two leaders. Therefore synced batches are counted:
//
// - Batch N adds the key N and removes the key N-1. When batches from the middle are lost, the key before them is never
//   removed, and two are found. The first key lies outside the log, in a table, before anything is counted.
// - Once batch N is on disk, N is written into a small file beside the database. When the last batches are lost, the file
//   knows of more than the database. It is not synced: what it says survives the process, and after a power cut it can
//   only be older than the database, which is no contradiction.

/** The mark's length in bytes: the checksum of record.ts and the digits. */
const DIGITS = 16;
const MARK_BYTES = 8 + DIGITS;
const NOTHING = Buffer.alloc(0);

/**
 * Adds the key 0 to a database that counts nothing yet. True when it did: the database must then be opened anew, which
 * moves the key from the log into a table. Damage at the log's beginning could otherwise take the key along with batches.
 */
export async function beginCount(db: Database): Promise<boolean> {
  const keys = await db.keys({ ...under(KEYS.written), limit: 1 }).all();
  if (keys.length > 0) return false;
  await db.put(numbered(KEYS.written, 0), NOTHING, { sync: true });
  return true;
}

/**
 * Everything that is written to the database, one batch after the other. The synced batches that consensus relies on are
 * counted, so that it is noticed when one of them is gone.
 *
 * After one failed write there is no other. LevelDB may have left half a record in its log; it would take a next one, call it
 * durable, and drop it together with the half at the next opening.
 */
export class CountedWrites implements AsyncDisposable {
  readonly #db: Database;
  readonly #mark: FileHandle;
  #count: number;
  #turn: Promise<unknown> = Promise.resolve();
  /** Writes that have not ended. */
  #underWay = 0;
  #failure: WriteFailed | null = null;

  private constructor(db: Database, mark: FileHandle, count: number) {
    this.#db = db;
    this.#mark = mark;
    this.#count = count;
  }

  /** On a database whose count has begun. Rejects with StoreDamaged when counted batches are gone; `path` is where the mark is. A missing or torn mark knows nothing. */
  static async open(db: Database, path: string): Promise<CountedWrites> {
    const mark = await openMark(path);
    try {
      const told = await readMark(mark);
      return new CountedWrites(db, mark, await countOf(db, told));
    } catch (error) {
      await mark.close();
      throw error;
    }
  }

  /** Why nothing can be written any more; null while all is well. */
  get failure(): WriteFailed | null {
    return this.#failure;
  }

  /** One atomic, synced, counted batch. Rejects with WriteFailed, as does everything after it. */
  write(steps: readonly Step[]): Promise<void> {
    return this.#inTurn(() => this.#write(steps));
  }

  /** One atomic batch that is not counted: its loss is noticed by other means, or does no harm. Fails like `write`. */
  aside(steps: readonly Step[], options: { readonly sync: boolean }): Promise<void> {
    return this.#inTurn(() => this.#db.batch([...steps], options));
  }

  /** Resolves when no write is under way. */
  async idle(): Promise<void> {
    await this.#turn;
  }

  /** The database was closed and opened again. Writes are taken again when it resolves. Rejects with StoreDamaged, as `open` does. */
  async reopened(): Promise<void> {
    this.#count = await countOf(this.#db, await readMark(this.#mark));
    this.#failure = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    await this.#mark.close();
  }

  #inTurn(write: () => Promise<void>): Promise<void> {
    // At once where nothing is before it: the caller goes on to other work meanwhile.
    const turn = this.#underWay === 0 ? this.#attempt(write) : this.#turn.then(() => this.#attempt(write));
    const ended = (): void => {
      this.#underWay -= 1;
    };
    this.#underWay += 1;
    this.#turn = turn.then(ended, ended);
    return turn;
  }

  async #attempt(write: () => Promise<void>): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    try {
      await write();
    } catch (error) {
      this.#failure = new WriteFailed(error, { full: saysFull(error) });
      throw this.#failure;
    }
  }

  async #write(steps: readonly Step[]): Promise<void> {
    const before = this.#count;
    const now = before + 1;
    const counted: Step[] = [
      ...steps,
      { type: "del", key: numbered(KEYS.written, before) },
      { type: "put", key: numbered(KEYS.written, now), value: NOTHING },
    ];
    await this.#db.batch(counted, { sync: true });
    this.#count = now;
    // In place, a page that is there: some microseconds, where a turn through the thread pool costs a multiple.
    writeSync(this.#mark.fd, sealRecord(String(now).padStart(DIGITS, "0")), 0, MARK_BYTES, 0);
  }
}

/** Whether the disk had no room. LevelDB passes on the system's words and no number. */
export function saysFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as Error & { code?: string };
  return (
    code === "ENOSPC" ||
    code === "EDQUOT" ||
    /No space left on device|Disk quota exceeded/.test(error.message)
  );
}

/** How many were counted so far; `told` is what the mark says. */
async function countOf(db: Database, told: number): Promise<number> {
  const keys = await db.keys({ ...under(KEYS.written), limit: 2 }).all();
  const counts = keys.map((key) => numberIn(KEYS.written, key) ?? 0);
  const count = counts[0] ?? 0;
  if (counts.length > 1 || count < told) {
    const last = Math.max(told, ...counts);
    throw new StoreDamaged(
      `the database lost writes that were on disk (${count} of ${last} are there without a gap)`,
      REJOIN_ADVICE,
    );
  }
  return count;
}

async function openMark(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (error) {
    throw new AppError("path_error", { path, cause: (error as Error).message });
  }
}

async function readMark(mark: FileHandle): Promise<number> {
  const { buffer, bytesRead } = await mark.read(Buffer.alloc(MARK_BYTES), 0, MARK_BYTES, 0);
  const text = openRecord(buffer.subarray(0, bytesRead));
  return text !== null && /^\d{16}$/.test(text) ? Number(text) : 0;
}
