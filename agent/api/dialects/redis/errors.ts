import type { WireError } from "#agent/api/wire.ts";
import { BOOTSTRAP_ERROR_CODES } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { BadField, ErrorKind } from "#shared/errors/kinds.ts";

/**
 * HTTP status and `error_code` of each kind. The codes of seed 003 (table "Error codes") and of the calls after it keep their names;
 * the vendor has published none for the others, so they have ours. A bad body is a `config_error`: "bad JSON" is the seed's own
 * example of one. 406 is this API's word for what is well-formed and cannot be done.
 */
const ERRORS = {
  bad_request: [400, "config_error"],
  not_found: [404, "not_found"],
  method_not_allowed: [405, "method_not_allowed"],
  too_large: [413, "too_large"],
  unauthenticated: [401, "unauthenticated"],
  forbidden: [403, "forbidden"],
  too_many_attempts: [429, "too_many_attempts"],
  precondition_failed: [412, "precondition_failed"],
  idempotency_key_reused: [422, "idempotency_key_reused"],
  overloaded: [503, "overloaded"],
  limit_reached: [409, "limit_reached"],

  not_in_cluster: [503, "not_in_cluster"],
  quorum_lost: [503, "quorum_lost"],
  outcome_unknown: [504, "outcome_unknown"],
  index_not_reached: [503, "index_not_reached"],
  disk_full: [503, "disk_full"],
  request_expired: [409, "request_expired"],
  unknown_command: [503, "unknown_command"],
  peer_unreachable: [503, "peer_unreachable"],
  peer_timeout: [504, "peer_timeout"],
  peer_refused: [502, "peer_refused"],
  cluster_exists: [409, "cluster_exists"],
  member_exists: [409, "member_exists"],
  member_removed: [409, "member_removed"],
  member_not_found: [404, "node_not_found"],
  member_name_exists: [409, "member_name_exists"],
  change_refused: [406, "change_refused"],
  user_exists: [409, "email_already_exists"],
  user_not_found: [404, "user_not_found"],
  token_not_found: [404, "token_not_found"],
  member_has_rack: [406, "node_already_has_rack_id"],

  bootstrap_in_progress: [409, "bootstrap_in_progress"],
  already_in_cluster: [409, "already_in_cluster"],
  config_error: [400, "config_error"],
  connect_error: [406, "connect_error"],
  access_denied: [406, "access_denied"],
  invalid_license: [406, "invalid_license"],
  repair_required: [406, "repair_required"],
  insufficient_node_memory: [406, "insufficient_node_memory"],
  insufficient_node_flash: [406, "insufficient_node_flash"],
  time_not_sync: [406, "time_not_sync"],
  rack_id_required: [406, "rack_id_required"],
  socket_directory_mismatch: [406, "socket_directory_mismatch"],
  node_config_mismatch: [406, "node_config_mismatch"],
  path_error: [406, "path_error"],
  internal_error: [500, "internal_error"],

  zone_exists: [409, "zone_exists"],
  zone_not_found: [404, "zone_not_found"],
  zone_in_use: [409, "zone_in_use"],
  zones_weights_error: [400, "zones_weights_error"],
  node_already_registered: [409, "node_already_registered"],
  node_not_discovered: [404, "node_not_discovered"],
  node_not_registered: [404, "node_not_registered"],
  node_in_use: [409, "node_in_use"],
} as const satisfies Record<ErrorKind, readonly [status: number, code: string]>;

/** Codes that only this dialect has a word for: of the vendor's, or in its manner. */
export const OWN_CODES = [
  "node_not_offline",
  "cluster_name_fixed",
  "invalid_certificate",
  "email_fixed",
  "role_not_supported",
  "auth_method_not_supported",
  "unknown_object",
] as const;
type OwnCode = (typeof OWN_CODES)[number];

/** A refusal with one of these codes, and 406. */
export class NotAcceptable extends AppError<"bad_request"> {
  readonly code: OwnCode;

  constructor(code: OwnCode, facts: BadField) {
    super("bad_request", facts);
    this.code = code;
  }
}

/**
 * The error body of every call of this dialect. `error_code` stands at the top level, where a script's
 * `jq -r .error_code` finds it; `error_details` has what a program can use: the field at fault, or the facts of seed 003's codes.
 */
export function toRedisError(error: AppError): WireError {
  const [status, code] = error instanceof NotAcceptable ? [406, error.code] : ERRORS[error.kind];
  const facts = error.facts as { readonly field?: string };
  const known = facts.field !== undefined || isBootstrapError(error.kind);
  const details = known ? { error_details: { ...facts, message: error.message } } : {};
  return { status, body: { error_code: code, description: error.message, ...details } };
}

/** Whether seed 003 lists the kind as a code of the bootstrap. */
export function isBootstrapError(kind: ErrorKind): boolean {
  return (BOOTSTRAP_ERROR_CODES as readonly string[]).includes(kind);
}
