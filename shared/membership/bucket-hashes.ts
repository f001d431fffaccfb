/**
 * Parts that a table is cut into for comparing it. One difference among 1,000 members then costs these 64 numbers and the
 * 16 entries of one part, instead of 1,000 entries.
 */
export const BUCKETS = 64;

/**
 * Fingerprints of a table that two agents should hold alike: one of the whole, and one of each part. Equal tables have equal
 * fingerprints, in whatever order they came to be; that unequal ones have has a chance of 2⁻³², for this pair of tables only.
 */
export class BucketHashes {
  readonly #buckets = new Uint32Array(BUCKETS);
  /** What each entry adds to its bucket. */
  readonly #entries = new Map<string, number>();
  #whole = 0;

  /** The entry of this key is now so; null: there is none. Costs the same however large the table is. */
  set(key: string, value: string | null): void {
    const before = this.#entries.get(key) ?? 0;
    const now = value === null ? 0 : hash32(`${key} ${value}`);
    if (value === null) this.#entries.delete(key);
    else this.#entries.set(key, now);
    const change = before ^ now;
    const bucket = bucketOf(key);
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) ^ change;
    this.#whole = (this.#whole ^ change) >>> 0;
  }

  /** Fingerprint of the whole table: an unsigned number of 32 bits. */
  get whole(): number {
    return this.#whole;
  }

  /** Fingerprints of its parts. */
  get buckets(): number[] {
    return [...this.#buckets];
  }

  /** Numbers of the parts that differ. */
  differing(theirs: readonly number[]): number[] {
    const out: number[] = [];
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      if (this.#buckets[bucket] !== theirs[bucket]) out.push(bucket);
    }
    return out;
  }
}

/** Which part an entry belongs to. The same on every agent. */
export function bucketOf(key: string): number {
  return hash32(key) % BUCKETS;
}

/** FNV-1a over UTF-16 code units, finished as MurmurHash3 does (fmix32), so that sums by exclusive or do not cancel by pattern. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
