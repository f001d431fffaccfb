import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { APPEND_BYTES_MAX } from "#shared/lib/limits.ts";

import { ConfigHistory } from "./config-change.ts";
import { RaftLog } from "./log.ts";
import type { Entry, Message, SnapshotMeta, VoterConfig } from "./messages.ts";
import type { Progress } from "./progress.ts";
import { isVoter } from "./quorum.ts";
import type { ReadQueue } from "./reads.ts";
import type { CoreOptions, CoreStart, HardState, ReadState } from "./ready.ts";

/** What only a member that campaigns knows. */
export interface Campaign {
  readonly name: "pre_candidate" | "candidate";
  readonly votes: Map<MemberId, boolean>;
}

/** What only a leader knows. */
export interface Leadership {
  readonly name: "leader";
  /** Every other voter and learner of the newest configuration. */
  readonly progress: Map<MemberId, Progress>;
  readonly reads: ReadQueue;
  /** The member leadership is being handed to, and for how many ticks. */
  transfer: { readonly to: MemberId; ticks: number } | null;
  ticksSinceHeartbeat: number;
  heartbeatDue: boolean;
}

export type RoleState = { readonly name: "follower" } | Campaign | Leadership;

/**
 * Everything a member of the cluster knows, shared by the files of the three roles. It changes only itself: messages and
 * answers gather in the out-trays until the driver takes them.
 */
export class CoreState {
  readonly id: MemberId;
  readonly options: CoreOptions;
  readonly appendBytesMax: number;
  readonly log: RaftLog;
  readonly configs = new ConfigHistory();
  role: RoleState = { name: "follower" };
  term: number;
  vote: MemberId | null;
  /** The leader of this term, if known; itself when it leads. */
  leader: MemberId | null = null;
  /** Ticks since the leader was heard, a vote was granted, or a campaign began; for a leader: since it checked its quorum. */
  elapsed = 0;
  /** Ticks without a leader after which it campaigns; drawn anew each time, so that ties do not repeat (§3.4). */
  timeout = 0;
  /** A received snapshot that is not durable yet. */
  incoming: SnapshotMeta | null = null;
  /** Index of the snapshot that the leader of this term told this follower to fetch; 0 if none. */
  offered = 0;
  /** Term and vote known to be on disk. */
  durable: { readonly term: number; readonly vote: MemberId | null };
  /** Messages that may leave before anything is saved, and messages that promise what is being saved. */
  sendNow: Message[] = [];
  sendAfter: Message[] = [];
  reads: ReadState[] = [];

  constructor(options: CoreOptions, start: CoreStart) {
    assert(options.electionTicks > options.heartbeatTicks, "several heartbeats fit into an election timeout");
    this.id = options.id;
    this.options = options;
    this.appendBytesMax = options.appendBytesMax ?? APPEND_BYTES_MAX;
    this.log = new RaftLog(start);
    const { hardState, snapshot } = start;
    const known = Math.max(hardState.term, snapshot?.term ?? 0, this.log.lastTerm);
    this.term = known;
    this.vote = known === hardState.term ? hardState.vote : null;
    this.durable = { term: hardState.term, vote: hardState.vote };
    if (snapshot !== null) this.configs.restored(snapshot.index, snapshot.config);
    const after = Math.max(snapshot?.index ?? 0, this.log.first - 1);
    for (const entry of this.log.slice(after + 1, this.log.last)) {
      this.configs.appended(entry);
    }
    this.resetTimer();
  }

  get config(): VoterConfig {
    return this.configs.current;
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.commit };
  }

  /**
   * May campaign: it votes, and its log is not waiting for a snapshot. Until the configuration without it is committed, a
   * voter may still be needed: the others may lack that entry, and then none of them could win against its longer log
   * (§4.2.2, figure 4.6).
   */
  get electable(): boolean {
    const voter = isVoter(this.config, this.id) || isVoter(this.configs.at(this.log.commit), this.id);
    return voter && this.incoming === null;
  }

  /** A leader was heard within the shortest election timeout (§4.2.3): nobody else needs votes now. */
  get hasLiveLeader(): boolean {
    return this.leader === this.id || (this.leader !== null && this.elapsed < this.options.electionTicks);
  }

  resetTimer(): void {
    this.elapsed = 0;
    const { electionTicks, random } = this.options;
    this.timeout = electionTicks + Math.floor(random() * electionTicks);
  }

  /** Adopts a term, never a lower one, and follows. Readers that trusted this leadership must ask again. */
  becomeFollower(term: number, leader: MemberId | null): void {
    assert(term >= this.term, "terms never fall");
    if (this.role.name === "leader") {
      for (const context of this.role.reads.abandon()) this.reads.push({ context, index: null });
    }
    if (term > this.term) {
      this.term = term;
      this.vote = null;
    }
    if (leader !== this.leader || leader === null) this.offered = 0;
    this.role = { name: "follower" };
    this.leader = leader;
    this.resetTimer();
  }

  /** Appends to the log; a configuration in it holds from now on. */
  append(entries: readonly Entry[]): void {
    this.log.append(entries);
    for (const entry of entries) this.configs.appended(entry);
  }

  /** Removes an uncommitted tail, and with it the configurations it brought. */
  truncate(from: number): void {
    this.log.truncate(from);
    this.configs.truncated(from);
  }
}
