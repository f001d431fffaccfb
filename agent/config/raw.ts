import type { SettingKey } from "./schema.ts";

/** One setting as its source gave it, and the words for that source in a complaint: `--name`, ``muster.json: `name` ``. */
export interface RawSetting {
  readonly value: unknown;
  readonly origin: string;
}

/** What the sources say together; the later source has won. Absent keys were given nowhere. */
export type RawSettings = ReadonlyMap<SettingKey, RawSetting>;

/** The candidate that differs least from the given text, if it could be a slip of the hand; for "did you mean". */
export function nearest(given: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.floor(given.length / 4)) + 1;
  for (const candidate of candidates) {
    const edits = editDistance(given.toLowerCase(), candidate.toLowerCase());
    if (edits < least) [best, least] = [candidate, edits];
  }
  return best;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const [up = 0, left = 0, diagonal = 0] = [row[j], next[j - 1], row[j - 1]];
      next.push(Math.min(up + 1, left + 1, diagonal + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
