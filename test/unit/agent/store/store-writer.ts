import { openStores } from "#agent/store/open.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

// A process that appends to the log and takes snapshots until it is killed, and says on stdout what it was told is
// durable. The parent kills it at any moment and looks what is there.

const dir = process.argv[2];
if (dir === undefined) throw new Error("usage: store-writer.ts DIRECTORY");
const stores = await openStores(dir, { log: new RecordingLog() });
const { entries } = await stores.log.load();
const padding = "x".repeat(3000);
const body = Buffer.alloc(1_500_000);

let next = (entries.at(-1)?.index ?? 0) + 1;
let snapshots = 0;
for (;;) {
  const batch = Array.from({ length: 4 }, (_, i) => ({
    index: next + i,
    term: 1,
    kind: "command" as const,
    data: `${next + i} ${padding}`,
  }));
  next += batch.length;
  const last = next - 1;
  // Every batch writes the hard state as well: both or neither must be there afterwards.
  const hardState = { term: 1, vote: "me", commit: last };
  await stores.log.append({ truncateFrom: null, entries: batch, hardState, sync: true });
  process.stdout.write(`log ${last}\n`);
  if (last % 12 !== 0) continue;
  snapshots += 1;
  for (let i = 0; i < body.length; i += 4) body.writeUInt32LE(Math.imul(i + last, 2_654_435_761) >>> 0, i);
  const config = { voters: ["me"], outgoing: [], learners: [] };
  await stores.snapshots.save({ index: last, term: 1, config }, body);
  process.stdout.write(`snapshot ${last}\n`);
  if (snapshots % 2 === 0) await stores.log.compact(last - 50);
}
