import { Compile } from "typebox/compile";
import { Type } from "typebox";

import { KEYS } from "./keys.ts";
import { openJson, sealRecord } from "./record.ts";
import type { Database } from "./database.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** Version of the layout that this program writes. */
const FORMAT = 1;

/** A step from the layout `from` to the next one. It must be repeatable: a crash may come before the version is written. */
interface Migration {
  readonly from: number;
  run(db: Database): Promise<void>;
}

const MIGRATIONS: readonly Migration[] = [];

const FormatRecord = Compile(Type.Object({ format: Type.Integer({ minimum: 1 }) }));

/**
 * Brings the database to the layout of this program. Throws AppError path_error when it was written by a newer one:
 * reading it by guesswork could lose what that program relies on.
 */
export async function settleFormat(db: Database, dir: string): Promise<void> {
  const record = await db.get(KEYS.format);
  if (record === undefined) return writeFormat(db, FORMAT);
  const { format } = openJson(record, FormatRecord, "the format version");
  if (format > FORMAT) {
    throw new AppError("path_error", {
      path: dir,
      cause: `written by a newer muster (data format ${format}, this one knows ${FORMAT}); install that version again`,
    });
  }
  for (const migration of MIGRATIONS) {
    if (migration.from < format) continue;
    await migration.run(db);
    await writeFormat(db, migration.from + 1);
  }
}

async function writeFormat(db: Database, format: number): Promise<void> {
  await db.put(KEYS.format, sealRecord(JSON.stringify({ format })), { sync: true });
}
