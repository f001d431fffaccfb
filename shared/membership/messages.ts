import { Type, type Static } from "typebox";

import { MEMBERS_MAX } from "#shared/lib/limits.ts";

/** Rumours one message carries beside its own purpose. About 2 KiB. */
export const RUMOURS_PER_MESSAGE = 16;

const Peer = Type.String({ minLength: 1, maxLength: 128 });
/** Far from where adding one loses precision. */
const Incarnation = Type.Integer({ minimum: 0, maximum: 2 ** 52 });
/** Pairs an answer with its question; made by the one who asks, and meaningless to others. */
const Seq = Type.Integer({ minimum: 0, maximum: 2 ** 52 });

const Rumour = Type.Object({
  peer: Peer,
  status: Type.Enum(["alive", "suspect", "dead", "left"]),
  incarnation: Incarnation,
  /** Who says so: the accuser of a suspect, else whoever said it first. */
  by: Peer,
});
/** A statement about a member, as it is passed on. */
export type Rumour = Static<typeof Rumour>;

/** In every message: the sender's own incarnation, and news that rides along. */
const common = {
  incarnation: Incarnation,
  rumours: Type.Array(Rumour, { maxItems: RUMOURS_PER_MESSAGE + 1 }),
};

/** What agents say to each other about who is there. */
export const SwimMessage = Type.Union([
  Type.Object({ type: Type.Literal("ping"), seq: Seq, ...common }),
  /** "Ping this one for me." */
  Type.Object({ type: Type.Literal("ping_req"), seq: Seq, target: Peer, ...common }),
  Type.Object({ type: Type.Literal("ack"), seq: Seq, ...common }),
  /** "I am well, but the one you asked about has not answered me." Source: Lifeguard, section IV-A. */
  Type.Object({ type: Type.Literal("nack"), seq: Seq, ...common }),
  Type.Object({ type: Type.Literal("gossip"), ...common }),
  /** All that the sender holds. The first of the two asks for the same in return. */
  Type.Object({
    type: Type.Literal("sync"),
    wants_reply: Type.Boolean(),
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
