import type { Database, Step } from "./database.ts";
import { CHAIN_START, indexOf } from "./entry-record.ts";
import { KEYS, under } from "./keys.ts";
import { anchorStep } from "./log-store.ts";
import { hashOf, openRecord, sealRecord } from "./record.ts";

/** An entry of format 1: `INDEX TERM KIND DATA`. One of format 2 has the hash between term and kind, which is no kind. */
const ENTRY_1 = /^(\d{1,16} \d{1,16}) ((?:noop|command|config) )/;

/** Entries and bytes rewritten in one batch. */
const BATCH_ENTRIES = 1000;
const BATCH_BYTES = 1024 * 1024;

/**
 * Format 1 → 2: the entries of the log become a chain. Each batch is synced before the next one is begun, from the oldest entry
 * on, so that after a crash the log is chained up to some entry and the rest is still of format 1; a second run goes on
 * from there. A record that fails its checksum is left as it is: loading the log judges it.
 */
export async function chainEntries(db: Database): Promise<void> {
  await using records = db.iterator({ ...under(KEYS.entry), highWaterMarkBytes: BATCH_BYTES });
  let before: string | null = null;
  for (;;) {
    const some = await records.nextv(BATCH_ENTRIES);
    if (some.length === 0) return;
    const steps: Step[] = [];
    for (const [key, record] of some) {
      if (before === null && (await db.get(KEYS.anchor)) === undefined) {
        steps.push(anchorStep({ index: indexOf(key) - 1, hash: CHAIN_START }));
      }
      const chained: Buffer | null = chain(record, before ?? CHAIN_START);
      if (chained !== null) steps.push({ type: "put", key, value: chained });
      before = hashOf(chained ?? record);
    }
    if (steps.length > 0) await db.batch(steps, { sync: true });
  }
}

/** Null for a record that stays as it is. */
function chain(record: Uint8Array, before: string): Buffer | null {
  const text = openRecord(record);
  const match = text === null ? null : ENTRY_1.exec(text);
  if (text === null || match === null) return null;
  return sealRecord(`${match[1]} ${before} ${match[2]}${text.slice(match[0].length)}`);
}
