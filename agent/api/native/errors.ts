import type { WireError } from "#agent/api/wire.ts";
import type { NativeError } from "#shared/contract/native.ts";
import type { AppError } from "#shared/errors/app-error.ts";
import type { ErrorKind } from "#shared/errors/kinds.ts";

/** HTTP status of each kind. The kinds themselves are this API's error codes. */
const STATUS = {
  bad_request: 400,
  not_found: 404,
  method_not_allowed: 405,
  too_large: 413,
  unauthenticated: 401,
  forbidden: 403,
  too_many_attempts: 429,
  precondition_failed: 412,
  idempotency_key_reused: 422,
  overloaded: 503,
  limit_reached: 409,

  not_in_cluster: 503,
  quorum_lost: 503,
  outcome_unknown: 504,
  index_not_reached: 503,
  disk_full: 507,
  request_expired: 409,
  unknown_command: 503,
  peer_unreachable: 503,
  peer_timeout: 504,
  peer_refused: 502,
  cluster_exists: 409,
  member_exists: 409,
  member_removed: 409,
  member_not_found: 404,
  member_name_exists: 409,
  change_refused: 409,
  user_exists: 409,
  user_not_found: 404,
  token_not_found: 404,
  member_has_rack: 409,

  bootstrap_in_progress: 409,
  already_in_cluster: 409,
  config_error: 400,
  connect_error: 502,
  access_denied: 403,
  invalid_license: 400,
  repair_required: 409,
  insufficient_node_memory: 409,
  insufficient_node_flash: 409,
  time_not_sync: 409,
  rack_id_required: 400,
  socket_directory_mismatch: 409,
  node_config_mismatch: 409,
  path_error: 400,
  internal_error: 500,

  zone_exists: 409,
  zone_not_found: 404,
  zone_in_use: 409,
  zones_weights_error: 400,
  node_already_registered: 409,
  node_not_discovered: 404,
  node_not_registered: 404,
  node_in_use: 409,
} as const satisfies Record<ErrorKind, number>;

/** The native form: the kind, a sentence, and the facts as data. Also used where no dialect owns the path. */
export function toNativeError(error: AppError): WireError {
  const body: NativeError = {
    error: { code: error.kind, message: error.message, facts: { ...error.facts } },
  };
  return { status: STATUS[error.kind], body };
}
