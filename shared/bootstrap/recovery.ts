import type { MemberId } from "#shared/lib/ids.ts";
import type { EpochMs } from "#shared/lib/time.ts";

/** One copy of a cluster's registry that a recovery could start from. */
export interface CopyInfo {
  /** `store`: this host's own; `file`: a backup; `agent`: what another agent holds. */
  readonly source: "store" | "file" | "agent";
  /** Path of the file, address of the agent; the host's own name for its store. */
  readonly where: string;
  /** Who holds it; null for a file. */
  readonly peer: MemberId | null;
  readonly clusterId: string;
  readonly clusterName: string;
  readonly incarnation: number;
  /** Term and index of its last entry: the copy with the greatest pair has everything that any other one has. */
  readonly term: number;
  readonly index: number;
  /** The log's own time at its last entry. */
  readonly at: EpochMs;
  /** How long ago its holder last knew that it had everything that was committed; null when it never did, or for a file. Milliseconds. */
  readonly ageMs: number | null;
}

/** What a recovery would do: the rehearsal's answer, and what the action then does. */
export interface RecoveryPlan {
  /** Best first. */
  readonly candidates: readonly CopyInfo[];
  readonly chosen: CopyInfo;
  /** Incarnation of the cluster afterwards. */
  readonly incarnation: number;
  /** Which node this host will be. */
  readonly uid: number;
  /** Members that must join again, as replacements, with these uids. */
  readonly rejoin: readonly { readonly uid: number; readonly name: string }[];
  /** Who could not be asked, and why: what only they had is lost. */
  readonly unreachable: readonly { readonly address: string; readonly cause: string }[];
  /** What may be lost, in sentences; empty when every member's copy was seen. */
  readonly losses: readonly string[];
}

/** Newest first: later incarnation, then greater term, then greater index (Raft dissertation §3.6.1 on up-to-date logs). */
export function byNewestCopy(a: CopyInfo, b: CopyInfo): number {
  return b.incarnation - a.incarnation || b.term - a.term || b.index - a.index;
}
