import { KEYS, numberIn } from "./keys.ts";
import { REJOIN_ADVICE, hashOf, openRecord, sealHashed } from "./record.ts";
import { StoreDamaged } from "#agent/ports/store.ts";
import type { Entry } from "#shared/consensus/messages.ts";

// Entries form a chain: each record carries the hash of the record before it, under its own checksum. So a record that was
// replaced by another whole one, swapped or taken out of the middle is noticed, which its own checksum cannot do. The hash
// of a record is its checksum: CRC-32 over a text that holds the CRC-32 before it. It costs nothing beside the checksum and
// guards against accidents (one in 2^32 goes unnoticed), not against people, who could seal the whole log anew.

/** What the first entry of a log carries, before which there is nothing. */
export const CHAIN_START = "00000000";

/** `INDEX TERM HASH-BEFORE KIND DATA`: the data is text already and is not encoded a second time. */
const ENTRY = /^(\d{1,16}) (\d{1,16}) ([0-9a-f]{8}) (noop|command|config) /;

/** An entry as it was read, with its links. */
export interface LinkedEntry {
  readonly entry: Entry;
  /** Hash of the record before it, by its own word. */
  readonly before: string;
  readonly hash: string;
}

export function sealEntry(
  { index, term, kind, data }: Entry,
  before: string,
): { readonly record: Buffer; readonly hash: string } {
  return sealHashed(`${index} ${term} ${before} ${kind} ${data}`);
}

/** The entry in a record; `torn` when it fails its checksum. Throws StoreDamaged when it is whole and not the one that belongs there. */
export function readEntry(index: number, record: Uint8Array): LinkedEntry | "torn" {
  const text = openRecord(record);
  if (text === null) return "torn";
  const match = ENTRY.exec(text);
  if (match === null || Number(match[1]) !== index) {
    throw new StoreDamaged(`the record of log entry ${index} is not the one that was written`, REJOIN_ADVICE);
  }
  const kind = match[4] as Entry["kind"];
  const entry = { index, term: Number(match[2]), kind, data: text.slice(match[0].length) };
  return { entry, before: match[3] ?? "", hash: hashOf(record) };
}

/** Throws StoreDamaged when the entry does not follow what is known to be before it. */
export function checkLink(
  { entry, before }: LinkedEntry,
  last: { readonly index: number; readonly hash: string },
): void {
  if (entry.index !== last.index + 1) {
    throw new StoreDamaged(`log entries ${last.index + 1} to ${entry.index - 1} are missing`, REJOIN_ADVICE);
  }
  if (before !== last.hash) {
    throw new StoreDamaged(
      `the log entry ${entry.index} does not follow the one before it, one of the two was replaced`,
      REJOIN_ADVICE,
    );
  }
}

export function indexOf(key: string): number {
  const index = numberIn(KEYS.entry, key);
  if (index === null) throw new StoreDamaged(`${key} is no key of a log entry`, REJOIN_ADVICE);
  return index;
}
