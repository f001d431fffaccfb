import { assert } from "#shared/lib/assert.ts";

import type { Entry, SnapshotMeta } from "./messages.ts";
import type { CoreStart } from "./ready.ts";

/** What an entry weighs beside its text when batches are cut: index, term and kind on the wire. */
const ENTRY_OVERHEAD_BYTES = 64;
/** Entries in one batch: what the schema of an append message allows. */
const ENTRIES_PER_BATCH_MAX = 8192;

/** About how many bytes an entry takes on the wire. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

/**
 * The log in memory, and how far it is durable, committed, handed out and applied.
 *
 * Entries sit in one array behind a base: index `base + 1 + i` is at place `i`. The base is the last index that was
 * forgotten; its term is kept so that the first entry can still be matched (§5, log compaction).
 *
 * Invariants: applied ≤ handed ≤ min(commit, durable); base ≤ snapshot.index ≤ applied except while a received snapshot waits;
 * terms never fall from one entry to the next; nothing at or below commit is ever truncated.
 */
export class RaftLog {
  #entries: Entry[];
  #base: number;
  /** Null after a restart with a tail older than the snapshot: the entry before the tail is not known any more. */
  #baseTerm: number | null;
  #snapshot: SnapshotMeta | null;
  #commit: number;
  #handed: number;
  #applied: number;
  /** Last index known to be on this disk. */
  #durable: number;
  /** Last index of the Ready that is being saved and is still valid; 0 when none is. */
  #saving = 0;
  /** Highest index the disk may hold, valid or not. */
  #diskLast: number;
  #truncateFrom: number | null = null;
  #uncommittedBytes: number;

  constructor(start: CoreStart) {
    const { snapshot } = start;
    const kept = entriesThatFit(start);
    const first = kept[0];
    this.#entries = kept;
    this.#snapshot = snapshot;
    this.#base = first === undefined ? (snapshot?.index ?? 0) : first.index - 1;
    this.#baseTerm = this.#base === 0 ? 0 : this.#base === snapshot?.index ? snapshot.term : null;
    assert(this.#base === 0 || snapshot !== null, "a log that does not begin at 1 has a snapshot");
    this.#durable = this.last;
    this.#diskLast = start.entries.at(-1)?.index ?? 0;
    if (kept.length < start.entries.length) this.#truncateFrom = start.entries[0]?.index ?? null;
    this.#applied = start.applied;
    this.#handed = start.applied;
    this.#commit = Math.min(this.last, Math.max(start.hardState.commit, snapshot?.index ?? 0, start.applied));
    assert(this.#applied <= this.#commit, "the state machine holds nothing the log does not know");
    assert(this.#applied >= this.#base, "the entries after the applied index are retained");
    this.#uncommittedBytes = this.#bytes(this.#commit + 1, this.last);
  }

  get first(): number {
    return this.#base + 1;
  }

  get last(): number {
    return this.#base + this.#entries.length;
  }

  get lastTerm(): number {
    const term = this.termAt(this.last);
    assert(term !== null, "the term of the last index is known");
    return term;
  }

  get commit(): number {
    return this.#commit;
  }

  get applied(): number {
    return this.#applied;
  }

  get durable(): number {
    return this.#durable;
  }

  /** About how many bytes of entries are not committed yet. */
  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }

  /** About how many bytes the entries from one index to another take. */
  #bytes(from: number, to: number): number {
    return this.slice(from, to).reduce((sum, entry) => sum + entryBytes(entry), 0);
  }

  get truncateFrom(): number | null {
    return this.#truncateFrom;
  }

  /** The newest snapshot on this disk (or about to be): what a follower that is too far behind is offered. */
  get snapshot(): SnapshotMeta | null {
    return this.#snapshot;
  }

  /** Term of the entry at an index, the base included; null when unknown here. Index 0 has term 0. */
  termAt(index: number): number | null {
    if (index === this.#base) return this.#baseTerm;
    return this.#entries[index - this.#base - 1]?.term ?? null;
  }

  /** §5.4.1 (dissertation §3.6.1): whether a log that ends so is at least as up to date as this one. */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.last);
  }

  /** Adds entries at the end; they must continue the log. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.last + 1, "entries are appended without a gap");
      this.#entries.push(entry);
      this.#uncommittedBytes += entryBytes(entry);
    }
  }

  /** Removes this index and everything after it. */
  truncate(from: number): void {
    assert(from > this.#commit, "a committed entry is never removed");
    if (from > this.last) return;
    this.#uncommittedBytes -= this.#bytes(from, this.last);
    this.#entries.length = from - this.first;
    this.#durable = Math.min(this.#durable, from - 1);
    this.#saving = Math.min(this.#saving, from - 1);
    if (from <= this.#diskLast) this.#truncateFrom = Math.min(this.#truncateFrom ?? from, from);
  }

  /** Raises the commit index, never lowers it, and never beyond what is here. True if it moved. */
  commitTo(index: number): boolean {
    const next = Math.min(index, this.last);
    if (next <= this.#commit) return false;
    this.#uncommittedBytes -= this.#bytes(this.#commit + 1, next);
    this.#commit = next;
    return true;
  }

  /** All entries from one index to another, both included. */
  slice(from: number, to: number): Entry[] {
    assert(from >= this.first, "the entries asked for are retained");
    return this.#entries.slice(from - this.first, to - this.#base);
  }

  /** As `slice`, but at most about maxBytes (at least one entry if there is one) and no more than a message may carry. */
  batch(from: number, to: number, maxBytes: number): Entry[] {
    assert(from >= this.first, "the entries asked for are retained");
    const begin = from - this.first;
    const limit = Math.min(to - this.#base, this.#entries.length, begin + ENTRIES_PER_BATCH_MAX);
    let end = begin;
    for (let bytes = 0; end < limit; end += 1) {
      const entry = this.#entries[end];
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > maxBytes && end > begin) break;
    }
    return this.#entries.slice(begin, end);
  }

  /** The largest index from `floor` to `index` whose term is at most `term`: one probe per term instead of one per entry (§3.3). */
  lastWithTermAtMost(index: number, term: number, floor: number): number {
    let at = Math.min(index, this.last);
    while (at > floor && (this.termAt(at) ?? 0) > term) at -= 1;
    return at;
  }

  /** A received snapshot replaces everything. */
  restore(meta: SnapshotMeta): void {
    assert(meta.index > this.#commit, "a snapshot never takes back what is committed");
    this.#entries = [];
    this.#base = meta.index;
    this.#baseTerm = meta.term;
    this.#snapshot = meta;
    this.#commit = meta.index;
    this.#handed = meta.index;
    this.#durable = meta.index;
    this.#saving = 0;
    this.#diskLast = 0;
    this.#truncateFrom = null;
    this.#uncommittedBytes = 0;
  }

  /** Forgets entries up to an index that a durable snapshot covers. */
  compact(meta: SnapshotMeta, upTo: number): void {
    assert(meta.index <= this.#applied, "a snapshot covers only what was applied");
    assert(upTo <= meta.index, "what is forgotten is in the snapshot");
    if (meta.index > (this.#snapshot?.index ?? 0)) this.#snapshot = meta;
    if (upTo <= this.#base) return;
    this.#baseTerm = this.termAt(upTo);
    this.#entries.splice(0, upTo - this.#base);
    this.#base = upTo;
  }

  /** Whether there are entries that a Ready has not taken yet. */
  get hasUnsaved(): boolean {
    return this.last > Math.max(this.#durable, this.#saving);
  }

  /** Whether there are committed, durable entries that a Ready has not taken yet. */
  get hasUnapplied(): boolean {
    return Math.min(this.#commit, this.#durable) > this.#handed;
  }

  /** Takes what must be saved now. */
  takeUnsaved(): { readonly truncateFrom: number | null; readonly entries: readonly Entry[] } {
    const truncateFrom = this.#truncateFrom;
    const entries = this.#entries.slice(this.#durable - this.#base);
    this.#truncateFrom = null;
    this.#saving = this.last;
    this.#diskLast = truncateFrom === null ? Math.max(this.#diskLast, this.last) : this.last;
    return { truncateFrom, entries };
  }

  /** What `takeUnsaved` gave is durable, as far as it was not truncated meanwhile. */
  saved(): void {
    this.#durable = Math.max(this.#durable, this.#saving);
    this.#saving = 0;
  }

  /** Takes committed entries that are durable here. */
  takeUnapplied(maxBytes: number): readonly Entry[] {
    const to = Math.min(this.#commit, this.#durable);
    if (to <= this.#handed) return [];
    const entries = this.batch(this.#handed + 1, to, maxBytes);
    this.#handed += entries.length;
    return entries;
  }

  /** The state machine has everything up to this index. */
  appliedTo(index: number): void {
    assert(index <= this.#handed, "only what was handed out can have been applied");
    this.#applied = Math.max(this.#applied, index);
  }
}

/**
 * The retained entries, unless they do not belong to the snapshot: a crash between installing a snapshot and clearing the log
 * leaves entries that end before it, or that another history wrote.
 */
function entriesThatFit({ snapshot, entries }: CoreStart): Entry[] {
  const first = entries[0];
  if (first === undefined) return [];
  entries.forEach((entry, i) => assert(entry.index === first.index + i, "the stored log has no gap"));
  const at = snapshot?.index ?? 0;
  assert(first.index <= at + 1, "there is no gap between the snapshot and the log");
  if (first.index === at + 1) return [...entries];
  return entries[at - first.index]?.term === snapshot?.term ? [...entries] : [];
}
