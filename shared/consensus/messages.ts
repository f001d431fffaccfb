import { Type, type Static } from "typebox";

import { APPEND_BYTES_MAX } from "#shared/lib/limits.ts";

// What voters say to each other, as schemas: everything from the network is checked before it is used.
// Message kinds and fields follow the Raft dissertation (Ongaro, 2014): §3.3–3.6, §4 (membership), §6.4 (ReadIndex),
// §9.6 (pre-vote), §3.10 (leader transfer).

const Index = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Term = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Member = Type.String({ minLength: 1, maxLength: 128 });
const Members = Type.Array(Member, { maxItems: 64 });

/**
 * Who votes. Outside a change `outgoing` is empty and `voters` decide alone. During a joint change (dissertation §4.3)
 * a majority of `voters` AND a majority of `outgoing` is needed. `learners` receive the log from the leader without
 * voting (standbys); agents that are in none of the three lists pull committed entries from any peer.
 */
export const VoterConfig = Type.Object({ voters: Members, outgoing: Members, learners: Members });
export type VoterConfig = Readonly<Static<typeof VoterConfig>>;

/**
 * One entry of the log. `data` is opaque here: a command's JSON text, a VoterConfig's JSON text for `config`,
 * the empty text for `noop` (the entry a new leader commits first, §3.6.2 and §6.4).
 */
export const Entry = Type.Object({
  index: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  term: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  kind: Type.Enum(["noop", "command", "config"]),
  data: Type.String({ maxLength: APPEND_BYTES_MAX }),
});
export type Entry = Readonly<Static<typeof Entry>>;

/** What stands at the front of a snapshot: the last index it contains, that entry's term, the configuration there. */
export const SnapshotMeta = Type.Object({ index: Index, term: Term, config: VoterConfig });
export type SnapshotMeta = Readonly<Static<typeof SnapshotMeta>>;

const head = { from: Member, to: Member, term: Term };

export const Message = Type.Union([
  /** §9.6: would you vote for me in `term`? Changes nobody's state. */
  Type.Object({ type: Type.Literal("pre_vote"), ...head, lastIndex: Index, lastTerm: Term }),
  /** The rejecting voter returns its own term, so that a candidate behind in terms catches up (openraft#1796). */
  Type.Object({ type: Type.Literal("pre_vote_answer"), ...head, granted: Type.Boolean(), asked: Term }),
  /** `transfer` marks an election the old leader asked for (§3.10): it is not held back by the live-leader rule. */
  Type.Object({
    type: Type.Literal("vote"),
    ...head,
    lastIndex: Index,
    lastTerm: Term,
    transfer: Type.Boolean(),
  }),
  Type.Object({ type: Type.Literal("vote_answer"), ...head, granted: Type.Boolean() }),
  Type.Object({
    type: Type.Literal("append"),
    ...head,
    prevIndex: Index,
    prevTerm: Term,
    entries: Type.Array(Entry, { maxItems: 8192 }),
    commit: Index,
  }),
  /**
   * `ok`: the follower's log matches the leader's up to `index`, durably. Otherwise `index` and `hintTerm` tell where
   * to probe next (§3.3, conflict search by term).
   */
  Type.Object({
    type: Type.Literal("append_answer"),
    ...head,
    ok: Type.Boolean(),
    index: Index,
    hintTerm: Term,
  }),
  /**
   * What the follower holds durably is committed up to here. Told as soon as it is so, and not answered: if it gets lost, a
   * heartbeat says the same a little later.
   */
  Type.Object({ type: Type.Literal("commit"), ...head, commit: Index }),
  /** `round` numbers the leader's heartbeats; its echo proves leadership at the time of a read (§6.4). */
  Type.Object({ type: Type.Literal("heartbeat"), ...head, commit: Index, round: Index }),
  Type.Object({ type: Type.Literal("heartbeat_answer"), ...head, round: Index }),
  /** The follower is behind the leader's log: it must fetch the snapshot (the body travels outside the core). */
  Type.Object({ type: Type.Literal("snapshot"), ...head, meta: SnapshotMeta }),
  /** §3.10: campaign at once. */
  Type.Object({ type: Type.Literal("timeout_now"), ...head }),
]);
export type Message = Readonly<Static<typeof Message>>;
