import { Type, type Static } from "typebox";

import { MEMBERS_MAX } from "#shared/lib/limits.ts";

import { BUCKETS } from "./bucket-hashes.ts";

/** Rumours one message carries beside its own purpose. About 2 KiB. */
export const RUMOURS_PER_MESSAGE = 16;

const Peer = Type.String({ minLength: 1, maxLength: 128 });
/** Far from where adding one loses precision. */
const Incarnation = Type.Integer({ minimum: 0, maximum: 2 ** 52 });
/** Pairs an answer with its question; made by the one who asks, and meaningless to others. */
const Seq = Type.Integer({ minimum: 0, maximum: 2 ** 52 });

/** Fingerprint of a table or of a part of it. */
export const Fingerprint = Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 });
/** Fingerprints of all parts of a table. */
export const Fingerprints = Type.Array(Fingerprint, { minItems: BUCKETS, maxItems: BUCKETS });
/** Numbers of parts of a table. */
export const BucketNumbers = Type.Array(Type.Integer({ minimum: 0, maximum: BUCKETS - 1 }), {
  maxItems: BUCKETS,
});

const Rumour = Type.Union([
  Type.Object({ peer: Peer, status: Type.Enum(["alive", "dead", "left"]), incarnation: Incarnation }),
  /** `by`: the accuser. Accusers count, so each is told of. */
  Type.Object({ peer: Peer, status: Type.Literal("suspect"), incarnation: Incarnation, by: Peer }),
]);
/** A statement about a member, as it is passed on. */
export type Rumour = Static<typeof Rumour>;

/** In every message: the sender's own incarnation, and news that rides along. Absent: there is none. */
const common = {
  incarnation: Incarnation,
  rumours: Type.Optional(Type.Array(Rumour, { maxItems: RUMOURS_PER_MESSAGE + 1 })),
};

/** What agents say to each other about who is there. */
export const SwimMessage = Type.Union([
  /** `table`: fingerprint of all that the sender holds. */
  Type.Object({ type: Type.Literal("ping"), seq: Seq, table: Fingerprint, ...common }),
  /** "Ping this one for me." */
  Type.Object({ type: Type.Literal("ping_req"), seq: Seq, target: Peer, ...common }),
  Type.Object({ type: Type.Literal("ack"), seq: Seq, ...common }),
  /** "I am well, but the one you asked about has not answered me." Source: Lifeguard, section IV-A. */
  Type.Object({ type: Type.Literal("nack"), seq: Seq, ...common }),
  Type.Object({ type: Type.Literal("gossip"), ...common }),
  /** "Our tables differ; these are the fingerprints of mine." */
  Type.Object({ type: Type.Literal("compare"), table: Fingerprints, ...common }),
  /**
   * All that the sender holds in these parts of the table. It wants to be told what is held otherwise. No parts: this is
   * that answer.
   */
  Type.Object({
    type: Type.Literal("sync"),
    buckets: BucketNumbers,
    members: Type.Array(Rumour, { maxItems: MEMBERS_MAX }),
    ...common,
  }),
]);
export type SwimMessage = Static<typeof SwimMessage>;

/** A message without what is added to every one. */
export type SwimBody = SwimMessage extends infer M
  ? M extends SwimMessage
    ? Omit<M, "incarnation" | "rumours">
    : never
  : never;
