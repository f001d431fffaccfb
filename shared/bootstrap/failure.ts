import type { BootstrapErrorCode, BootstrapFailure } from "#shared/bootstrap/machine.ts";
import { isKind, type AppError } from "#shared/errors/app-error.ts";
import type { ErrorKind } from "#shared/errors/kinds.ts";

/** Under which code of seed 003 ("Error codes") a failed attempt is told. */
const CODES = {
  config_error: "config_error",
  bad_request: "config_error",
  too_large: "config_error",
  member_name_exists: "config_error",
  zone_exists: "config_error",
  zone_not_found: "config_error",
  zones_weights_error: "config_error",

  connect_error: "connect_error",
  not_in_cluster: "connect_error",
  peer_unreachable: "connect_error",
  peer_timeout: "connect_error",
  peer_refused: "connect_error",
  quorum_lost: "connect_error",
  outcome_unknown: "connect_error",
  index_not_reached: "connect_error",
  overloaded: "connect_error",
  disk_full: "connect_error",

  access_denied: "access_denied",
  unauthenticated: "access_denied",
  forbidden: "access_denied",
  too_many_attempts: "access_denied",
  member_removed: "access_denied",

  invalid_license: "invalid_license",
  repair_required: "repair_required",
  insufficient_node_memory: "insufficient_node_memory",
  insufficient_node_flash: "insufficient_node_flash",
  time_not_sync: "time_not_sync",
  rack_id_required: "rack_id_required",
  socket_directory_mismatch: "socket_directory_mismatch",
  node_config_mismatch: "node_config_mismatch",
  unknown_command: "node_config_mismatch",
  path_error: "path_error",

  not_found: "internal_error",
  method_not_allowed: "internal_error",
  precondition_failed: "internal_error",
  idempotency_key_reused: "internal_error",
  request_expired: "internal_error",
  bootstrap_in_progress: "internal_error",
  already_in_cluster: "internal_error",
  internal_error: "internal_error",
  member_exists: "internal_error",
  member_not_found: "internal_error",
  change_refused: "internal_error",
  cluster_exists: "internal_error",
  user_exists: "internal_error",
  user_not_found: "internal_error",
  token_not_found: "internal_error",
  member_has_rack: "internal_error",
  zone_in_use: "internal_error",
  node_already_registered: "internal_error",
  node_not_discovered: "internal_error",
  node_not_registered: "internal_error",
  node_in_use: "internal_error",
  limit_reached: "internal_error",
} as const satisfies Record<ErrorKind, BootstrapErrorCode>;

/** An expected error as the failure of an attempt: its code, its sentence and its facts. */
export function toFailure(error: AppError): BootstrapFailure {
  const code = CODES[error.kind];
  if (!isKind(error, "member_name_exists"))
    return { code, details: { ...error.facts, message: error.message } };
  // Its own words do not know the request: the field whose value the cluster cannot take.
  const field = "node.identity.name";
  const rule = `another member is already called ${error.facts.name}; give this host another name`;
  return { code, details: { ...error.facts, field, rule, message: `${field}: ${rule}` } };
}

/** Whether trying again, here or at another agent, may help without anybody doing anything. */
export function mayPass(failure: BootstrapFailure): boolean {
  return failure.code === "connect_error";
}
