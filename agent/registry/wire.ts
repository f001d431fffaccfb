import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";

import type { Log } from "#agent/ports/log.ts";
import type { Wire } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { Entry, Message, SnapshotMeta } from "#shared/consensus/messages.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { FORWARDED_COMMANDS_MAX, PULL_WAIT_MS_MAX, SNAPSHOT_BYTES_MAX } from "#shared/lib/limits.ts";
import { Envelope } from "#shared/registry/command.ts";

// What agents say to each other about the registry, beside the consensus messages themselves.

/** Topic of consensus messages; short, for nothing is sent as often. */
export const CONSENSUS = "raft";

/** What an entry is, as a number on the wire: the place in this list, which only ever grows. */
export const CONSENSUS_ENTRY_KINDS: readonly Entry["kind"][] = ["noop", "command", "config"];

/** Names of the requests. */
export const METHOD = {
  propose: "registry.propose",
  pull: "registry.pull",
  readIndex: "registry.read_index",
  snapshot: "registry.snapshot",
  stateHash: "registry.state_hash",
  room: "registry.room",
  lead: "registry.lead",
  voteOut: "registry.vote_out",
} as const;

const Index = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const MaybeMember = Type.Union([Type.String({ maxLength: 128 }), Type.Null()]);

/** A command on its way to the leader, which adds the time. */
export const Forwarded = Type.Omit(Envelope, ["at"]);
export type Forwarded = Static<typeof Forwarded>;

const ProposeRequest = Type.Object({ items: Type.Array(Forwarded, { maxItems: FORWARDED_COMMANDS_MAX }) });
/** `term`: of the log entries they became. They are all in the leader's log, or none is. */
const ProposeAnswer = Type.Union([
  Type.Object({ ok: Type.Literal(true), term: Index }),
  Type.Object({ ok: Type.Literal(false), reason: Type.String({ maxLength: 64 }) }),
]);
export type ProposeAnswer = Static<typeof ProposeAnswer>;

const PullRequest = Type.Object({
  from: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  waitMs: Type.Integer({ minimum: 0, maximum: PULL_WAIT_MS_MAX }),
});
const PullAnswer = Type.Object({
  /** From the index asked for on; empty when there is nothing new, or when it is forgotten here (`snapshot`). */
  entries: Type.Array(Entry, { maxItems: 8192 }),
  snapshot: Type.Boolean(),
  commit: Index,
  term: Index,
  leader: MaybeMember,
  /** Age of what this agent calls committed; see RegistryStatus. */
  ageMs: Type.Union([Type.Number({ minimum: 0 }), Type.Null()]),
});
export type PullAnswer = Static<typeof PullAnswer>;

const ReadIndexRequest = Type.Object({ timeoutMs: Type.Number({ minimum: 0, maximum: 60_000 }) });
const ReadIndexAnswer = Type.Object({ index: Index });

/** `index` 0 asks for the newest one there is. */
const SnapshotRequest = Type.Object({ index: Index, offset: Index });
const SnapshotPiece = Type.Object({
  meta: SnapshotMeta,
  /** Size and SHA-256 (hex) of the body; size of its zstd-compressed form. */
  bytes: Type.Integer({ minimum: 0, maximum: SNAPSHOT_BYTES_MAX }),
  sha256: Type.String({ minLength: 64, maxLength: 64 }),
  packedBytes: Type.Integer({ minimum: 1, maximum: SNAPSHOT_BYTES_MAX }),
  /** A piece of the compressed form at the offset asked for, in base64. */
  data: Type.String({ maxLength: 1024 * 1024 }),
});
export type SnapshotPiece = Static<typeof SnapshotPiece>;

/** What the state's hash was at an index; see shared/registry/fingerprint.ts. */
const StatePoint = Type.Object({ index: Index, hash: Type.String({ minLength: 16, maxLength: 16 }) });
export type StatePoint = Static<typeof StatePoint>;
const StateQuestion = Type.Object({ points: Type.Array(StatePoint, { maxItems: 16 }) });
/** The newest of those points that is known here, with the hash that it has here; null when none is. */
const StateAnswer = Type.Object({ point: Type.Union([StatePoint, Type.Null()]) });

/** Who is to lead; null: whoever is best. */
const LeadRequest = Type.Object({ to: MaybeMember });
const VoteOutRequest = Type.Object({ peer: Type.String({ maxLength: 128 }) });
/** Who leads now that it is done; null: not done, for the agent that was asked does not lead. */
const VotingAnswer = Type.Union([Type.Object({ leader: Type.String({ maxLength: 128 }) }), Type.Null()]);

/** Whether an agent's disk has room, so that it may lead. */
const RoomAnswer = Type.Object({ room: Type.Boolean() });

/** One compiled check for each shape. */
export const check = {
  message: Compile(Message),
  proposeRequest: Compile(ProposeRequest),
  proposeAnswer: Compile(ProposeAnswer),
  pullRequest: Compile(PullRequest),
  pullAnswer: Compile(PullAnswer),
  readIndexRequest: Compile(ReadIndexRequest),
  readIndexAnswer: Compile(ReadIndexAnswer),
  snapshotRequest: Compile(SnapshotRequest),
  snapshotPiece: Compile(SnapshotPiece),
  stateQuestion: Compile(StateQuestion),
  stateAnswer: Compile(StateAnswer),
  roomAnswer: Compile(RoomAnswer),
  leadRequest: Compile(LeadRequest),
  voteOutRequest: Compile(VoteOutRequest),
  votingAnswer: Compile(VotingAnswer),
};

interface Checker<T> {
  Check(value: unknown): value is T;
}

/** What a peer sent, once it has the right shape. Throws bad_request (told to a peer that asked) or peer_refused. */
export function admit<T>(checker: Checker<T>, value: Wire, what: string): T {
  if (checker.Check(value)) return value;
  throw new AppError("bad_request", { field: what, rule: "has an unknown shape" });
}

/** Records of ours are JSON by construction; TypeScript cannot see it in an interface. */
export function toWire(value: object): Wire {
  return value as Wire;
}

/** Says once per peer and kind that something unreadable came, so that a hostile peer cannot fill the log. */
export class Complaints {
  readonly #log: Log;
  readonly #said = new Set<string>();

  constructor(deps: { readonly log: Log }) {
    this.#log = deps.log;
  }

  about(peer: MemberId, kind: string, why: string): void {
    const key = `${peer} ${kind} ${why}`;
    if (this.#said.has(key) || this.#said.size >= COMPLAINTS_MAX) return;
    this.#said.add(key);
    this.#log.warn({ peer, kind, why }, "dropped what a peer sent");
  }
}

const COMPLAINTS_MAX = 1000;
