import type { WireError } from "#agent/api/wire.ts";
import type { AppError } from "#shared/errors/app-error.ts";
import type { ErrorKind } from "#shared/errors/kinds.ts";

/**
 * HTTP status and `error.code` of each kind. Seed 000 gives names only; statuses and numbers are ours and stable: a number is never
 * changed nor used again. The first hundred are about requests, 1xx are seed 000's own, 2xx the cluster, 3xx bootstrap.
 */
const ERRORS = {
  bad_request: [400, 1],
  not_found: [404, 2],
  method_not_allowed: [405, 3],
  too_large: [413, 4],
  unauthenticated: [401, 5],
  forbidden: [403, 6],
  too_many_attempts: [429, 7],
  precondition_failed: [412, 8],
  idempotency_key_reused: [422, 9],
  overloaded: [503, 10],
  limit_reached: [409, 11],
  internal_error: [500, 12],

  zone_exists: [409, 101],
  zone_not_found: [404, 102],
  zone_in_use: [409, 103],
  zones_weights_error: [400, 104],
  node_already_registered: [409, 111],
  node_not_discovered: [404, 112],
  node_not_registered: [404, 113],
  node_in_use: [409, 114],

  not_in_cluster: [503, 201],
  quorum_lost: [503, 202],
  outcome_unknown: [504, 203],
  index_not_reached: [503, 204],
  request_expired: [409, 205],
  unknown_command: [503, 206],
  peer_unreachable: [503, 207],
  peer_timeout: [504, 208],
  peer_refused: [502, 209],
  cluster_exists: [409, 210],
  member_exists: [409, 211],
  member_removed: [409, 212],
  member_not_found: [404, 213],
  member_name_exists: [409, 214],
  change_refused: [409, 215],
  disk_full: [503, 216],
  member_has_rack: [409, 217],
  user_exists: [409, 221],
  user_not_found: [404, 222],
  token_not_found: [404, 223],

  bootstrap_in_progress: [409, 301],
  already_in_cluster: [409, 302],
  config_error: [400, 303],
  connect_error: [502, 304],
  access_denied: [403, 305],
  invalid_license: [400, 306],
  repair_required: [409, 307],
  insufficient_node_memory: [409, 308],
  insufficient_node_flash: [409, 309],
  time_not_sync: [409, 310],
  rack_id_required: [400, 311],
  socket_directory_mismatch: [409, 312],
  node_config_mismatch: [409, 313],
  path_error: [409, 314],
} as const satisfies Record<ErrorKind, readonly [status: number, code: number]>;

/**
 * The envelope of seed 000 for a failure: the error's name in `message`, as the seed lists it under "Potential errors". `details`, a
 * sentence for people, is ours.
 */
export function toOrchestratorError(error: AppError): WireError {
  const [status, code] = ERRORS[error.kind];
  const body = { error: { code, message: error.kind, details: error.message }, data: {}, status: false };
  return { status, body };
}
