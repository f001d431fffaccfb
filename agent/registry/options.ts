import { LOG_TAIL_ENTRIES, SNAPSHOT_ENTRIES, SNAPSHOT_LOG_BYTES } from "#shared/lib/limits.ts";

/** Times and sizes of the registry's driver; milliseconds. Tests may shorten them, the agent takes the defaults. */
export interface ReplicaOptions {
  /** Length of one tick of the consensus core. */
  readonly tickMs: number;
  /** Shortest election timeout in ticks: event-loop stalls of 0.2 to 0.6 s happen and must not depose anybody. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** How long a submitted command may take when its caller says nothing. */
  readonly submitMs: number;
  /** How long a pull of committed entries waits for something new; bounds the age of a pulling agent's copy. */
  readonly pullWaitMs: number;
  /** How long a voter must be dead before it is replaced. */
  readonly deadVoterMs: number;
  /** How long a member may stay `joining` before it is removed: its join broke off. */
  readonly joiningMs: number;
  /** A snapshot is due after this many entries or bytes of them, and when they are worth a quarter of the last snapshot. */
  readonly snapshotEntries: number;
  readonly snapshotLogBytes: number;
  /** Entries kept behind a snapshot for those who are a little behind. */
  readonly logTailEntries: number;
}

export const REPLICA_DEFAULTS: ReplicaOptions = {
  tickMs: 100,
  electionTicks: 12,
  heartbeatTicks: 4,
  submitMs: 10_000,
  pullWaitMs: 1000,
  deadVoterMs: 10_000,
  joiningMs: 600_000,
  snapshotEntries: SNAPSHOT_ENTRIES,
  snapshotLogBytes: SNAPSHOT_LOG_BYTES,
  logTailEntries: LOG_TAIL_ENTRIES,
};
