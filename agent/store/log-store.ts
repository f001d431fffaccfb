import { Compile } from "typebox/compile";
import { Type } from "typebox";

import type { CountedWrites } from "./counted-writes.ts";
import { KEYS, numberIn, numbered, under } from "./keys.ts";
import { REJOIN_ADVICE, openJson, openRecord, sealRecord } from "./record.ts";
import type { Database, Step } from "./database.ts";
import type { Log } from "#agent/ports/log.ts";
import { StoreDamaged, type LogStore } from "#agent/ports/store.ts";
import type { Entry } from "#shared/consensus/messages.ts";
import type { HardState } from "#shared/consensus/ready.ts";
import { assert } from "#shared/lib/assert.ts";

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const HardStateRecord = Compile(
  Type.Object({ term: Count, vote: Type.Union([Type.String(), Type.Null()]), commit: Count }),
);
const FRESH: HardState = { term: 0, vote: null, commit: 0 };

/** `INDEX TERM KIND DATA`: the data is text already and is not encoded a second time. */
const ENTRY = /^(\d{1,16}) (\d{1,16}) (noop|command|config) /;

/** Entries read from the disk in one go. */
const READ_ENTRIES = 1000;

/**
 * The log in Level: one record per entry, and one for the hard state, which changes in the same batch. Appends and
 * resets come one at a time (the pool's threads would reorder them); a compaction may run beside them.
 */
export class LevelLogStore implements LogStore {
  readonly #db: Database;
  readonly #writes: CountedWrites;
  readonly #log: Log;
  /** Indexes of the first and the last entry on disk; null when there are none, undefined before they are known. */
  #range: { first: number; last: number } | null | undefined;
  #failed: Error | null = null;

  constructor(deps: { readonly db: Database; readonly writes: CountedWrites; readonly log: Log }) {
    this.#db = deps.db;
    this.#writes = deps.writes;
    this.#log = deps.log;
  }

  async load(): Promise<{ hardState: HardState; entries: Entry[]; cut: number }> {
    const record = await this.#db.get(KEYS.hardState);
    const hardState = record === undefined ? FRESH : openJson(record, HardStateRecord, "term and vote");
    const entries: Entry[] = [];
    const bad: number[] = [];
    for await (const [index, entry] of this.#read()) {
      if (entry === null) bad.push(index);
      else entries.push(entry);
    }
    const cut = await this.#cutTail(entries, bad, hardState.commit);
    checkContiguous(entries);
    if (record === undefined && entries.length > 0) {
      throw new StoreDamaged("the log has entries but no record of term and vote", REJOIN_ADVICE);
    }
    const last = entries.at(-1);
    this.#range = last === undefined ? null : { first: last.index - entries.length + 1, last: last.index };
    return { hardState, entries, cut };
  }

  async append(batch: Parameters<LogStore["append"]>[0]): Promise<void> {
    const steps: Step[] = [];
    let range = await this.#known();
    if (batch.truncateFrom !== null && range !== null) {
      for (let index = batch.truncateFrom; index <= range.last; index += 1) {
        steps.push({ type: "del", key: numbered(KEYS.entry, index) });
      }
      const last = Math.min(range.last, batch.truncateFrom - 1);
      range = last < range.first ? null : { first: range.first, last };
    }
    for (const entry of batch.entries) {
      assert(range === null || entry.index === range.last + 1, "the log on disk has no gap and no overlap");
      steps.push({
        type: "put",
        key: numbered(KEYS.entry, entry.index),
        value: sealRecord(entryText(entry)),
      });
      range = { first: range?.first ?? entry.index, last: entry.index };
    }
    if (batch.hardState !== null) steps.push(hardStateStep(batch.hardState));
    if (steps.length === 0) return;
    await this.#write(steps, batch.sync);
    this.#range = range;
  }

  async compact(upTo: number): Promise<void> {
    const range = await this.#known();
    if (range === null || upTo < range.first) return;
    await this.#db.clear({ gte: KEYS.entry, lte: numbered(KEYS.entry, upTo) });
    // Appends may have come in between; they change only the end.
    const now = await this.#known();
    if (now !== null) this.#range = upTo >= now.last ? null : { first: upTo + 1, last: now.last };
  }

  async reset(hardState: HardState): Promise<void> {
    const keys = await this.#db.keys(under(KEYS.entry)).all();
    const steps: Step[] = [...keys.map((key) => ({ type: "del" as const, key })), hardStateStep(hardState)];
    await this.#write(steps, true);
    this.#range = null;
  }

  /** The database was emptied by somebody else. */
  forgotten(): void {
    this.#range = null;
  }

  /** After one failed write nobody knows what the disk holds, so there is no second try. */
  async #write(steps: Step[], sync: boolean): Promise<void> {
    if (this.#failed !== null) throw this.#failed;
    try {
      await (sync ? this.#writes.write(steps) : this.#db.batch(steps));
    } catch (error) {
      this.#failed = error as Error;
      throw error;
    }
  }

  async #known(): Promise<{ first: number; last: number } | null> {
    if (this.#range !== undefined) return this.#range;
    const [first] = await this.#db.keys({ ...under(KEYS.entry), limit: 1 }).all();
    const [last] = await this.#db.keys({ ...under(KEYS.entry), limit: 1, reverse: true }).all();
    this.#range =
      first === undefined || last === undefined ? null : { first: indexOf(first), last: indexOf(last) };
    return this.#range;
  }

  /** Index and entry of each record in order; null for one that is not what was written. */
  async *#read(): AsyncGenerator<[number, Entry | null]> {
    await using records = this.#db.iterator(under(KEYS.entry));
    for (
      let some = await records.nextv(READ_ENTRIES);
      some.length > 0;
      some = await records.nextv(READ_ENTRIES)
    ) {
      for (const [key, value] of some) {
        const index = indexOf(key);
        yield [index, parseEntry(index, value)];
      }
    }
  }

  /**
   * Removes bad records at the end. What is known to be committed was promised to others and is never cut: losing it
   * silently could lose an acknowledged write.
   */
  async #cutTail(entries: readonly Entry[], bad: readonly number[], commit: number): Promise<number> {
    const first = bad[0];
    if (first === undefined) return 0;
    const last = entries.at(-1)?.index ?? 0;
    if (first <= commit || first < last) {
      throw new StoreDamaged(`the log entry ${first} fails its checksum`, REJOIN_ADVICE);
    }
    this.#log.warn({ from: first, entries: bad.length }, "cut a torn end of the log");
    const steps: Step[] = bad.map((index) => ({ type: "del", key: numbered(KEYS.entry, index) }));
    await this.#write(steps, true);
    return bad.length;
  }
}

function hardStateStep({ term, vote, commit }: HardState): Step {
  return { type: "put", key: KEYS.hardState, value: sealRecord(JSON.stringify({ term, vote, commit })) };
}

function entryText(entry: Entry): string {
  return `${entry.index} ${entry.term} ${entry.kind} ${entry.data}`;
}

function parseEntry(index: number, record: Uint8Array): Entry | null {
  const text = openRecord(record);
  const match = text === null ? null : ENTRY.exec(text);
  if (text === null || match === null || Number(match[1]) !== index) return null;
  const kind = match[3] as Entry["kind"];
  return { index, term: Number(match[2]), kind, data: text.slice(match[0].length) };
}

function indexOf(key: string): number {
  const index = numberIn(KEYS.entry, key);
  if (index === null) throw new StoreDamaged(`${key} is no key of a log entry`, REJOIN_ADVICE);
  return index;
}

function checkContiguous(entries: readonly Entry[]): void {
  for (const [i, entry] of entries.entries()) {
    const before = entries[i - 1];
    if (before !== undefined && entry.index !== before.index + 1) {
      throw new StoreDamaged(
        `log entries ${before.index + 1} to ${entry.index - 1} are missing`,
        REJOIN_ADVICE,
      );
    }
  }
}
