import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { zstdCompress, zstdDecompress } from "node:zlib";

import { COPY_PIECE_BYTES, type CopyPiece } from "./copy-messages.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { SNAPSHOT_BYTES_MAX } from "#shared/lib/limits.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { RegistryState } from "#shared/registry/state.ts";

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** How a copy is packed for its way. */
export interface CopyPacking {
  pack(text: Uint8Array): Promise<Uint8Array>;
  /** Rejects when more than `bytes` would come out. */
  unpack(packed: Uint8Array, bytes: number): Promise<Uint8Array>;
}

/** Off the main thread: a large state would hold up everything else. */
export const ZSTD: CopyPacking = {
  pack: (text) => compress(text),
  unpack: (packed, bytes) => decompress(packed, { maxOutputLength: bytes }),
};

/** A copy ready to be handed out in pieces. */
export interface PackedCopy {
  readonly bytes: number;
  readonly sha256: string;
  readonly packed: Uint8Array;
}

/** Rejects with too_large when it is larger than any agent would take. */
export async function packCopy(state: Readonly<RegistryState>, packing: CopyPacking): Promise<PackedCopy> {
  const text = Buffer.from(encodeState(state), "utf8");
  if (text.length > SNAPSHOT_BYTES_MAX) {
    throw new AppError("too_large", { what: "the copy of the registry", limit_bytes: SNAPSHOT_BYTES_MAX });
  }
  return { bytes: text.length, sha256: sha256(text), packed: await packing.pack(text) };
}

/** The piece at this place; null beyond the end. */
export function pieceAt({ bytes, sha256: hash, packed }: PackedCopy, offset: number): CopyPiece | null {
  if (offset >= packed.length) return null;
  const data = Buffer.from(packed.subarray(offset, offset + COPY_PIECE_BYTES)).toString("base64");
  return { bytes, sha256: hash, packed_bytes: packed.length, data };
}

/** Throws an Error that says what is wrong with it. */
export async function unpackCopy(
  { bytes, sha256: hash, packed }: PackedCopy,
  packing: CopyPacking,
): Promise<RegistryState> {
  const text = await packing.unpack(packed, bytes);
  if (text.length !== bytes || sha256(text) !== hash) throw new Error("it does not match its hash");
  return decodeState(Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString("utf8"));
}

function sha256(text: Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}
