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

/**
 * Where this host's bootstrap stands. `initiated`: accepted, not begun; `running`: the action works
 * (`creating_cluster`, `joining_cluster`, `recovering_cluster` on the wire). A POST is taken in `idle` and `error` only.
 */
export type BootstrapState =
  /**
   * `reason`: why a host that was in a cluster is out of it. `retired`: the peer id that it had there, which may never come back:
   * the agent makes itself another one before it joins anew.
   */
  | { readonly name: "idle"; readonly reason?: string; readonly retired?: MemberId }
  | {
      readonly name: "initiated";
      readonly action: BootstrapAction;
      readonly attempt: number;
      readonly startedAt: EpochMs;
    }
  | {
      readonly name: "running";
      readonly action: BootstrapAction;
      readonly attempt: number;
      readonly startedAt: EpochMs;
    }
  | {
      readonly name: "error";
      readonly action: BootstrapAction;
      readonly attempt: number;
      readonly failure: BootstrapFailure;
      readonly startedAt: EpochMs;
      readonly endedAt: EpochMs;
    }
  | {
      readonly name: "completed";
      readonly action: BootstrapAction;
      readonly attempt: number;
      readonly startedAt: EpochMs;
      readonly endedAt: EpochMs;
    };

/**
 * What may happen to a bootstrap. `at` is wall-clock time, for showing; how long something took is told apart from it,
 * because wall clocks jump.
 */
export type BootstrapEvent =
  /** Somebody asks for an attempt (the POST). */
  | { readonly type: "requested"; readonly action: BootstrapAction; readonly at: EpochMs }
  /** The action of this attempt starts to work. */
  | { readonly type: "begun"; readonly attempt: number }
  /** The action of this attempt is over and has taken back what it did, unless it succeeded (`failure` null). */
  | {
      readonly type: "ended";
      readonly attempt: number;
      readonly failure: BootstrapFailure | null;
      readonly at: EpochMs;
    }
  /** Time passes: the attempt runs for `elapsedMs` and may take `limitMs`. */
  | {
      readonly type: "ticked";
      readonly attempt: number;
      readonly elapsedMs: number;
      readonly limitMs: number;
    }
  /** The agent starts anew; `identity`: the record of a cluster is on its disk. First event of each life. */
  | { readonly type: "restarted"; readonly identity: boolean; readonly at: EpochMs }
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
 * abandoned attempt changes nothing, for its number no longer matches. Whatever an attempt left half-done is taken
 * back, after a restart too: nobody was told that it completed, and a host takes part in elections only after
 * `completed` is on disk. `completed` is never reported without a cluster identity on disk.
 */
export function stepBootstrap(state: BootstrapState, event: BootstrapEvent): BootstrapStep {
  switch (event.type) {
    case "requested":
      return requested(state, event.action, event.at);
    case "begun": {
      if (state.name !== "initiated" || state.attempt !== event.attempt) return unchanged(state);
      return { state: { ...state, name: "running" }, effects: [] };
    }
    case "ended": {
      if (!underWay(state) || state.attempt !== event.attempt) return unchanged(state);
      return { state: ended(state, event.failure, event.at), effects: [] };
    }
    case "ticked": {
      if (!underWay(state) || state.attempt !== event.attempt) return unchanged(state);
      if (event.elapsedMs < event.limitMs) return unchanged(state);
      return {
        state,
        effects: [{ type: "abort", attempt: state.attempt, failure: overdue(state, event.limitMs) }],
      };
    }
    case "restarted":
      return restarted(state, event.identity, event.at);
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

function underWay(state: BootstrapState): state is UnderWay {
  return state.name === "initiated" || state.name === "running";
}

function unchanged(state: BootstrapState): BootstrapStep {
  return { state, effects: [] };
}

function requested(state: BootstrapState, action: BootstrapAction, at: EpochMs): BootstrapStep {
  if (underWay(state)) return { refused: "bootstrap_in_progress" };
  if (state.name === "completed") return { refused: "already_in_cluster" };
  const attempt = state.name === "idle" ? 1 : state.attempt + 1;
  return {
    state: { name: "initiated", action, attempt, startedAt: at },
    effects: [{ type: "run", action, attempt }],
  };
}

function restarted(state: BootstrapState, identity: boolean, at: EpochMs): BootstrapStep {
  const forget: BootstrapEffect = { type: "forget" };
  switch (state.name) {
    case "idle":
    case "error":
      return { state, effects: identity ? [forget] : [] };
    case "initiated":
    case "running": {
      const message = `the agent was restarted while it worked on ${state.action}; what it had begun is undone, try again`;
      return { state: ended(state, { code: "internal_error", details: { message } }, at), effects: [forget] };
    }
    case "completed": {
      if (identity) return unchanged(state);
      const message = "this host was in a cluster, but the record of it is gone from its disk; join it again";
      return {
        state: {
          ...state,
          name: "error",
          failure: { code: "internal_error", details: { message } },
          endedAt: at,
        },
        effects: [],
      };
    }
  }
}

function ended(state: UnderWay, failure: BootstrapFailure | null, at: EpochMs): BootstrapState {
  const { action, attempt, startedAt } = state;
  if (failure === null) return { name: "completed", action, attempt, startedAt, endedAt: at };
  return { name: "error", action, attempt, failure, startedAt, endedAt: at };
}

function overdue(state: UnderWay, limitMs: number): BootstrapFailure {
  const message = `${state.action} was not done after ${Math.round(limitMs / 1000)} s and was stopped`;
  return { code: state.action === "join_cluster" ? "connect_error" : "internal_error", details: { message } };
}
