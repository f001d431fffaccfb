import type { ErrorFacts, ErrorKind, Refusal } from "#shared/errors/kinds.ts";

/**
 * An expected failure, told to the caller in the words of the caller's dialect. Anything else that is thrown is a
 * defect and becomes an internal error with an incident id.
 */
export class AppError<K extends ErrorKind = ErrorKind> extends Error {
  override readonly name = "AppError";
  readonly kind: K;
  readonly facts: ErrorFacts[K];

  /** `message` is one plain English sentence that says what is wrong and, where possible, what to do; no secrets. */
  constructor(kind: K, facts: ErrorFacts[K], message?: string) {
    super(message ?? describe(kind, facts));
    this.kind = kind;
    this.facts = facts;
  }

  /** The same as data, for the log and the wire. */
  toRefusal(): Refusal {
    return { kind: this.kind, facts: this.facts } as Refusal;
  }

  static of(refusal: Refusal): AppError {
    return new AppError(refusal.kind, refusal.facts);
  }
}

/** Whether an error is an AppError of this kind. */
export function isKind<K extends ErrorKind>(error: unknown, kind: K): error is AppError<K> {
  return error instanceof AppError && error.kind === kind;
}

/** Whether the text names a kind of the closed list: for what comes off a wire or a disk. */
export function isErrorKind(text: string): text is ErrorKind {
  return Object.hasOwn(SENTENCES, text);
}

type Sentences = { readonly [K in ErrorKind]: (facts: ErrorFacts[K]) => string };

const SENTENCES: Sentences = {
  bad_request: ({ field, rule }) => `${field}: ${rule}`,
  not_found: ({ what }) => `${what} does not exist`,
  method_not_allowed: ({ allowed }) => `this method is not allowed here; allowed: ${allowed.join(", ")}`,
  too_large: ({ what, limit_bytes }) => `${what} is larger than ${limit_bytes} bytes`,
  unauthenticated: () => "valid credentials are required",
  forbidden: ({ needs }) => `this needs the right to ${needs}`,
  too_many_attempts: ({ retry_after_s }) => `too many failed logins; try again in ${retry_after_s} s`,
  precondition_failed: ({ what }) => `${what} has changed since it was read`,
  idempotency_key_reused: ({ key }) => `the idempotency key ${key} was used before for a different request`,
  overloaded: ({ what }) => `${what} is at its limit; try again`,
  not_in_cluster: () => "this agent is not a member of a cluster yet",
  quorum_lost: ({ missing }) =>
    missing.length === 0
      ? "no leader is known at the moment; try again"
      : `no majority of the voters can be reached; missing: ${missing.join(", ")}`,
  outcome_unknown: ({ key }) =>
    `the write was sent but its outcome is unknown; repeat it with Idempotency-Key ${key}`,
  index_not_reached: ({ index, wanted }) => `this agent has applied index ${index}, not yet ${wanted}`,
  disk_full: ({ host, path, free_bytes, needed_bytes }) =>
    `the disk under ${path} on ${host} is full (${free_bytes} bytes free, ${needed_bytes} wanted); make room there`,
  request_expired: () => "this request was answered or given up before",
  unknown_command: ({ type }) => `this version does not know the command ${type}`,
  peer_unreachable: ({ peer }) => `${peer} cannot be reached`,
  peer_timeout: ({ peer }) => `${peer} did not answer in time`,
  peer_refused: ({ peer, reason }) => `${peer} refused: ${reason}`,
  bootstrap_in_progress: () => "a bootstrap is already in progress",
  already_in_cluster: () => "this node is already part of a cluster",
  config_error: ({ field, rule }) => `${field}: ${rule}`,
  connect_error: ({ tried }) => {
    const causes = tried.map(({ address, cause }) => `${address}: ${cause}`).join("; ");
    const where = "cluster.nodes must name hosts of the cluster whose agents can be reached from here";
    return tried.length === 0
      ? `no address of the cluster is known; ${where}`
      : `could not connect to the cluster: ${causes}; ${where}`;
  },
  access_denied: () => "the cluster refused the credentials; give those of one of its administrators",
  invalid_license: ({ violation }) =>
    `the license is not valid: ${violation}; give it as it was handed out, with the lines where it starts and ends, or none`,
  repair_required: ({ replace_candidate }) =>
    `the cluster is degraded and takes only replacements; join with node.identity.uid ${replace_candidate}, or remove the failed nodes`,
  insufficient_node_memory: ({ required_memory }) =>
    `this node needs at least ${required_memory} bytes of memory to take the failed one's place; use a larger host`,
  insufficient_node_flash: ({ required_flash }) =>
    `this node needs at least ${required_flash} bytes of flash to take the failed one's place; use a larger disk under node.paths.bigstore_path`,
  time_not_sync: ({ offset_ms, limit_ms }) =>
    `this clock is ${offset_ms} ms off the cluster's; at most ${limit_ms} ms are allowed; synchronise it (chrony, ntp)`,
  rack_id_required: ({ current_rack_ids }) =>
    `the cluster is rack-aware; give node.identity.rack_id (in use: ${current_rack_ids.join(", ")})`,
  socket_directory_mismatch: ({ expected, actual }) =>
    `the cluster's socket directory is ${expected}, this node's is ${actual}; set api_listen to a unix socket in ${expected}`,
  node_config_mismatch: ({ setting, expected, actual }) =>
    `the cluster has ${setting} = ${expected}, this node has ${actual}; give this node what the cluster has`,
  path_error: ({ path, cause }) => `${path}: ${cause}`,
  internal_error: ({ incident }) => `internal error; look for incident ${incident} in the agent's log`,
  member_exists: ({ peer }) => `${peer} is already a member`,
  member_removed: ({ peer }) => `${peer} was removed from this cluster for good`,
  member_not_found: ({ peer }) => `${peer} is not a member`,
  member_name_exists: ({ name }) => `another member is already called ${name}`,
  change_refused: ({ what, reason }) => `cannot ${what}: ${reason}`,
  member_has_rack: ({ name, rack_id }) =>
    `${name} is in the rack ${rack_id} already; a rack cannot be changed`,
  cluster_exists: () => "this cluster has been created already",
  user_exists: ({ name }) => `the user ${name} already exists`,
  user_not_found: ({ name }) => `the user ${name} does not exist`,
  token_not_found: ({ token }) => `there is no join token ${token}`,
  zone_exists: ({ name }) => `the zone ${name} already exists`,
  zone_not_found: ({ zone }) => `the zone ${zone} does not exist`,
  zone_in_use: ({ zone, nodes }) => `the zone ${zone} still stores ${nodes.join(", ")}`,
  zones_weights_error: ({ reason }) => reason,
  node_already_registered: ({ node }) => `the node ${node} is already registered`,
  node_not_discovered: ({ node }) => `the node ${node} has not been detected`,
  node_not_registered: ({ node }) => `the node ${node} is not registered`,
  node_in_use: ({ node, replicaset }) => `the node ${node} is in use by the replica set ${replicaset}`,
  limit_reached: ({ what, limit }) => `there may be at most ${limit} ${what}`,
};

function describe<K extends ErrorKind>(kind: K, facts: ErrorFacts[K]): string {
  return SENTENCES[kind](facts);
}
