import { Type, type Static, type TSchema } from "typebox";
import { Value } from "typebox/value";

import type { StrangerChannel } from "#agent/ports/transport.ts";
import { BOOTSTRAP_ERROR_CODES } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { HOST_ADDRESSES_MAX, MEMBERS_MAX, USER_NAME_CHARS_MAX } from "#shared/lib/limits.ts";
import { NewMember } from "#shared/registry/command.ts";

// What a joiner and its sponsor say to each other, in this order: hello, challenge, proof, acceptance, verdict. Instead of any of its
// answers the sponsor may refuse and hang up. Nothing in it is secret: no password, token or key is ever sent.
//
// Besides, a host that hears nothing of its cluster any more may ask whether it still belongs to it; it gets a reply, or a refusal.

/** Grows when a message changes; a sponsor refuses a version it does not speak. */
export const JOIN_PROTOCOL_VERSION = 2;

/** Certificates in PEM that fit into one frame with everything else. */
export const CHAIN_CHARS_MAX = 32 * 1024;

const Base64 = (bytes: number) =>
  Type.String({ minLength: 1, maxLength: Math.ceil(bytes / 3) * 4, pattern: "^[A-Za-z0-9+/]+={0,2}$" });
const Uid = Type.Integer({ minimum: 1 });
const ClusterId = Type.String({ minLength: 1, maxLength: 128 });
const Incarnation = Type.Integer({ minimum: 1 });
const Addr = Type.String({ minLength: 1, maxLength: 256 });
const Peer = Type.String({ minLength: 1, maxLength: 128 });
/** Milliseconds since the epoch, by the speaker's clock when it spoke. */
const WallClockMs = Type.Integer({ minimum: 0 });

/** How the joiner proves that it may join. */
export const JoinMeans = Type.Union([
  Type.Object({
    by: Type.Literal("password"),
    username: Type.String({ minLength: 1, maxLength: USER_NAME_CHARS_MAX }),
  }),
  Type.Object({ by: Type.Literal("token"), id: Type.String({ minLength: 1, maxLength: 64 }) }),
  Type.Object({
    by: Type.Literal("certificate"),
    chain: Type.String({ minLength: 1, maxLength: CHAIN_CHARS_MAX }),
  }),
]);
export type JoinMeans = Static<typeof JoinMeans>;

/** Joiner: who it is, how it proves that it may come, and what it expects of the cluster. */
export const JoinHello = Type.Object({
  v: Type.Literal(JOIN_PROTOCOL_VERSION),
  means: JoinMeans,
  client_nonce: Base64(64),
  clock_ms: WallClockMs,
  member: NewMember,
  /** Everything is to be checked as for a join, and nothing committed. */
  rehearse: Type.Optional(Type.Literal(true)),
  /** The uid it had, or that of the failed member whose place it takes. */
  want_uid: Type.Optional(Uid),
  override_rack_id: Type.Optional(Type.Boolean()),
  /** It joins only a cluster of this name … */
  cluster_name: Type.Optional(Type.String({ minLength: 1, maxLength: 65 })),
  /** … all of whose members have at least this version. */
  required_version: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
});
export type JoinHello = Static<typeof JoinHello>;

/** What any version of a hello has, so that another one can be refused in words. */
export const AnyVersion = Type.Object({ v: Type.Integer({ minimum: 1 }), ask: Type.Optional(Type.Never()) });

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

/** Sponsor: for which cluster it speaks, and its part of what is signed. */
export const JoinChallenge = Type.Object({
  nonce: Base64(64),
  cluster_id: ClusterId,
  incarnation: Incarnation,
});
export type JoinChallenge = Static<typeof JoinChallenge>;

/** Sponsor, to one that comes with a password: also how to make a key of it. */
export const PasswordChallenge = Type.Object({
  ...JoinChallenge.properties,
  salt: Base64(96),
  n: Type.Integer({ minimum: 1 }),
  r: Type.Integer({ minimum: 1 }),
  p: Type.Integer({ minimum: 1 }),
});
export type PasswordChallenge = Static<typeof PasswordChallenge>;

/** Joiner: the proof (an RSA signature is the longest), and its clock when the challenge arrived. */
export const JoinProof = Type.Object({ proof: Base64(1024), clock_ms: WallClockMs });

/**
 * Sponsor: the proof is right. Its signature proves that it knows the verifier of the password or the keys of the token; to one that
 * comes with a certificate it has nothing to prove itself with.
 */
export const JoinAcceptance = Type.Object({
  accepted: Type.Literal(true),
  server_signature: Type.Optional(Base64(64)),
});
export type JoinAcceptance = Static<typeof JoinAcceptance>;

/** Sponsor: the host is a member. */
export const JoinVerdict = Type.Object({
  uid: Uid,
  cluster_name: Type.String({ maxLength: 64 }),
  /** See ClusterIdentity.lineage. */
  lineage: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  /** Members to pull the registry from; not necessarily all. */
  contacts: Type.Array(
    Type.Object({ peer: Peer, mesh_addrs: Type.Array(Addr, { maxItems: HOST_ADDRESSES_MAX }) }),
    { minItems: 1, maxItems: MEMBERS_MAX },
  ),
  /** Index of the log at which the host became a member. */
  join_index: Type.Integer({ minimum: 1 }),
});
export type JoinVerdict = Static<typeof JoinVerdict>;

/** Sponsor, to one that rehearses: it would be let in. */
export const JoinRehearsed = Type.Object({ rehearsed: Type.Literal(true) });
export type JoinRehearsed = Static<typeof JoinRehearsed>;

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
