import type { Entry, Message, SnapshotMeta, VoterConfig } from "#shared/consensus/messages.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** What must survive a crash beside the log: dissertation, figure 3.1 ("persistent state"); commit only saves time. */
export interface HardState {
  readonly term: number;
  readonly vote: MemberId | null;
  readonly commit: number;
}

export type Role = "follower" | "pre_candidate" | "candidate" | "leader";

/** What the core reports about itself; read-only. */
export interface CoreStatus {
  readonly id: MemberId;
  readonly role: Role;
  readonly term: number;
  readonly vote: MemberId | null;
  readonly leader: MemberId | null;
  readonly commit: number;
  readonly applied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly config: VoterConfig;
  /** Index of the entry that `config` came from; it may be uncommitted. */
  readonly configIndex: number;
  /** The member leadership is being handed to, if any. */
  readonly transferee: MemberId | null;
  /** Leader only: for each other voter and learner, how far its log is known to match and whether it answered lately. */
  readonly progress: ReadonlyMap<
    MemberId,
    { readonly match: number; readonly next: number; readonly active: boolean }
  >;
}

/** A read barrier that came through: state applied up to `index` is fresh enough for the reader that gave `context`. */
export interface ReadState {
  readonly context: string;
  /** Null when leadership was lost before it could be proved; the reader must ask again. */
  readonly index: number | null;
}

/**
 * Work the core hands to its driver, in this order:
 *  1. `sendNow` may leave at once (a leader's appends and heartbeats need not wait for its own disk, §10.2.1);
 *  2. `snapshot` (if any) has been fetched and must be installed durably, replacing log and state;
 *  3. `truncateFrom`, `entries`, `hardState` are made durable in ONE synced write (`mustSync` says whether it may be unsynced);
 *  4. `sendAfter` leaves (votes and answers: they promise what 3 has made durable);
 *  5. `committed` is applied, in order, after 2 but not necessarily after 3: all of it was durable here before this Ready;
 *     `reads` are answered once `applied` has reached their index;
 *  6. the driver calls `core.advance(ready)`; only then may it ask for the next Ready.
 */
export interface Ready {
  readonly sendNow: readonly Message[];
  readonly snapshot: SnapshotMeta | null;
  readonly truncateFrom: number | null;
  readonly entries: readonly Entry[];
  readonly hardState: HardState | null;
  readonly mustSync: boolean;
  readonly sendAfter: readonly Message[];
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadState[];
}

export type ProposeResult =
  | { readonly ok: true; readonly index: number; readonly term: number }
  | {
      readonly ok: false;
      readonly reason: "not_leader" | "transferring" | "overloaded";
      readonly leader: MemberId | null;
    };

export type ConfigChangeResult =
  | { readonly ok: true; readonly index: number }
  | {
      readonly ok: false;
      readonly reason:
        | "not_leader"
        | "transferring"
        | "change_in_progress"
        | "no_entry_of_this_term_committed"
        | "no_voters"
        | "unchanged";
    };

/** Where a core starts: what the disk holds. `snapshot` null and no entries: a member that has joined but holds nothing yet. */
export interface CoreStart {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta | null;
  /** Retained entries in order; they may begin at or before `snapshot.index + 1`, without a gap. */
  readonly entries: readonly Entry[];
  /** Index up to which the state machine given to the driver already holds everything (normally `snapshot.index`). */
  readonly applied: number;
}

export interface CoreOptions {
  readonly id: MemberId;
  /** Shortest election timeout in ticks; each one is drawn anew from [electionTicks, 2·electionTicks). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** The only source of randomness: a number in [0, 1). */
  readonly random: () => number;
  /** About how many bytes of entries one append carries at most; `APPEND_BYTES_MAX` when left out. */
  readonly appendBytesMax?: number;
}

/**
 * The consensus core as its driver sees it: no clock, no disk, no network. Every method is synchronous and only changes
 * the core's own state; what has to happen outside comes out of `ready()`.
 */
export interface Consensus {
  /** One tick of logical time has passed (the driver decides how long a tick is). */
  tick(): void;
  /** How many of the next ticks bring nothing, unless something else comes first; Infinity when none ever does. */
  restTicks(): number;
  /**
   * A message from a member, already checked against its schema and against the identity of its sender. After a `snapshot`
   * message whose `meta.index` lies above `status().commit` the driver fetches the body and calls `installSnapshot`; the offer
   * is repeated while it is needed, so one fetch at a time is enough.
   */
  step(message: Message): void;
  /** Leader only: appends one entry of kind `command` for each text, in order, all or none. */
  propose(data: readonly string[]): ProposeResult;
  /** Leader only: asks for this set of voters and learners; goes through a joint configuration when needed (§4.3). */
  changeConfig(target: {
    readonly voters: readonly MemberId[];
    readonly learners: readonly MemberId[];
  }): ConfigChangeResult;
  /** Leader only: hands leadership to a voter that is caught up or soon will be (§3.10). False if it cannot begin. */
  transferTo(member: MemberId): boolean;
  /** Leader only: asks for a read barrier; the answer comes in `Ready.reads` under this context. False if not leader, or if too many wait. */
  readIndex(context: string): boolean;
  /**
   * Entries known to be committed, pulled from any member, in order, starting at or before `status().commit + 1`. They
   * overrule an uncommitted tail. `gap`: they start later than that, so nothing proves that the logs agree before them; pull
   * again from `commit + 1` (never from `lastIndex + 1`: what lies above `commit` here may be another history's) or take a snapshot.
   */
  feed(entries: readonly Entry[], commit: number): "taken" | "gap" | "nothing_new";
  /** A snapshot's body has been fetched and verified; it will come out of the next Ready to be installed. False: it is not newer than what is here. */
  installSnapshot(meta: SnapshotMeta): boolean;
  /** Leader only: a follower could not be reached, or failed to fetch its snapshot; probe it gently. */
  reportUnreachable(member: MemberId): void;
  /** The state up to `meta.index` is in a durable snapshot; entries up to `upTo` may be forgotten (they stay below as `firstIndex`). */
  compact(meta: SnapshotMeta, upTo: number): void;
  /** Committed entries from an index on, at most about maxBytes of data (at least one if there is one); null if already compacted. */
  committedFrom(index: number, maxBytes: number): readonly Entry[] | null;
  /** Term of the entry at an index; null if unknown here (compacted, or not yet there). */
  termAt(index: number): number | null;
  /** The voter configuration as of the applied index, for a snapshot's front. */
  appliedConfig(): VoterConfig;
  hasReady(): boolean;
  ready(): Ready;
  advance(ready: Ready): void;
  status(): CoreStatus;
}
