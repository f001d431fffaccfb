import { rulesOfCredentials } from "#shared/bootstrap/check-credentials.ts";
import { isDnsName, rulesOfCluster } from "#shared/bootstrap/check-cluster.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { licenseViolation } from "#shared/bootstrap/license.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";
import type { Rule } from "#shared/bootstrap/rule.ts";
import { isVersion } from "#shared/bootstrap/version.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { BOOTSTRAP_RETRIES_MAX, JOIN_NODES_MAX, NODE_SERVERS_MAX } from "#shared/lib/limits.ts";

/** Letters, digits, `-` and `_`; starts with a letter, ends with a letter or digit. Compared without case. */
const RACK_ID = /^[A-Za-z]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/;
const RACK_RULE =
  "must have at most 63 letters, digits, - or _, start with a letter and end with a letter or digit";
const PATH_CHARS_MAX = 4096;
const PATH_RULE = `must be an absolute path of at most ${PATH_CHARS_MAX} characters`;
/** Seed 003's object: `bigstore_driver`. */
const BIGSTORE_DRIVERS: readonly string[] = ["rocksdb", "speedb"];
const RETRY_TIME_S_MAX = 3600;

/** What is wrong with the id of a rack; null when nothing is. */
export function rackRule(rackId: string): string | null {
  return RACK_ID.test(rackId) ? null : RACK_RULE;
}

/** How long one try of an attempt may take before it counts as failed. Milliseconds. */
export const ATTEMPT_MS_MAX = 120_000;

/** How long an attempt may take with all the tries the caller asked for. Milliseconds. */
export function attemptMsMax(request: BootstrapRequest): number {
  return ATTEMPT_MS_MAX + request.maxRetries * (ATTEMPT_MS_MAX + request.retryTimeS * 1000);
}

/** What the host that is asked is, as far as a request may have to fit it. */
export interface AskedHost {
  /** Whether it is a member of a cluster: then it holds a copy of its registry itself. */
  readonly member: boolean;
}

/**
 * What is wrong with a request in itself, in the field names of seed 003: config_error or invalid_license; null when nothing is. Of
 * several mistakes the one is told that has to be mended first: what the action needs before how it is spelt.
 */
export function requestError(
  action: BootstrapAction,
  request: BootstrapRequest,
  host: AskedHost,
): AppError | null {
  for (const [wrong, field, rule] of rules(action, request, host)) {
    if (wrong) return new AppError("config_error", { field, rule });
  }
  const violation = licenseViolation(request.license ?? "");
  return violation === null ? null : new AppError("invalid_license", { violation });
}

function rules(action: BootstrapAction, request: BootstrapRequest, host: AskedHost): readonly Rule[] {
  const { nodes, identity, limits, bigstore, requiredVersion, maxRetries, retryTimeS, apiPort } = request;
  const { rackId, secondRackId, name, uid } = identity;
  return [
    ...(action === "recover_cluster" ? rulesOfSource(request, host) : []),
    ...rulesOfCredentials(action, request),
    ...rulesOfPaths(request.paths),
    ...rulesOfCluster(request),
    [
      uid !== undefined && !(Number.isSafeInteger(uid) && uid >= 1),
      "node.identity.uid",
      "must be a whole number from 1",
    ],
    [rackId !== undefined && rackRule(rackId) !== null, "node.identity.rack_id", RACK_RULE],
    [
      secondRackId !== undefined && rackRule(secondRackId) !== null,
      "node.identity.second_rack_id",
      RACK_RULE,
    ],
    [name !== undefined && !isDnsName(name), "node.identity.name", "must be a host name"],
    ...rulesOfLimits(limits),
    [
      bigstore.driver !== undefined && !BIGSTORE_DRIVERS.includes(bigstore.driver),
      "node.bigstore_driver",
      `must be one of ${BIGSTORE_DRIVERS.join(", ")}`,
    ],
    [
      requiredVersion !== undefined && !isVersion(requiredVersion),
      "required_version",
      "must be a version of muster such as 1.2.3 or 1.2.3-4",
    ],
    [
      !within(maxRetries, BOOTSTRAP_RETRIES_MAX),
      "max_retries",
      `must be a whole number from 0 to ${BOOTSTRAP_RETRIES_MAX}`,
    ],
    [
      !within(retryTimeS, RETRY_TIME_S_MAX),
      "retry_time",
      `must be whole seconds from 0 to ${RETRY_TIME_S_MAX}`,
    ],
    [apiPort === 0 || !within(apiPort, 65_535), "cnm_https_port", "must be a port number"],
    ...rulesOfAction(action, request),
    [nodes.length > JOIN_NODES_MAX, "cluster.nodes", `may name at most ${JOIN_NODES_MAX} addresses`],
  ];
}

/** A recovery needs a copy before it needs anything else. */
function rulesOfSource({ nodes, recoveryFilename }: BootstrapRequest, { member }: AskedHost): Rule[] {
  const none = recoveryFilename === undefined && nodes.length === 0 && !member;
  return [
    [
      none,
      "recovery_filename",
      "is required, or cluster.nodes: this host is in no cluster, so it holds nothing to recover from itself",
    ],
  ];
}

function rulesOfPaths(paths: BootstrapRequest["paths"]): Rule[] {
  return (["persistent", "ephemeral", "bigstore"] as const).map((kind) => {
    const path = paths[kind];
    const wrong = path !== undefined && (!path.startsWith("/") || !isPath(path));
    return [wrong, `node.paths.${kind}_path`, PATH_RULE];
  });
}

function rulesOfLimits({ maxListeners, maxRedisServers }: BootstrapRequest["limits"]): Rule[] {
  const rule = `must be a whole number from 0 to ${NODE_SERVERS_MAX}`;
  return [
    [!within(maxListeners ?? 0, NODE_SERVERS_MAX), "node.limits.max_listeners", rule],
    [!within(maxRedisServers ?? 0, NODE_SERVERS_MAX), "node.limits.max_redis_servers", rule],
  ];
}

function rulesOfAction(action: BootstrapAction, request: BootstrapRequest): readonly Rule[] {
  const file = request.recoveryFilename;
  if (action === "recover_cluster") {
    const rule = `must be a path of at most ${PATH_CHARS_MAX} characters`;
    return [[file !== undefined && !isPath(file), "recovery_filename", rule]];
  }
  return [
    [file !== undefined, "recovery_filename", "is for recover_cluster alone"],
    ...(action === "create_cluster" ? rulesOfCreate(request) : rulesOfJoin(request)),
  ];
}

function rulesOfCreate({ clusterName, nodes, identity, rackAware }: BootstrapRequest): Rule[] {
  return [
    [clusterName === undefined, "cluster.name", "is required to create a cluster"],
    [nodes.length > 0, "cluster.nodes", "must be empty to create a cluster; to join one use join_cluster"],
    [(identity.uid ?? 1) !== 1, "node.identity.uid", "the first node of a cluster has the uid 1"],
    [
      rackAware && identity.rackId === undefined,
      "node.identity.rack_id",
      "is required in a rack-aware cluster",
    ],
  ];
}

function rulesOfJoin({ clusterName, nodes, credentials }: BootstrapRequest): Rule[] {
  const nowhere = nodes.length === 0 && clusterName === undefined && (credentials.token ?? "") === "";
  return [
    [
      nowhere,
      "cluster.nodes",
      "must name at least one node of the cluster, or cluster.name must resolve to one",
    ],
  ];
}

function isPath(path: string): boolean {
  return path !== "" && path.length <= PATH_CHARS_MAX && !path.includes("\0");
}

function within(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}
