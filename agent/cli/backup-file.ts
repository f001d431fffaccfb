import { createHash } from "node:crypto";

import { BACKUP_HEAD_BYTES_MAX } from "#shared/contract/backup.ts";
import { SNAPSHOT_BYTES_MAX } from "#shared/lib/limits.ts";

/** Largest backup. */
export const BACKUP_BYTES_MAX = SNAPSHOT_BYTES_MAX + BACKUP_HEAD_BYTES_MAX;

/** The hash that openBackup wants. */
export function sha256(text: string, body: Uint8Array): string {
  return createHash("sha256").update(text).update(body).digest("hex");
}

/** `ENOENT` and the like, for a sentence about a file. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
