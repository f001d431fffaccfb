import { Type, type Static, type TSchema } from "typebox";
import { Value } from "typebox/value";

import type { StrangerChannel } from "#agent/ports/transport.ts";
import { BOOTSTRAP_ERROR_CODES } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { HOST_ADDRESSES_MAX, MEMBERS_MAX, USER_NAME_CHARS_MAX } from "#shared/lib/limits.ts";
import { NewMember } from "#shared/registry/command.ts";

// Besides, a host that hears nothing of its cluster any more may ask whether it still belongs to it; it gets a reply, or a refusal.
//
// What a joiner and its sponsor say to each other, in this order: hello, challenge, proof, verdict. Instead of a challenge
// or a granting verdict the sponsor may refuse and hang up. Nothing in it is secret; the password is never sent.

/** Grows when a message changes; a sponsor refuses a version it does not speak. */
export const JOIN_PROTOCOL_VERSION = 1;

const Base64 = (bytes: number) =>
  Type.String({ minLength: 1, maxLength: Math.ceil(bytes / 3) * 4, pattern: "^[A-Za-z0-9+/]+={0,2}$" });
const Uid = Type.Integer({ minimum: 1 });
const ClusterId = Type.String({ minLength: 1, maxLength: 128 });
const Incarnation = Type.Integer({ minimum: 1 });
const Addr = Type.String({ minLength: 1, maxLength: 256 });
const Peer = Type.String({ minLength: 1, maxLength: 128 });
/** Milliseconds since the epoch, by the speaker's clock when it spoke. */
const WallClockMs = Type.Integer({ minimum: 0 });

/** Joiner: who it is, and as which user it comes. */
export const JoinHello = Type.Object({
  v: Type.Integer({ minimum: 1 }),
  username: Type.String({ minLength: 1, maxLength: USER_NAME_CHARS_MAX }),
  client_nonce: Base64(64),
  clock_ms: WallClockMs,
  member: NewMember,
  /** The uid it had, or wants; it gets it only when it is its own. */
  want_uid: Type.Optional(Uid),
});
export type JoinHello = Static<typeof JoinHello>;

/** A host that was a member: does the cluster still count it among its own? Who asks is proven by the channel. */
export const MembershipQuestion = Type.Object({
  v: Type.Integer({ minimum: 1 }),
  ask: Type.Literal("membership"),
  cluster_id: ClusterId,
  incarnation: Incarnation,
});
export type MembershipQuestion = Static<typeof MembershipQuestion>;

/** A member's own knowledge: the index at which the asker was removed for good; null when it was not, as far as is known there. */
export const MembershipReply = Type.Object({
  cluster_id: ClusterId,
  incarnation: Incarnation,
  removed_at: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()]),
});
export type MembershipReply = Static<typeof MembershipReply>;

/** Sponsor: how to prove the password, and for which cluster. */
export const JoinChallenge = Type.Object({
  nonce: Base64(64),
  salt: Base64(96),
  n: Type.Integer({ minimum: 1 }),
  r: Type.Integer({ minimum: 1 }),
  p: Type.Integer({ minimum: 1 }),
  cluster_id: ClusterId,
  incarnation: Incarnation,
});
export type JoinChallenge = Static<typeof JoinChallenge>;

/** Joiner: the proof, and its clock when the challenge arrived. */
export const JoinProof = Type.Object({ proof: Base64(64), clock_ms: WallClockMs });

/** Sponsor: the host is a member. `server_signature` proves that the sponsor knows the verifier. */
export const JoinVerdict = Type.Object({
  server_signature: Base64(64),
  uid: Uid,
  cluster_name: Type.String({ maxLength: 64 }),
  /** Members to pull the registry from; not necessarily all. */
  contacts: Type.Array(
    Type.Object({ peer: Peer, mesh_addrs: Type.Array(Addr, { maxItems: HOST_ADDRESSES_MAX }) }),
    { minItems: 1, maxItems: MEMBERS_MAX },
  ),
  /** Index of the log at which the host became a member. */
  join_index: Type.Integer({ minimum: 1 }),
});
export type JoinVerdict = Static<typeof JoinVerdict>;

/** Sponsor: no, and why, in the codes of seed 003. */
export const JoinRefusal = Type.Object({
  refused: Type.Object({
    code: Type.Enum([...BOOTSTRAP_ERROR_CODES]),
    details: Type.Object({ message: Type.String({ maxLength: 2048 }) }),
  }),
});
export type JoinRefusal = Static<typeof JoinRefusal>;

/** The next message of the channel, checked. Rejects with peer_refused when it is not what `schema` says. */
export async function receive<T extends TSchema>(
  channel: StrangerChannel,
  schema: T,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<Static<T>> {
  const body: unknown = await channel.receive(options);
  if (Value.Check(schema, body)) return body;
  throw new AppError("peer_refused", {
    peer: channel.remote,
    reason: "it does not keep to the join protocol",
  });
}
