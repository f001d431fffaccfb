import { unpackCopy, ZSTD, type CopyPacking, type PackedCopy } from "./copies-pack.ts";
import { COPY_PIECE_BYTES, type CopyPiece } from "./copy-messages.ts";
import { ask, prove, pull, unsound } from "./survey-ask.ts";
import type { Credentials, Scram } from "#agent/ports/credentials.ts";
import type { PeerAddresses, StrangerChannel, StrangerTransport } from "#agent/ports/transport.ts";
import type { CopyInfo } from "#shared/bootstrap/recovery.ts";
import { isKind } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { RegistryState } from "#shared/registry/state.ts";

export interface FetchDeps {
  readonly self: MemberId;
  readonly scram: Scram;
  readonly transport: Pick<StrangerTransport, "openJoin">;
  readonly packing?: CopyPacking | undefined;
}

/**
 * Fetches the very copy that was told of in the survey. One conversation has its time limit, so what does not fit into one is
 * gone on with in the next. Rejects when a conversation brings nothing, with peer_refused when what came is not that copy.
 */
export async function fetchCopy(
  deps: FetchDeps,
  holder: PeerAddresses,
  wanted: { readonly info: CopyInfo; readonly credentials: Credentials },
  signal: AbortSignal,
): Promise<RegistryState> {
  const { info } = wanted;
  const got = new Pieces(holder.peer);
  while (!got.complete) {
    const before = got.bytes;
    try {
      await using channel = await deps.transport.openJoin(holder, signal);
      await proveFor(deps, channel, wanted, signal);
      while (!got.complete) got.add(await pull(channel, got.bytes, signal));
    } catch (error) {
      signal.throwIfAborted();
      const cutOff = isKind(error, "peer_unreachable") || isKind(error, "peer_timeout");
      if (!cutOff || got.bytes === before) throw error;
    }
  }
  let state: RegistryState;
  try {
    state = await unpackCopy(got.packed(), deps.packing ?? ZSTD);
  } catch (error) {
    throw unsound(holder.peer, `a damaged copy: ${(error as Error).message}`);
  }
  const { term, index, cluster } = state;
  if (term !== info.term || index !== info.index || cluster?.id !== info.clusterId) {
    throw unsound(holder.peer, "another copy than it had told of");
  }
  return state;
}

/** Opens a conversation up to the point where pieces can be pulled. */
async function proveFor(
  deps: FetchDeps,
  channel: StrangerChannel,
  { info, credentials }: { readonly info: CopyInfo; readonly credentials: Credentials },
  signal: AbortSignal,
): Promise<void> {
  const reply = await ask(channel, signal);
  if (reply.leader || reply.recovering) throw unsound(channel.remote, "word that the cluster is not lost");
  const { term, index } = await prove(deps, channel, { credentials, reply }, signal);
  if (reply.cluster_id === info.clusterId && term === info.term && index === info.index) return;
  throw unsound(channel.remote, "another copy than it had told of");
}

/** Pieces of one packed copy, in order. */
class Pieces {
  readonly #from: MemberId;
  readonly #pieces: Buffer[] = [];
  #first: CopyPiece | null = null;
  bytes = 0;

  constructor(from: MemberId) {
    this.#from = from;
  }

  get complete(): boolean {
    return this.#first !== null && this.bytes === this.#first.packed_bytes;
  }

  /** Throws peer_refused when it does not fit what came before it. Each piece but the last has its full size, so that none is endless. */
  add(piece: CopyPiece): void {
    this.#first ??= piece;
    const { sha256, packed_bytes } = this.#first;
    const data = Buffer.from(piece.data, "base64");
    const due = Math.min(COPY_PIECE_BYTES, packed_bytes - this.bytes);
    if (piece.sha256 !== sha256 || piece.packed_bytes !== packed_bytes || data.length !== due) {
      throw unsound(this.#from, "a piece of another copy");
    }
    this.#pieces.push(data);
    this.bytes += data.length;
  }

  packed(): PackedCopy {
    const { bytes = 0, sha256 = "" } = this.#first ?? {};
    return { bytes, sha256, packed: Buffer.concat(this.#pieces) };
  }
}
