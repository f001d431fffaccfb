import { assert } from "#shared/lib/assert.ts";

/**
 * THE table of what the database holds. A key or prefix is never given a second meaning: a retired one stays listed
 * here. A prefix ends in `/` and is followed by zero-padded decimal numbers, so that byte order is number order.
 */
export const KEYS = {
  /** Version of this layout; see format.ts. */
  format: "meta/format",
  /** `meta/written/COUNT`: how many counted batches there were: one key. See counted-writes.ts. */
  written: "meta/written/",
  /** This host's uuid, the peer id of its agent, and how often that has started. */
  host: "host/identity",
  /** Where this host's bootstrap stands. */
  bootstrap: "bootstrap/state",
  /** Which cluster this host is a member of. */
  cluster: "cluster/identity",
  /** Term, vote and commit index. */
  hardState: "log/hard-state",
  /** Index and hash of what the retained log follows; see log-store.ts. */
  anchor: "log/anchor",
  /** `log/entry/INDEX`: one entry of the log; see entry-record.ts. */
  entry: "log/entry/",
  /** `snapshot/head/GENERATION`: a whole snapshot; without it its parts are leftovers of a save that did not end. */
  snapshotHead: "snapshot/head/",
  /** `snapshot/part/GENERATION/PART`: at most 1 MiB of a snapshot's compressed body. */
  snapshotPart: "snapshot/part/",
} as const;

/** What belongs to the membership of a cluster, and goes when it is left. */
export const CLUSTER_RANGES: readonly string[] = ["cluster/", "log/", "snapshot/"];

const DIGITS = String(Number.MAX_SAFE_INTEGER).length;

/** `prefix` followed by the number, padded. */
export function numbered(prefix: string, number: number): string {
  assert(Number.isSafeInteger(number) && number >= 0, "a number in a key is a safe integer");
  return prefix + String(number).padStart(DIGITS, "0");
}

/** The number that follows `prefix` in a key; null when the key has another form. */
export function numberIn(prefix: string, key: string): number | null {
  const digits = key.slice(prefix.length, prefix.length + DIGITS);
  return key.startsWith(prefix) && /^\d{16}$/.test(digits) ? Number(digits) : null;
}

/** All keys that begin with a prefix (which ends in `/`), as a range for Level. */
export function under(prefix: string): { readonly gte: string; readonly lt: string } {
  return { gte: prefix, lt: `${prefix.slice(0, -1)}0` }; // "0" is the character after "/".
}
