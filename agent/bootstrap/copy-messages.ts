import { Type, type Static } from "typebox";

import type { ScramBinding } from "#agent/ports/credentials.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { SNAPSHOT_BYTES_MAX, USER_NAME_CHARS_MAX } from "#shared/lib/limits.ts";
import { canonicalJson } from "#shared/lib/order.ts";

// What a host that recovers a cluster and an agent that holds a copy of it say to each other, over the join protocol: question, reply;
// then, should the asker want more, hello, challenge, proof, head; then pull and piece, as often as it takes. The reply is for
// anybody, like the reply about membership. The head and the pieces are for those who have proven an administrator's password.
// Instead of any answer the holder may refuse and hang up.

/** Grows when a message changes. */
export const COPY_PROTOCOL_VERSION = 1;

/**
 * Bytes of a packed copy in one piece: in base64, and with the words around it, less than JOIN_FRAME_BYTES_MAX. A multiple of 3, so that no
 * piece needs padding but the last.
 */
export const COPY_PIECE_BYTES = 45 * 1024;
/** A state that barely compresses is a little larger when packed. */
const PACKED_BYTES_MAX = SNAPSHOT_BYTES_MAX + 1024 * 1024;

const Base64 = (bytes: number) =>
  Type.String({ minLength: 1, maxLength: Math.ceil(bytes / 3) * 4, pattern: "^[A-Za-z0-9+/]+={0,2}$" });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const ClusterId = Type.String({ minLength: 1, maxLength: 128 });
const Incarnation = Type.Integer({ minimum: 1 });

/** Asker: which cluster do you belong to, and has it a leader? */
export const CopyQuestion = Type.Object({
  v: Type.Integer({ minimum: 1 }),
  ask: Type.Literal("copy"),
});
export type CopyQuestion = Static<typeof CopyQuestion>;

/** Holder: what anybody may know. */
export const CopyReply = Type.Object({
  cluster_id: ClusterId,
  incarnation: Incarnation,
  /** See ClusterIdentity.lineage. */
  lineage: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  /** Whether it knows a leader now. */
  leader: Type.Boolean(),
  /** Whether it is recovering the cluster itself, this very moment. */
  recovering: Type.Boolean(),
  /** How long ago it last knew that it had everything that was committed; null when it never did. Milliseconds. */
  age_ms: Type.Union([Type.Number({ minimum: 0 }), Type.Null()]),
});
export type CopyReply = Static<typeof CopyReply>;

/** Asker: as which user it comes. */
export const CopyHello = Type.Object({
  username: Type.String({ minLength: 1, maxLength: USER_NAME_CHARS_MAX }),
  client_nonce: Base64(64),
});
export type CopyHello = Static<typeof CopyHello>;

/** Holder: how to prove the password. */
export const CopyChallenge = Type.Object({
  nonce: Base64(64),
  salt: Base64(96),
  n: Type.Integer({ minimum: 1 }),
  r: Type.Integer({ minimum: 1 }),
  p: Type.Integer({ minimum: 1 }),
  cluster_id: ClusterId,
  incarnation: Incarnation,
});
export type CopyChallenge = Static<typeof CopyChallenge>;

/** Asker: the proof. */
export const CopyProof = Type.Object({ proof: Base64(64) });

/** Holder: what its copy is. `server_signature` proves that it knows the user's verifier. */
export const CopyHead = Type.Object({
  server_signature: Base64(64),
  cluster_name: Type.String({ maxLength: 64 }),
  /** Of the last entry of its log, and the log's time there. */
  term: Count,
  index: Count,
  at_ms: Count,
});
export type CopyHead = Static<typeof CopyHead>;

/** Asker: the packed copy from this byte on. */
export const CopyPull = Type.Object({ offset: Type.Integer({ minimum: 0, maximum: PACKED_BYTES_MAX }) });

/** Holder: COPY_PIECE_BYTES of it, or what is left. */
export const CopyPiece = Type.Object({
  /** Size and SHA-256 (hex) of the state as text, and its size when packed (zstd). */
  bytes: Type.Integer({ minimum: 1, maximum: SNAPSHOT_BYTES_MAX }),
  sha256: Type.String({ minLength: 64, maxLength: 64 }),
  packed_bytes: Type.Integer({ minimum: 1, maximum: PACKED_BYTES_MAX }),
  data: Base64(COPY_PIECE_BYTES),
});
export type CopyPiece = Static<typeof CopyPiece>;

/**
 * What both sides sign beside the exchange itself: see joinBinding. The label keeps a proof for a copy from letting a host in, and the
 * other way round.
 */
export function copyBinding(
  asker: MemberId,
  holder: MemberId,
  hello: CopyHello,
  challenge: CopyChallenge,
): ScramBinding {
  return ["muster copy", asker, holder, challenge.cluster_id, canonicalJson(hello), canonicalJson(challenge)];
}
