import { Type, type Static } from "typebox";

import { checked } from "#shared/contract/check.ts";
import { canonicalJson } from "#shared/lib/order.ts";
import { epochMs, isoSeconds } from "#shared/lib/time.ts";

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
  taken_at_ms: Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 }),
  /** Name of that host. */
  host: Type.String({ maxLength: 253 }),
  software_version: Type.String({ maxLength: 64 }),
  /** Size of everything after the first line. */
  bytes: Type.Integer({ minimum: 0 }),
  /** SHA-256 (hex) of the whole file, this field left out of its first line: see `sealedText`. */
  sha256: Type.String({ minLength: 64, maxLength: 64 }),
});
export type BackupHead = Static<typeof BackupHead>;

/** Longest first line of a backup. */
export const BACKUP_HEAD_BYTES_MAX = 4096;

/** How each backup that an agent makes by itself is called. */
export const BACKUP_NAME = /^muster-[A-Za-z0-9._-]{0,64}-\d{8}T\d{6}Z-\d{1,16}\.backup$/;

/** `muster-my.cluster-20261121T193000Z-4711.backup`. */
export function backupName({
  cluster_name,
  taken_at_ms,
  index,
}: Pick<BackupHead, "cluster_name" | "taken_at_ms" | "index">): string {
  const name = cluster_name.replaceAll(/[^A-Za-z0-9._-]/g, "_");
  const when = isoSeconds(epochMs(taken_at_ms)).replaceAll(/[-:]/g, "");
  return `muster-${name}-${when}-${index}.backup`;
}

/** The first line: keys in order, so that there is one way to write it. */
export function headLine(head: BackupHead): string {
  return canonicalJson(head);
}

/** What is hashed before the content: the first line without its hash, and its end. So no byte of a backup can change unnoticed. */
export function sealedText(head: Omit<BackupHead, "sha256">): string {
  return `${canonicalJson({ ...head, sha256: undefined })}\n`;
}

/** A backup taken apart. `problem`: a sentence's end that says why it must not be used; `head` is told all the same where there is one. */
export type OpenedBackup =
  | { readonly head: BackupHead; readonly body: Uint8Array; readonly problem: null }
  | { readonly head: BackupHead | null; readonly problem: string };

/** Takes a backup apart and checks it against its own checksum. `sha256` gives the hex hash of the text and then the bytes. */
export function openBackup(
  bytes: Uint8Array,
  sha256: (text: string, body: Uint8Array) => string,
): OpenedBackup {
  const end = bytes.subarray(0, BACKUP_HEAD_BYTES_MAX).indexOf(0x0a);
  if (end === -1) return { head: null, problem: "is no backup of muster: it has no first line like one" };
  const found = readHead(new TextDecoder().decode(bytes.subarray(0, end)));
  if ("problem" in found) return { head: null, problem: found.problem };
  const { head } = found;
  const body = bytes.subarray(end + 1);
  if (body.length !== head.bytes) {
    const problem = `is damaged: ${body.length} bytes follow its first line, which speaks of ${head.bytes}; use another backup`;
    return { head, problem };
  }
  if (sha256(sealedText(head), body) !== head.sha256) {
    return { head, problem: "is damaged: its checksum is wrong; use another backup" };
  }
  return { head, body, problem: null };
}

/** Reads a first line, without its end. */
export function readHead(line: string): { readonly head: BackupHead } | { readonly problem: string } {
  const value = parsed(line);
  const form = typeof value === "object" && value !== null && "muster_backup" in value;
  if (!form) return { problem: "is no backup of muster: its first line is none of one" };
  if (typeof value.muster_backup === "number" && value.muster_backup > 1) {
    return { problem: `has form ${value.muster_backup}, this version of muster reads 1; upgrade muster` };
  }
  const head = checked(BackupHead, value);
  // Fields that are not known here belong to it as well.
  if (head === null || canonicalJson(value) !== line)
    return { problem: "is damaged: its first line was changed" };
  return { head };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** What a backup holds, as far as it is shown: never what proves who somebody is, and never the license itself. */
export const BackupContent = Type.Object({
  /** By the log's own time, at its last entry. */
  at: Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 }),
  cluster: Type.Object({
    rackAware: Type.Boolean(),
    createdAt: Type.Integer(),
    settings: Type.Record(Type.String(), Type.Union([Type.Number(), Type.String()])),
    recoveredAt: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
    license: Type.Optional(Type.String()),
  }),
  members: Type.Array(
    Type.Object({
      uid: Type.Integer(),
      name: Type.String(),
      addr: Type.String(),
      rack_id: Type.Union([Type.String(), Type.Null()]),
      status: Type.String(),
      failedAt: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
    }),
  ),
  zones: Type.Array(Type.Unknown()),
  nodes: Type.Array(Type.Unknown()),
  users: Type.Array(Type.Object({ name: Type.String(), role: Type.String() })),
  tokens: Type.Optional(Type.Array(Type.Unknown())),
});
export type BackupContent = Static<typeof BackupContent>;
