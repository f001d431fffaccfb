import type { MemberId } from "#shared/lib/ids.ts";
import type { EpochMs } from "#shared/lib/time.ts";

/** Seed 003, path segment and `action`. */
export const BOOTSTRAP_ACTIONS = ["create_cluster", "join_cluster", "recover_cluster"] as const;
export type BootstrapAction = (typeof BOOTSTRAP_ACTIONS)[number];

/** Seed 003, table "Error codes". */
export const BOOTSTRAP_ERROR_CODES = [
  "config_error",
  "connect_error",
  "access_denied",
  "invalid_license",
  "repair_required",
  "insufficient_node_memory",
  "insufficient_node_flash",
  "time_not_sync",
  "rack_id_required",
  "socket_directory_mismatch",
  "node_config_mismatch",
  "path_error",
  "internal_error",
] as const;
export type BootstrapErrorCode = (typeof BOOTSTRAP_ERROR_CODES)[number];

/** Why an attempt failed: code, and the object shown as `error_details` (always with a `message`). */
export interface BootstrapFailure {
  readonly code: BootstrapErrorCode;
  readonly details: { readonly message: string } & { readonly [key: string]: unknown };
}

/** One part of an attempt, for showing. `end` is null while it works or when it never ended. */
export interface BootstrapStepRecord {
  /** Such as `preflight`, `contact`, `authenticate`, `admit`, `catch_up`. */
  readonly name: string;
  readonly state: "running" | "done" | "failed";
  readonly start: EpochMs;
  readonly end: EpochMs | null;
}

/** The attempt by which this host became a member. */
interface Completed {
  readonly action: BootstrapAction;
  readonly attempt: number;
  readonly startedAt: EpochMs;
  readonly endedAt: EpochMs;
  readonly steps?: readonly BootstrapStepRecord[];
}

/** A recovery that a member tried and that failed: it is the member it was before. */
export interface FailedRecovery {
  readonly failure: BootstrapFailure;
  readonly attempt: number;
  readonly startedAt: EpochMs;
  readonly endedAt: EpochMs;
  readonly steps?: readonly BootstrapStepRecord[];
}

interface UnderWayState {
  readonly action: BootstrapAction;
  readonly attempt: number;
  readonly startedAt: EpochMs;
  /**
   * Set when a member recovers the cluster that it has lost: how it became one, and the incarnation it lived in. Whatever becomes of
   * the attempt, what it holds on its disk stays until another incarnation has taken its place.
   */
  readonly member?: Completed & { readonly incarnation: number };
}

/**
 * Where this host's bootstrap stands. `initiated`: accepted, not begun; `running`: the action works
 * (`creating_cluster`, `joining_cluster`, `recovering_cluster` on the wire). A POST is taken in `idle` and `error` only, and a
 * recovery also by a member whose cluster has no leader.
 */
export type BootstrapState =
  /**
   * `reason`: why a host that was in a cluster is out of it. `retired`: the peer id that it had there, which may never come back:
   * the agent makes itself another one before it joins anew.
   */
  | { readonly name: "idle"; readonly reason?: string; readonly retired?: MemberId }
  | ({ readonly name: "initiated" } & UnderWayState)
  | ({ readonly name: "running" } & UnderWayState)
  | ({ readonly name: "error"; readonly failure: BootstrapFailure } & Completed)
  /** `recovery`: the last attempt was a recovery that failed; the host is a member all the same. */
  | ({ readonly name: "completed"; readonly recovery?: FailedRecovery } & Completed);

/**
 * What may happen to a bootstrap. `at` is wall-clock time, for showing; how long something took is told apart from it,
 * because wall clocks jump.
 */
export type BootstrapEvent =
  /**
   * Somebody asks for an attempt (the POST). `lost`: the incarnation of the cluster that this host is a member of, when no leader
   * of it is known; then, and only then, a member may recover it.
   */
  | {
      readonly type: "requested";
      readonly action: BootstrapAction;
      readonly at: EpochMs;
      readonly lost?: number | null;
    }
  /** The action of this attempt starts to work: what an earlier one left on the disk is gone. */
  | { readonly type: "begun"; readonly attempt: number }
  /** The action of this attempt is over and has taken back what it did, unless it succeeded (`failure` null). */
  | {
      readonly type: "ended";
      readonly attempt: number;
      readonly failure: BootstrapFailure | null;
      readonly at: EpochMs;
      readonly steps?: readonly BootstrapStepRecord[];
    }
  /** Time passes: the attempt runs for `elapsedMs` and may take `limitMs`. */
  | {
      readonly type: "ticked";
      readonly attempt: number;
      readonly elapsedMs: number;
      readonly limitMs: number;
    }
  /** The agent starts anew; `incarnation`: of the cluster whose record is on its disk, null without one. First event of each life. */
  | { readonly type: "restarted"; readonly incarnation: number | null; readonly at: EpochMs }
  /** The cluster took this host out for good, and the peer id that it has with it. */
  | { readonly type: "removed"; readonly reason: string; readonly peer: MemberId };

/** What the driver does once the new state is on disk. */
export type BootstrapEffect =
  | { readonly type: "run"; readonly action: BootstrapAction; readonly attempt: number }
  /** The attempt must stop and take back what it did; it then ends with this failure. */
  | { readonly type: "abort"; readonly attempt: number; readonly failure: BootstrapFailure }
  /** Log, snapshots and cluster identity go from the disk. */
  | { readonly type: "forget" };

export type BootstrapStep =
  | { readonly state: BootstrapState; readonly effects: readonly BootstrapEffect[] }
  | { readonly refused: "already_in_cluster" | "bootstrap_in_progress" };

/**
 * One step of a host's bootstrap (seed 003, "Bootstrap requests").
 *
 * Invariants: `initiated` is on disk before the request is answered, so that nobody polls an older error. An answer of an
 * abandoned attempt changes nothing, for its number no longer matches. Whatever an attempt to create or join left half-done is
 * taken back, after a restart too: nobody was told that it completed, and a host takes part in elections only after
 * `completed` is on disk. A recovery that has reached the disk is never taken back, and one that has not never takes from a member
 * what it holds. `completed` is never reported without a cluster identity on disk.
 */
export function stepBootstrap(state: BootstrapState, event: BootstrapEvent): BootstrapStep {
  switch (event.type) {
    case "requested":
      return requested(state, event);
    case "begun": {
      if (state.name !== "initiated" || state.attempt !== event.attempt) return unchanged(state);
      return { state: { ...state, name: "running" }, effects: [] };
    }
    case "ended": {
      if (!isUnderWay(state) || state.attempt !== event.attempt) return unchanged(state);
      return { state: ended(state, event), effects: [] };
    }
    case "ticked": {
      if (!isUnderWay(state) || state.attempt !== event.attempt) return unchanged(state);
      if (event.elapsedMs < event.limitMs) return unchanged(state);
      return {
        state,
        effects: [{ type: "abort", attempt: state.attempt, failure: overdue(state, event.limitMs) }],
      };
    }
    case "restarted":
      return restarted(state, event.incarnation, event.at);
    case "removed": {
      if (state.name !== "completed") return unchanged(state);
      return {
        state: { name: "idle", reason: event.reason, retired: event.peer },
        effects: [{ type: "forget" }],
      };
    }
  }
}

type UnderWay = Extract<BootstrapState, { name: "initiated" | "running" }>;

/** Whether an attempt is under way. */
export function isUnderWay(state: BootstrapState): state is UnderWay {
  return state.name === "initiated" || state.name === "running";
}

/** Whether this host is a member of a cluster; one that recovers its cluster is one all the while. */
export function isMember(state: BootstrapState): boolean {
  return state.name === "completed" || (isUnderWay(state) && state.member !== undefined);
}

function unchanged(state: BootstrapState): BootstrapStep {
  return { state, effects: [] };
}

type EventOf<T extends BootstrapEvent["type"]> = Extract<BootstrapEvent, { type: T }>;

function requested(state: BootstrapState, { action, at, lost = null }: EventOf<"requested">): BootstrapStep {
  if (isUnderWay(state)) return { refused: "bootstrap_in_progress" };
  const attempt = state.name === "idle" ? 1 : Math.max(state.attempt, lastTried(state)) + 1;
  const begins = { name: "initiated", action, attempt, startedAt: at } as const;
  const effects = [{ type: "run", action, attempt }] as const;
  if (state.name !== "completed") return { state: begins, effects };
  if (action !== "recover_cluster" || lost === null) return { refused: "already_in_cluster" };
  const { name: _name, recovery: _recovery, ...how } = state;
  return { state: { ...begins, member: { ...how, incarnation: lost } }, effects };
}

function lastTried(state: BootstrapState): number {
  return state.name === "completed" ? (state.recovery?.attempt ?? 0) : 0;
}

function restarted(state: BootstrapState, incarnation: number | null, at: EpochMs): BootstrapStep {
  switch (state.name) {
    case "idle":
    case "error":
      return { state, effects: incarnation === null ? [] : [{ type: "forget" }] };
    case "initiated":
    case "running":
      return interrupted(state, incarnation, at);
    case "completed": {
      if (incarnation !== null) return unchanged(state);
      const message = "this host was in a cluster, but the record of it is gone from its disk; join it again";
      const { recovery: _recovery, ...how } = state;
      return {
        state: {
          ...how,
          attempt: Math.max(state.attempt, lastTried(state)),
          name: "error",
          failure: { code: "internal_error", details: { message } },
          endedAt: at,
        },
        effects: [],
      };
    }
  }
}

/** What a restart makes of an attempt that was under way. */
function interrupted(state: UnderWay, incarnation: number | null, at: EpochMs): BootstrapStep {
  const { action, member } = state;
  const undone = member === undefined ? "what it had begun is undone" : "this host is the member that it was";
  const message = `the agent was restarted while it worked on ${action}; ${undone}, try again`;
  const failure: BootstrapFailure = { code: "internal_error", details: { message } };
  if (hasRecovered(state, incarnation)) {
    return { state: ended(state, { failure: null, at }), effects: [] };
  }
  if (member !== undefined && incarnation !== null) {
    return { state: ended(state, { failure, at }), effects: [] };
  }
  const { member: _member, ...stranger } = state;
  // A member's record that is gone was not taken by the recovery. What else is left of it may be all that there is.
  return {
    state: ended(stranger, { failure, at }),
    effects: member === undefined ? [{ type: "forget" }] : [],
  };
}

/**
 * Whether a recovery has come as far as the disk: then nothing takes it back. Others may have heard of the new incarnation already and
 * have given up what they held. It is on the disk whole or not at all; and when an attempt is `running`, nothing older is there but
 * the cluster of a member, with its own incarnation.
 */
export function hasRecovered(state: BootstrapState, incarnation: number | null): boolean {
  if (state.name !== "running" || state.action !== "recover_cluster" || incarnation === null) return false;
  return state.member === undefined || incarnation > state.member.incarnation;
}

function ended(
  state: UnderWay,
  { failure, at, steps: told }: Pick<EventOf<"ended">, "failure" | "at" | "steps">,
): BootstrapState {
  const { action, attempt, startedAt, member } = state;
  const steps = told === undefined ? {} : { steps: told };
  const how = { action, attempt, startedAt, endedAt: at, ...steps };
  if (failure === null) return { name: "completed", ...how };
  if (member === undefined) return { name: "error", failure, ...how };
  const { incarnation: _incarnation, ...before } = member;
  return {
    name: "completed",
    ...before,
    recovery: { failure, attempt, startedAt, endedAt: at, ...steps },
  };
}

function overdue(state: UnderWay, limitMs: number): BootstrapFailure {
  const message = `${state.action} was not done after ${Math.round(limitMs / 1000)} s and was stopped`;
  return { code: state.action === "join_cluster" ? "connect_error" : "internal_error", details: { message } };
}
