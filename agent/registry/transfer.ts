import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { zstdCompress, zstdDecompress } from "node:zlib";

import { METHOD, admit, check, toWire, type SnapshotPiece } from "./wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { SnapshotStore } from "#agent/ports/store.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import type { SnapshotMeta } from "#shared/consensus/messages.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { SNAPSHOT_PIECE_BYTES } from "#shared/lib/limits.ts";
import { decodeState } from "#shared/registry/snapshot.ts";
import type { RegistryState } from "#shared/registry/state.ts";

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** How snapshots are packed for their way. */
export interface Packing {
  pack(body: Uint8Array): Promise<Uint8Array>;
  /** Rejects when more than `bytes` would come out. */
  unpack(packed: Uint8Array, bytes: number): Promise<Uint8Array>;
}

/** Off the main thread: a large state would hold up heartbeats. */
const ZSTD: Packing = {
  pack: (body) => compress(body),
  unpack: (packed, bytes) => decompress(packed, { maxOutputLength: bytes }),
};

/** How long a packed snapshot stays in memory after it was last asked for. */
const KEPT_MS = 60_000;
/** Packed snapshots kept at once: while one is being fetched, a newer one may begin. */
const KEPT_MAX = 2;
/** Longest the answer to one piece may take. */
const PIECE_MS = 10_000;

interface Packed {
  readonly head: Omit<SnapshotPiece, "data">;
  readonly bytes: Uint8Array;
  usedAtMs: number;
}

interface SnapshotServerDeps {
  readonly snapshots: SnapshotStore;
  readonly clock: Clock;
  readonly packing?: Packing | undefined;
}

/** Serves this agent's newest snapshot in pieces. */
export class SnapshotServer {
  readonly #deps: SnapshotServerDeps;
  #packed: Packed[] = [];
  #packing: Promise<Packed | null> | null = null;

  constructor(deps: SnapshotServerDeps) {
    this.#deps = deps;
  }

  /** Rejects with not_found when there is none, or not this one any more; the asker begins anew. */
  async serve(body: Wire): Promise<Wire> {
    const { index, offset } = admit(check.snapshotRequest, body, METHOD.snapshot);
    const packed =
      index === 0 ? await this.#newest() : this.#packed.find(({ head }) => head.meta.index === index);
    if (packed === null || packed === undefined || offset >= packed.bytes.length) {
      throw new AppError("not_found", { what: index === 0 ? "a snapshot" : `the snapshot at ${index}` });
    }
    packed.usedAtMs = this.#deps.clock.monotonicMs();
    const piece = packed.bytes.subarray(offset, offset + SNAPSHOT_PIECE_BYTES);
    return toWire({ ...packed.head, data: Buffer.from(piece).toString("base64") } satisfies SnapshotPiece);
  }

  /** Frees the memory of what nobody asks for. */
  onTurn(): void {
    if (this.#packed.length === 0) return;
    const oldest = this.#deps.clock.monotonicMs() - KEPT_MS;
    if (this.#packed.some(({ usedAtMs }) => usedAtMs < oldest)) {
      this.#packed = this.#packed.filter(({ usedAtMs }) => usedAtMs >= oldest);
    }
  }

  /** Several may ask at once; it is packed once. */
  #newest(): Promise<Packed | null> {
    this.#packing ??= this.#pack().finally(() => {
      this.#packing = null;
    });
    return this.#packing;
  }

  async #pack(): Promise<Packed | null> {
    const { snapshots, clock, packing = ZSTD } = this.#deps;
    const snapshot = await snapshots.load();
    if (snapshot === null) return null;
    const { meta, body } = snapshot;
    const known = this.#packed.find(({ head }) => head.meta.index === meta.index);
    if (known !== undefined) return known;
    const bytes = await packing.pack(body);
    const head = { meta, bytes: body.length, sha256: sha256(body), packedBytes: bytes.length };
    const packed = { head, bytes, usedAtMs: clock.monotonicMs() };
    this.#packed = [...this.#packed, packed].slice(-KEPT_MAX);
    return packed;
  }
}

/** A snapshot from a peer, verified and readable. */
export interface Fetched {
  readonly meta: SnapshotMeta;
  readonly body: Uint8Array;
  readonly state: RegistryState;
}

/** Fetches a peer's newest snapshot. Rejects with what the request rejects with, or peer_refused when it is not sound. */
export async function fetchSnapshot(
  transport: Pick<Transport, "request">,
  from: MemberId,
  signal: AbortSignal,
  packing: Packing = ZSTD,
): Promise<Fetched> {
  const ask = async (index: number, offset: number): Promise<SnapshotPiece> => {
    const options = { timeoutMs: PIECE_MS, signal };
    const body = await transport.request(from, "bulk", METHOD.snapshot, { index, offset }, options);
    return admit(check.snapshotPiece, body, METHOD.snapshot);
  };
  const first = await ask(0, 0);
  const pieces = [Buffer.from(first.data, "base64")];
  let got = pieces[0]?.length ?? 0;
  while (got < first.packedBytes) {
    const piece = Buffer.from((await ask(first.meta.index, got)).data, "base64");
    if (piece.length === 0) throw unsound(from, "an empty piece of a snapshot");
    pieces.push(piece);
    got += piece.length;
  }
  return unpack(from, first, Buffer.concat(pieces), packing);
}

async function unpack(
  from: MemberId,
  head: SnapshotPiece,
  packed: Uint8Array,
  packing: Packing,
): Promise<Fetched> {
  if (packed.length !== head.packedBytes) throw unsound(from, "a snapshot of another size");
  let body: Uint8Array;
  let state: RegistryState;
  try {
    body = await packing.unpack(packed, Math.max(1, head.bytes));
    if (sha256(body) !== head.sha256) throw new Error("it does not match its hash");
    state = decodeState(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  } catch (error) {
    throw unsound(from, `a damaged snapshot: ${(error as Error).message}`);
  }
  const { meta } = head;
  if (state.index !== meta.index || state.term !== meta.term)
    throw unsound(from, "a snapshot of another index");
  return { meta, body, state };
}

/** What a peer sent cannot be used. */
export function unsound(peer: MemberId, what: string): AppError {
  return new AppError("peer_refused", { peer, reason: `it sent ${what}` });
}

function sha256(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}
