import type { MemberId } from "#shared/lib/ids.ts";

/** Why a request cannot be read: the field at fault (a JSON path such as `node.paths.persistent_path`) and the rule. */
export interface BadField {
  readonly field: string;
  readonly rule: string;
}

/**
 * The closed list of everything that can be wrong, with the facts each one carries. A dialect maps every kind to its
 * own form with `satisfies Record<ErrorKind, …>`, so a forgotten kind is a compile error.
 */
export interface ErrorFacts {
  // The request itself.
  bad_request: BadField;
  not_found: { readonly what: string };
  method_not_allowed: { readonly allowed: readonly string[] };
  too_large: { readonly what: string; readonly limit_bytes: number };
  unauthenticated: object;
  forbidden: { readonly needs: string };
  too_many_attempts: { readonly retry_after_s: number };
  precondition_failed: { readonly what: string };
  idempotency_key_reused: { readonly key: string };
  overloaded: { readonly what: string };

  // The cluster.
  not_in_cluster: object;
  quorum_lost: { readonly leader: MemberId | null; readonly missing: readonly string[] };
  /** The command was sent but nobody said what became of it. It may take effect; repeating it with its key is safe. */
  outcome_unknown: { readonly key: string };
  /** `min_index` or a blocking read was not reached in time. */
  index_not_reached: { readonly index: number; readonly wanted: number };
  /** The disk of the host that would have to write has no room; nothing was written. */
  disk_full: {
    readonly host: string;
    readonly path: string;
    readonly free_bytes: number;
    readonly needed_bytes: number;
  };
  request_expired: object;
  unknown_command: { readonly type: string };

  // Between agents.
  peer_unreachable: { readonly peer: string };
  peer_timeout: { readonly peer: string };
  peer_refused: { readonly peer: string; readonly reason: string };

  // Bootstrap (seed 003, error codes).
  bootstrap_in_progress: object;
  already_in_cluster: object;
  config_error: BadField;
  connect_error: { readonly tried: readonly { readonly address: string; readonly cause: string }[] };
  access_denied: object;
  invalid_license: { readonly violation: string };
  repair_required: {
    readonly failed_nodes: readonly { readonly uid: number; readonly rack_id?: string }[];
    readonly replace_candidate: number;
  };
  insufficient_node_memory: { readonly required_memory: number };
  insufficient_node_flash: { readonly required_flash: number };
  time_not_sync: { readonly offset_ms: number; readonly limit_ms: number };
  rack_id_required: { readonly current_rack_ids: readonly string[] };
  socket_directory_mismatch: { readonly expected: string; readonly actual: string };
  node_config_mismatch: { readonly setting: string; readonly expected: string; readonly actual: string };
  /** `errno`: as the system calls it (`ENOENT`), where the system said so. */
  path_error: { readonly path: string; readonly cause: string; readonly errno?: string };
  internal_error: { readonly incident: string };

  // Members and users.
  member_exists: { readonly peer: MemberId };
  member_removed: { readonly peer: MemberId };
  member_not_found: { readonly peer: string };
  member_name_exists: { readonly name: string };
  /** Who votes, leads or belongs to the cluster cannot be changed like this now. `what` completes "cannot …". */
  change_refused: { readonly what: string; readonly reason: string };
  /** A rack is given once and stays. */
  member_has_rack: { readonly name: string; readonly rack_id: string };
  cluster_exists: object;
  user_exists: { readonly name: string };
  user_not_found: { readonly name: string };
  token_not_found: { readonly token: string };

  // Zones and registered nodes (seed 000).
  zone_exists: { readonly name: string };
  zone_not_found: { readonly zone: string };
  zone_in_use: { readonly zone: string; readonly nodes: readonly string[] };
  zones_weights_error: { readonly reason: string };
  node_already_registered: { readonly node: string };
  node_not_discovered: { readonly node: string };
  node_not_registered: { readonly node: string };
  node_in_use: { readonly node: string; readonly replicaset: string };
  limit_reached: { readonly what: string; readonly limit: number };
}

export type ErrorKind = keyof ErrorFacts;

/** A refusal as data: what a reducer answers, what crosses the wire between agents. */
export type Refusal = {
  readonly [K in ErrorKind]: { readonly kind: K; readonly facts: ErrorFacts[K] };
}[ErrorKind];
