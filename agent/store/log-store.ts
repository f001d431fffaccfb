import { Compile } from "typebox/compile";
import { Type, type Static } from "typebox";

import type { CountedWrites } from "./counted-writes.ts";
import type { Database, Step, View } from "./database.ts";
import { CHAIN_START, checkLink, indexOf, readEntry, sealEntry, type LinkedEntry } from "./entry-record.ts";
import { KEYS, numbered, under } from "./keys.ts";
import { REJOIN_ADVICE, hashOf, openJson, openRecord, sealRecord } from "./record.ts";
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

const Anchor = Type.Object({ index: Count, hash: Type.String({ pattern: "^[0-9a-f]{8}$" }) });
/** What the retained entries follow: the last one that was forgotten, or nothing (CHAIN_START) where a log began. */
type Anchor = Static<typeof Anchor>;
const AnchorRecord = Compile(Anchor);

/** Bytes read from the disk in one go, and entries. */
const READ_BYTES = 1024 * 1024;
const READ_ENTRIES = 1000;
/** Entries forgotten in one batch; a synced write may have to wait for one. */
const FORGET_ENTRIES = 512;

/** First and last entry on disk, and the hash of the last. */
interface Extent {
  readonly first: number;
  readonly last: number;
  readonly hash: string;
}

/** What lies on the disk, the leftovers of a compaction aside. */
interface Scanned {
  readonly hardState: HardState;
  readonly anchor: Anchor | null;
  readonly entries: Entry[];
  /** Behind the entries: records that fail their checksum. */
  readonly torn: readonly number[];
  /** Of the last entry. */
  readonly hash: string;
}

/**
 * The log in Level: one record per entry, chained (entry-record.ts), the anchor of the chain, and the hard state, which changes
 * in the same batch as the entries. Appends and resets come one at a time; a compaction may run beside them.
 *
 * Whenever there are entries, there is an anchor: the first entry of an empty log writes it, a compaction moves it before it
 * removes anything. Entries at or below it are leftovers of a compaction that broke off.
 */
export class LevelLogStore implements LogStore {
  readonly #db: Database;
  readonly #writes: CountedWrites;
  readonly #log: Log;
  /** Null when there are no entries, undefined before it is known. */
  #extent: Extent | null | undefined;

  constructor(deps: { readonly db: Database; readonly writes: CountedWrites; readonly log: Log }) {
    this.#db = deps.db;
    this.#writes = deps.writes;
    this.#log = deps.log;
  }

  async load(): Promise<{ hardState: HardState; entries: Entry[]; cut: number }> {
    const { hardState, anchor, entries, torn, hash } = await this.#scan({});
    if (anchor !== null) await this.#forget(0, anchor.index);
    if (torn.length > 0) await this.#cutTail(torn);
    const [first] = entries;
    this.#extent =
      first === undefined ? null : { first: first.index, last: first.index + entries.length - 1, hash };
    return { hardState, entries, cut: torn.length };
  }

  /** What `load` gives, read beside whatever is written, and nothing changed: a torn end is left out and stays. */
  async read(view: View): Promise<{ hardState: HardState; entries: Entry[] }> {
    const { hardState, entries } = await this.#scan(view);
    return { hardState, entries };
  }

  async append(batch: Parameters<LogStore["append"]>[0]): Promise<void> {
    const steps: Step[] = [];
    const before = this.#extent === undefined ? await this.#known() : this.#extent;
    let extent = before;
    if (batch.truncateFrom !== null && before !== null && batch.truncateFrom <= before.last) {
      for (let index = batch.truncateFrom; index <= before.last; index += 1) {
        steps.push({ type: "del", key: numbered(KEYS.entry, index) });
      }
      const last = batch.truncateFrom - 1;
      extent = last < before.first ? null : { ...before, last, hash: await this.#hashAt(last) };
    }
    for (const entry of batch.entries) {
      const { index } = entry;
      assert(extent === null || index === extent.last + 1, "the log on disk has no gap and no overlap");
      if (extent === null) steps.push(anchorStep({ index: index - 1, hash: CHAIN_START }));
      const { record, hash }: { record: Buffer; hash: string } = sealEntry(
        entry,
        extent?.hash ?? CHAIN_START,
      );
      steps.push({ type: "put", key: numbered(KEYS.entry, index), value: record });
      extent = { first: extent?.first ?? index, last: index, hash };
    }
    if (batch.hardState !== null) steps.push(hardStateStep(batch.hardState));
    if (steps.length === 0) return;
    await (batch.sync ? this.#writes.write(steps) : this.#writes.aside(steps, { sync: false }));
    this.#extent = this.#sinceForgotten(before, extent);
  }

  async compact(upTo: number): Promise<void> {
    const extent = await this.#known();
    if (extent === null || upTo < extent.first) return;
    const index = Math.min(upTo, extent.last);
    // Synced, for what follows is not: a power cut could otherwise keep the removals and lose the anchor.
    await this.#writes.aside([anchorStep({ index, hash: await this.#hashAt(index) })], { sync: true });
    await this.#forget(extent.first, index);
    // Appends may have come in between; they change only the end.
    const now = await this.#known();
    if (now !== null) this.#extent = index >= now.last ? null : { ...now, first: index + 1 };
  }

  async reset(hardState: HardState): Promise<void> {
    const keys = await this.#db.keys(under(KEYS.entry)).all();
    const steps: Step[] = [...keys, KEYS.anchor].map((key) => ({ type: "del", key }));
    await this.#writes.write([...steps, hardStateStep(hardState)]);
    this.#extent = null;
  }

  /** Somebody else changed what the database holds. */
  forgotten(): void {
    this.#extent = undefined;
  }

  /** What an append leaves, when a compaction may have moved the beginning since it looked. */
  #sinceForgotten(before: Extent | null, after: Extent | null): Extent | null {
    const now = this.#extent;
    if (after === null || before === null || now === null || now === undefined) return after;
    return after.first === before.first ? { ...after, first: now.first } : after;
  }

  async #known(): Promise<Extent | null> {
    if (this.#extent !== undefined) return this.#extent;
    const [key] = await this.#db.keys({ ...under(KEYS.entry), limit: 1, reverse: true }).all();
    const anchor = await this.#anchor();
    const last = key === undefined ? 0 : indexOf(key);
    if (key !== undefined && anchor === null) throw noAnchor();
    this.#extent =
      key === undefined || anchor === null || last <= anchor.index
        ? null
        : { first: anchor.index + 1, last, hash: await this.#hashAt(last) };
    return this.#extent;
  }

  async #anchor(view: View = {}): Promise<Anchor | null> {
    const record = await this.#db.get(KEYS.anchor, view);
    return record === undefined ? null : openJson(record, AnchorRecord, "the log's beginning");
  }

  async #scan(view: View): Promise<Scanned> {
    const record = await this.#db.get(KEYS.hardState, view);
    const hardState = record === undefined ? FRESH : openJson(record, HardStateRecord, "term and vote");
    const anchor = await this.#anchor(view);
    const entries: Entry[] = [];
    const torn: number[] = [];
    let last = anchor;
    for await (const [index, read] of this.#read(anchor === null ? 0 : anchor.index + 1, view)) {
      if (read === "torn") {
        torn.push(index);
        continue;
      }
      if (torn[0] !== undefined) throw failsChecksum(torn[0]);
      if (last === null) throw noAnchor();
      checkLink(read, last);
      entries.push(read.entry);
      last = { index, hash: read.hash };
    }
    if (record === undefined && entries.length > 0) {
      throw new StoreDamaged("the log has entries but no record of term and vote", REJOIN_ADVICE);
    }
    // What is known to be committed was promised to others: losing it silently could lose an acknowledged write.
    if (torn[0] !== undefined && torn[0] <= hardState.commit) throw failsChecksum(torn[0]);
    return { hardState, anchor, entries, torn, hash: last?.hash ?? CHAIN_START };
  }

  async #hashAt(index: number): Promise<string> {
    const record = await this.#db.get(numbered(KEYS.entry, index));
    if (record === undefined) throw new StoreDamaged(`the log entry ${index} is missing`, REJOIN_ADVICE);
    if (openRecord(record) === null) throw failsChecksum(index);
    return hashOf(record);
  }

  /** Index and record of each entry in order. */
  async *#read(from: number, view: View): AsyncGenerator<[number, LinkedEntry | "torn"]> {
    const range = { ...under(KEYS.entry), gte: numbered(KEYS.entry, from) };
    await using records = this.#db.iterator({ ...range, ...view, highWaterMarkBytes: READ_BYTES });
    for (
      let some = await records.nextv(READ_ENTRIES);
      some.length > 0;
      some = await records.nextv(READ_ENTRIES)
    ) {
      for (const [key, value] of some) {
        const index = indexOf(key);
        yield [index, readEntry(index, value)];
      }
    }
  }

  /** Removes entries in small batches, from the oldest on. */
  async #forget(from: number, upTo: number): Promise<void> {
    const range = { gte: numbered(KEYS.entry, from), lte: numbered(KEYS.entry, upTo) };
    const keys = await this.#db.keys(range).all();
    for (let at = 0; at < keys.length; at += FORGET_ENTRIES) {
      const steps = keys.slice(at, at + FORGET_ENTRIES).map((key) => ({ type: "del" as const, key }));
      await this.#writes.aside(steps, { sync: false });
    }
  }

  /** Removes torn records, behind which there is nothing. */
  async #cutTail(torn: readonly number[]): Promise<void> {
    this.#log.warn({ from: torn[0], entries: torn.length }, "cut a torn end of the log");
    await this.#writes.write(torn.map((index) => ({ type: "del", key: numbered(KEYS.entry, index) })));
  }
}

export function hardStateStep({ term, vote, commit }: HardState): Step {
  return { type: "put", key: KEYS.hardState, value: sealRecord(JSON.stringify({ term, vote, commit })) };
}

/** Also what a migration writes: see format-2.ts. */
export function anchorStep(anchor: Anchor): Step {
  return { type: "put", key: KEYS.anchor, value: sealRecord(JSON.stringify(anchor)) };
}

function failsChecksum(index: number): StoreDamaged {
  return new StoreDamaged(`the log entry ${index} fails its checksum`, REJOIN_ADVICE);
}

function noAnchor(): StoreDamaged {
  return new StoreDamaged("the log has entries but no record of where it begins", REJOIN_ADVICE);
}
