import type { EpochMs } from "#shared/lib/time.ts";

// The machine itself (step, events, effects) is written in this file too; the types below are what other parts see.

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
  | { readonly name: "idle"; readonly reason?: string }
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
