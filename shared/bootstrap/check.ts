import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";
import type { BadField } from "#shared/errors/kinds.ts";
import { JOIN_NODES_MAX, PASSWORD_CHARS_MAX, USER_NAME_CHARS_MAX } from "#shared/lib/limits.ts";

/** RFC 952 and RFC 1123, section 2.1, as seed 003's documentation asks of a cluster's name; one label is enough. */
const DNS_NAME = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?$/;
const CLUSTER_NAME_CHARS_MAX = 64;
/** Letters, digits, `-` and `_`; starts with a letter, ends with a letter or digit. Compared without case. */
const RACK_ID = /^[A-Za-z]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/;
/** Basic authentication cannot carry a colon or a control character in a name (RFC 7617, section 2). */
const NOT_IN_USER_NAMES = /[&<>":\p{Cc}]/u;
const RETRIES_MAX = 100;
const RETRY_TIME_S_MAX = 3600;

/** How long one try of an attempt may take before it counts as failed. Milliseconds. */
export const ATTEMPT_MS_MAX = 120_000;

/** How long an attempt may take with all the tries the caller asked for. Milliseconds. */
export function attemptMsMax(request: BootstrapRequest): number {
  return ATTEMPT_MS_MAX + request.maxRetries * (ATTEMPT_MS_MAX + request.retryTimeS * 1000);
}

/** What is wrong with a request in itself, in the field names of seed 003; null when nothing is. */
export function checkRequest(action: BootstrapAction, request: BootstrapRequest): BadField | null {
  for (const [wrong, field, rule] of rules(action, request)) {
    if (wrong) return { field, rule };
  }
  return null;
}

type Rule = readonly [wrong: boolean, field: string, rule: string];

function rules(action: BootstrapAction, request: BootstrapRequest): readonly Rule[] {
  const { clusterName, nodes, credentials, identity, paths, maxRetries, retryTimeS, apiPort } = request;
  const { username, password } = credentials;
  const { rackId, name } = identity;
  return [
    [action === "recover_cluster", "action", "recover_cluster is not offered by this version"],
    [
      username.length === 0 || username.length > USER_NAME_CHARS_MAX || NOT_IN_USER_NAMES.test(username),
      "credentials.username",
      `must have 1 to ${USER_NAME_CHARS_MAX} characters and none of & < > " : or control characters`,
    ],
    [
      password.length === 0 || password.length > PASSWORD_CHARS_MAX || /\p{Cc}/u.test(password),
      "credentials.password",
      `must have 1 to ${PASSWORD_CHARS_MAX} characters and no control characters`,
    ],
    ...rulesOfPaths(paths),
    [
      clusterName !== undefined && !isClusterName(clusterName),
      "cluster.name",
      `must be a DNS name of at most ${CLUSTER_NAME_CHARS_MAX} characters`,
    ],
    [rackId !== undefined && !RACK_ID.test(rackId), "node.identity.rack_id", RACK_RULE],
    [name !== undefined && !isHostName(name), "node.identity.name", "must be a host name"],
    [!within(maxRetries, RETRIES_MAX), "max_retries", `must be a whole number from 0 to ${RETRIES_MAX}`],
    [
      !within(retryTimeS, RETRY_TIME_S_MAX),
      "retry_time",
      `must be whole seconds from 0 to ${RETRY_TIME_S_MAX}`,
    ],
    [apiPort === 0 || !within(apiPort, 65_535), "cnm_https_port", "must be a port number"],
    ...(action === "create_cluster" ? rulesOfCreate(request) : rulesOfJoin(request)),
    [nodes.length > JOIN_NODES_MAX, "cluster.nodes", `may name at most ${JOIN_NODES_MAX} addresses`],
  ];
}

const RACK_RULE =
  "must have at most 63 letters, digits, - or _, start with a letter and end with a letter or digit";

function rulesOfPaths(paths: BootstrapRequest["paths"]): readonly Rule[] {
  return (["persistent", "ephemeral", "bigstore"] as const).map((kind) => {
    const path = paths[kind];
    const wrong = path !== undefined && (!path.startsWith("/") || path.includes("\0"));
    return [wrong, `node.paths.${kind}_path`, "must be an absolute path"];
  });
}

function rulesOfCreate({ clusterName, nodes, identity, rackAware }: BootstrapRequest): readonly Rule[] {
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

function rulesOfJoin({ clusterName, nodes }: BootstrapRequest): readonly Rule[] {
  return [
    [
      nodes.length === 0 && clusterName === undefined,
      "cluster.nodes",
      "must name at least one node of the cluster, or cluster.name must resolve to one",
    ],
  ];
}

function isClusterName(name: string): boolean {
  return name.length <= CLUSTER_NAME_CHARS_MAX && DNS_NAME.test(name);
}

function isHostName(name: string): boolean {
  return name.length <= 253 && DNS_NAME.test(name);
}

function within(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}
