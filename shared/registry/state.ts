import type { Refusal } from "#shared/errors/kinds.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { EpochMs } from "#shared/lib/time.ts";
import type {
  ClusterPolicy,
  DnsSuffix,
  NewMember,
  PasswordVerifier,
  TokenKeys,
  Topic,
} from "#shared/registry/command.ts";

/** `joining`: known, not yet holding the registry. `active`: takes part. Liveness is no part of this: see membership. */
export interface Member extends Readonly<NewMember> {
  /** Small integer, unique in the cluster, never reused. */
  readonly uid: number;
  readonly status: "joining" | "active";
  readonly addedAt: EpochMs;
  /**
   * Since when (the log's time) the cluster counts this member as failed: dead for longer than the grace, as its leader saw
   * it. Null while it does not. Unlike liveness this is one answer for all, and lasts until the member is seen again or replaced.
   */
  readonly failedAt: EpochMs | null;
  /**
   * When it took a place that was there before it joined, a failed member's or its own; absent for one that joined as a new one.
   * Should that join break off, the place is kept.
   */
  readonly tookOverAt?: EpochMs;
}

export interface Zone {
  /** Dense from 1 in creation order; never reused. */
  readonly id: number;
  readonly name: string;
}

/** A registered engine instance (seed 000). `hostname` and `name` come from its detection. */
export interface RegisteredNode {
  readonly uuid: string;
  readonly zoneId: number;
  readonly uri: string;
  readonly user?: string;
  readonly replUser?: string;
  readonly cfg: Readonly<Record<string, unknown>>;
  readonly hostname: string;
  readonly name: string;
}

export interface User {
  readonly uid: number;
  /** What they log in with; seed 003 calls it email. */
  readonly name: string;
  readonly role: "admin" | "viewer";
  readonly verifier: PasswordVerifier;
  readonly createdAt: EpochMs;
  /** When the password was last set. */
  readonly passwordAt: EpochMs;
  readonly displayName: string;
  readonly emailAlerts: boolean;
}

/** One permission to join, for one host. */
export interface JoinToken {
  readonly id: string;
  readonly keys: TokenKeys;
  readonly note: string;
  readonly createdBy: string;
  readonly createdAt: EpochMs;
  /** By the log's time. */
  readonly expiresAt: EpochMs;
  /** Who joined with it, and when; null while nobody has. The same peer may come again, as after a join that broke off. */
  readonly usedBy: MemberId | null;
  readonly usedAt: EpochMs | null;
}

/** A typed answer of a reducer, the same on every agent. `value` is what the caller is told. */
export type CommandResult =
  | { readonly ok: true; readonly value: { readonly [key: string]: number | string } }
  | { readonly ok: false; readonly refusal: Refusal };

/** What a command was told, and the index of the entry that took effect. */
export interface Answer {
  readonly index: number;
  readonly result: CommandResult;
}

/** One agent's commands, for at-most-once: dissertation §6.3. */
export interface Session {
  readonly session: number;
  readonly ack: number;
  /** Answers of commands at or above `ack`, by their numbers. */
  readonly results: Map<number, Answer>;
}

/** A caller's Idempotency-Key: what it asked (hash of the command) and what it was told. */
export interface KeyRecord {
  readonly digest: string;
  readonly index: number;
  /** RegistryState.elapsedMs when it was answered. */
  readonly elapsedMs: number;
  readonly result: CommandResult;
}

export interface ClusterInfo {
  readonly id: string;
  readonly name: string;
  readonly rackAware: boolean;
  readonly createdAt: EpochMs;
  readonly settings: ClusterSettings;
  /** 1 at first; each recovery adds one. Agents of an earlier one are no part of the cluster any more. */
  readonly incarnation: number;
  /** When it was last recovered; null: never. */
  readonly recoveredAt: EpochMs | null;
  readonly policy: ClusterPolicy;
  /** Empty: none. */
  readonly license: string;
  readonly dnsSuffixes: readonly DnsSuffix[];
  /** PEM; empty: no certificate proves anybody. */
  readonly trustedCa: string;
}

/** What an administrator may tune for the whole cluster. */
export interface ClusterSettings {
  /** How many members at most may be voters or stand by to become one (Ganeti: candidate_pool_size). */
  readonly candidatePoolSize: number;
  /** How long a member must be dead before it is marked as failed. Milliseconds. */
  readonly failedAfterMs: number;
  /** `replace`: while a member is failed, only hosts that take its place may join. `open`: any may. */
  readonly repairPolicy: "replace" | "open";
}

/** What a cluster begins with. */
export const SETTINGS_DEFAULT: ClusterSettings = {
  candidatePoolSize: 10,
  failedAfterMs: 60_000,
  repairPolicy: "replace",
};

/** Seed 003's defaults. */
export const POLICY_DEFAULT: ClusterPolicy = {
  default_shards_placement: "sparse",
  default_sharded_proxy_policy: "all-master-shards",
  default_non_sharded_proxy_policy: "single",
  default_fork_evict_ram: false,
  shards_overbooking: true,
};

/**
 * All cluster-owned facts, as of one index of the log. Only `apply` in reduce.ts changes it, in place and without
 * yielding, so that readers between two entries always see one index. Records are replaced, never mutated: a reader may keep them.
 */
export interface RegistryState {
  /** Index of the last applied entry, its term, and the log's own time there. */
  index: number;
  term: number;
  at: EpochMs;
  /**
   * Time that has passed in the log, its leaps left out: one entry adds LOG_LEAP_MS_MAX at most, so that a leader whose clock
   * jumps ahead ends nothing before its time. After a long silence it lags behind.
   */
  elapsedMs: number;
  cluster: ClusterInfo | null;
  readonly members: Map<MemberId, Member>;
  /** Peer ids removed for good, with the index of their removal. */
  readonly tombstones: Map<MemberId, number>;
  nextUid: number;
  readonly zones: Map<number, Zone>;
  nextZoneId: number;
  weights: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly nodes: Map<string, RegisteredNode>;
  readonly users: Map<string, User>;
  nextUserUid: number;
  readonly tokens: Map<string, JoinToken>;
  readonly sessions: Map<MemberId, Session>;
  /** In order of arrival, oldest first. */
  readonly keys: Map<string, KeyRecord>;
  /** `topic/id` of each record → index of its last change: what an ETag says and a precondition compares. */
  readonly versions: Map<string, number>;
  /** Index of the last change of any record of a topic, deletions included; 0 before the first. */
  readonly topicVersions: Record<Topic, number>;
  readonly fingerprint: Fingerprint;
}

/** See fingerprint.ts. */
export interface Fingerprint {
  /** `topic/id` of each record → its mark. */
  readonly marks: Map<string, number>;
  /** Of all marks, modulo 2^52. */
  sum: number;
  /** Over every entry's answer so far, in order. */
  chain: string;
}

/** The key of a record in `versions`. */
export function versionKey(topic: Topic, id: string): string {
  return `${topic}/${id}`;
}

/** One change, for watchers and event streams: which record of which topic, as of which index. */
export interface Change {
  readonly index: number;
  readonly at: EpochMs;
  readonly topic: Topic;
  readonly op: "set" | "delete";
  /** Peer id, zone id, node uuid, user name, token id; empty for `cluster` and `weights`. */
  readonly id: string;
}
