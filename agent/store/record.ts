import { crc32 } from "node:zlib";

import { StoreDamaged } from "#agent/ports/store.ts";

// Every record is text behind its own checksum: `CRC32 in 8 hex digits`, the text. LevelDB checks its blocks too, but
// tells nobody when it drops one; the checksum notices, and the log's own numbering tells what is missing.

const CRC_CHARS = 8;
const PLACE_OF_CRC = "0".repeat(CRC_CHARS);

/** What an operator should do when this host's copy is damaged; the others hold the same registry. */
export const REJOIN_ADVICE =
  "stop this agent, move its data directory away and join it to the cluster again; the other members hold the registry";

/** The text as a record. */
export function sealRecord(text: string): Buffer {
  return sealHashed(text).record;
}

/** The same, with the checksum that now stands in front of it. */
export function sealHashed(text: string): { readonly record: Buffer; readonly hash: string } {
  const record = Buffer.from(PLACE_OF_CRC + text);
  const hash = hex(crc32(record.subarray(CRC_CHARS)));
  record.write(hash, 0, "latin1");
  return { record, hash };
}

/** The record's text; null when it is not what was written. */
export function openRecord(record: Uint8Array): string | null {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (bytes.length < CRC_CHARS) return null;
  const body = bytes.subarray(CRC_CHARS);
  return bytes.toString("latin1", 0, CRC_CHARS) === hex(crc32(body)) ? body.toString("utf8") : null;
}

/** The checksum of a record, as it stands in front of it. */
export function hashOf(record: Uint8Array): string {
  return Buffer.from(record.buffer, record.byteOffset, record.byteLength).toString("latin1", 0, CRC_CHARS);
}

/** A schema's check, as TypeBox compiles it. */
export interface Checker<T> {
  Check(value: unknown): value is T;
}

/** The JSON value in a record. Throws StoreDamaged when it is not one that `checker` admits. */
export function openJson<T>(record: Uint8Array, checker: Checker<T>, what: string): T {
  const text = openRecord(record);
  if (text === null) throw new StoreDamaged(`the record of ${what} fails its checksum`, REJOIN_ADVICE);
  const value: unknown = JSON.parse(text);
  if (!checker.Check(value))
    throw new StoreDamaged(`the record of ${what} has an unknown form`, REJOIN_ADVICE);
  return value;
}

function hex(crc: number): string {
  return crc.toString(16).padStart(CRC_CHARS, "0");
}
