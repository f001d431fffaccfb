import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { VoterConfig } from "#shared/consensus/messages.ts";
import type { Role } from "#shared/consensus/ready.ts";
import type { ErrorFacts } from "#shared/errors/kinds.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Command, Expectation } from "#shared/registry/command.ts";
import type { Change, CommandResult, RegistryState } from "#shared/registry/state.ts";

export interface RegistryStatus {
  readonly role: Role | "learner";
  readonly term: number;
  readonly leader: MemberId | null;
  readonly applied: number;
  readonly commit: number;
  readonly config: VoterConfig;
  /**
   * Age of what is served here: monotonic milliseconds since this agent last knew that it had everything the leader had
   * committed. 0 on a leader with a live quorum; null when it never knew.
   */
  readonly ageMs: number | null;
  /** Whether writes can succeed now, as far as this agent knows; else which voters are missing. */
  readonly quorum: boolean;
  readonly missing: readonly MemberId[];
  /** Set when apply has stopped: what happened and what to do, if anything. Stale reads go on. */
  readonly halted: string | null;
  /** Set while consensus stands still here for want of room on the disk; `halted` says so in words. It goes on by itself. */
  readonly diskFull?: ErrorFacts["disk_full"];
  /** What is held here is not what the others hold: it must not be served until it has been replaced. `halted` says why. */
  readonly quarantined: boolean;
}

export interface Submitted {
  /** Index of the entry that took effect (the first one, for a repeated idempotency key). */
  readonly index: number;
  readonly result: CommandResult;
}

/** The replicated registry as the rest of the agent sees it. */
export interface Registry {
  /** Live, read-only. Valid between two awaits; records in it may be kept. */
  readonly state: Readonly<RegistryState>;
  status(): RegistryStatus;
  /**
   * Proposes a command (on the leader, wherever it is) and answers once it is applied HERE. Rejects with AppError:
   * quorum_lost and disk_full (certainly not in the log), outcome_unknown (may be), overloaded, not_in_cluster, idempotency_key_reused.
   * A reducer's refusal is a result, not a rejection.
   */
  submit(
    command: Command,
    options: {
      readonly by: string;
      readonly key?: string;
      /** The change takes place only while this record has this version; else it is refused as precondition_failed. */
      readonly expect?: Expectation;
      readonly timeoutMs?: number;
      readonly signal?: AbortSignal;
    },
  ): Promise<Submitted>;
  /** Waits until everything committed anywhere before the call is applied here (ReadIndex). Rejects with quorum_lost. */
  readBarrier(options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<number>;
  /** Waits until this index is applied here. Rejects with index_not_reached, or overloaded beyond INDEX_WAITERS_MAX. */
  waitForIndex(
    index: number,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<number>;
  /** Called synchronously after each applied entry that changed something; the changes are those of one index. */
  onChange(listener: (changes: readonly Change[]) => void): Disposable;
  /** Called when the whole state was replaced by a snapshot: incremental followers must start anew. */
  onReset(listener: (index: number) => void): Disposable;
  /** Leader only: hands leadership over before this agent stops. Resolves when done, impossible, or after timeoutMs. */
  handOver(timeoutMs: number): Promise<void>;
}

/** What may be wished about who leads and who votes. Any agent takes the wish; the leader carries it out. */
export interface Voting {
  /**
   * Hands leadership to this member, or to the voter that is best suited, and answers who leads now. Rejects with
   * change_refused (it does not vote, does not answer, is too far behind, or nobody else could), quorum_lost without a leader.
   */
  lead(to: MemberId | null): Promise<MemberId>;
  /**
   * Takes the member's vote before it is removed; for half a minute it is given none again. Resolves once that is committed.
   * Rejects with change_refused when too few of those who would vote then answer, quorum_lost without a leader.
   */
  voteOut(peer: MemberId): Promise<void>;
}

/** What a host holds of a cluster. */
export interface HeldCopy {
  readonly identity: ClusterIdentity;
  /** After every entry of its log, whether that was known to be committed or not: what a majority acknowledged may be among them. */
  readonly state: RegistryState;
}

/** How this agent enters, follows and leaves a cluster; for bootstrap. Implemented by the composition root. */
export interface ClusterRuntime {
  readonly registry: Registry;
  /** Starts a new cluster with this agent as its only voter; the registry is empty and writable when it resolves. Durable. */
  found(cluster: ClusterIdentity): Promise<void>;
  /** Becomes a member that pulls the registry from the contacts. Durable; resolves once started, not once caught up. */
  follow(cluster: ClusterIdentity): Promise<void>;
  /** What this host itself holds, read from its disk; null without a cluster. Rejects with StoreDamaged. */
  copy(): Promise<HeldCopy | null>;
  /**
   * Puts this state in the place of everything held here, with this host as its only voter, and goes on from there: writable when it
   * resolves. Durable and atomic: after a crash either the former cluster or this one is on the disk, whole.
   */
  recover(cluster: ClusterIdentity, state: RegistryState): Promise<void>;
  /** Undoes found or follow: stops, and removes log, snapshots and cluster identity from the disk. */
  forget(): Promise<void>;
}
