import { Compile } from "typebox/compile";
import { Type } from "typebox";

import type { Database } from "./database.ts";
import { chainEntries } from "./format-2.ts";
import { KEYS } from "./keys.ts";
import { openJson, sealRecord } from "./record.ts";
import type { Log } from "#agent/ports/log.ts";
import { AppError } from "#shared/errors/app-error.ts";

// The rule. Whoever changes the form of anything in the database, so that the last release could not read it or would read
// it wrongly, raises FORMAT by one and adds a migration, with a store of the last release in test/unit/agent/store. A store
// of any earlier format opens: its migrations run one after the other, each in synced batches of bounded size, and the
// version is written after each. There is no way back: an older program refuses the store in one sentence.

/** Version of the layout that this program writes. */
const FORMAT = 2;

/**
 * A step from the layout `from` to the next one. It must be repeatable, from any of its batches on: a crash may come between
 * any two, and before the version is written.
 */
interface Migration {
  readonly from: number;
  run(db: Database): Promise<void>;
}

const MIGRATIONS: readonly Migration[] = [{ from: 1, run: chainEntries }];

const FormatRecord = Compile(Type.Object({ format: Type.Integer({ minimum: 1 }) }));

/**
 * Brings the database to the layout of this program. True when it changed an older one: the database must then be opened
 * anew, which moves what was written from LevelDB's log, whose damage is not told, into a table. Throws AppError path_error
 * when it was written by a newer program: reading it by guesswork could lose what that program relies on.
 */
export async function settleFormat(db: Database, dir: string, log: Log): Promise<boolean> {
  const record = await db.get(KEYS.format);
  if (record === undefined) {
    await writeFormat(db, FORMAT);
    return false;
  }
  const { format } = openJson(record, FormatRecord, "the format version");
  if (format > FORMAT) {
    throw new AppError("path_error", {
      path: dir,
      cause: `written by a newer muster (data format ${format}, this one knows ${FORMAT}); install that version again`,
    });
  }
  for (const migration of MIGRATIONS) {
    if (migration.from < format) continue;
    log.info({ from: migration.from, to: migration.from + 1 }, "the store is brought to a newer data format");
    await migration.run(db);
    await writeFormat(db, migration.from + 1);
  }
  return format < FORMAT;
}

async function writeFormat(db: Database, format: number): Promise<void> {
  await db.put(KEYS.format, sealRecord(JSON.stringify({ format })), { sync: true });
}
