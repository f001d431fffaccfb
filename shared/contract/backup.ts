import { Type, type Static } from "typebox";

// A backup is a text file: one line of JSON, the head, and after the line's end the registry's state as JSON, as snapshots have
// it. `head -n 1` shows what it is; it holds password verifiers, so it is as secret as they are.

/** First line of a backup. */
export const BackupHead = Type.Object({
  /** Version of this form. */
  muster_backup: Type.Literal(1),
  cluster_id: Type.String({ minLength: 1, maxLength: 128 }),
  cluster_name: Type.String({ maxLength: 64 }),
  incarnation: Type.Integer({ minimum: 1 }),
  /** Of the last entry that it contains. */
  term: Type.Integer({ minimum: 0 }),
  index: Type.Integer({ minimum: 0 }),
  /** By the clock of the host that made it. Milliseconds since the epoch. */
  taken_at_ms: Type.Integer({ minimum: 0 }),
  /** Name of that host. */
  host: Type.String({ maxLength: 253 }),
  software_version: Type.String({ maxLength: 64 }),
  /** Size and SHA-256 (hex) of everything after the first line. */
  bytes: Type.Integer({ minimum: 0 }),
  sha256: Type.String({ minLength: 64, maxLength: 64 }),
});
export type BackupHead = Static<typeof BackupHead>;
