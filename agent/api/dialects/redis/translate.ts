import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";

import type { BootstrapBody } from "./schemas.ts";

/** REST port of a node when the request names none: the product's own default, as of the vendor's. */
const API_PORT = 9443;
/** Longest wait between two tries when the request names none. Seconds. */
const RETRY_TIME_S = 15;

/**
 * The request in domain form. What it says is checked by the domain (shared/bootstrap/check.ts); here only that `action`
 * says what the path says. An empty text counts as not given: scripts fill templates with nothing. Throws AppError config_error.
 */
export function toBootstrapRequest(action: BootstrapAction, body: BootstrapBody): BootstrapRequest {
  const { action: said = "" } = body;
  if (said !== "" && said !== action) {
    throw new AppError("config_error", { field: "action", rule: `must be ${action}, as in the path` });
  }
  const { cluster = {}, node = {}, credentials = {}, policy = {}, dns_suffixes = [] } = body;
  const { limits = {}, paths = {} } = node;
  return {
    ...given({
      clusterName: cluster.name,
      license: body.license,
      recoveryFilename: body.recovery_filename,
      requiredVersion: body.required_version,
    }),
    nodes: toNodes(cluster.nodes),
    apiPort: body.cnm_https_port ?? API_PORT,
    credentials: toCredentials(credentials),
    identity: toIdentity(node.identity),
    limits: given({ maxListeners: limits.max_listeners, maxRedisServers: limits.max_redis_servers }),
    paths: given({
      persistent: paths.persistent_path,
      ephemeral: paths.ephemeral_path,
      bigstore: paths.bigstore_path,
    }),
    bigstore: given({ enabled: node.bigstore_enabled, driver: node.bigstore_driver }),
    rackAware: isRackAware(body),
    policy: given({
      default_shards_placement: policy.default_shards_placement,
      default_sharded_proxy_policy: policy.default_sharded_proxy_policy,
      default_non_sharded_proxy_policy: policy.default_non_sharded_proxy_policy,
      default_fork_evict_ram: policy.default_fork_evict_ram,
      shards_overbooking: policy.shards_overbooking,
    }),
    dnsSuffixes: dns_suffixes.map(toDnsSuffix),
    maxRetries: body.max_retries ?? 0,
    retryTimeS: body.retry_time ?? RETRY_TIME_S,
  };
}

function toNodes(nodes: NonNullable<BootstrapBody["cluster"]>["nodes"] = []): readonly string[] {
  return (typeof nodes === "string" ? [nodes] : nodes).filter((node) => node !== "");
}

function toCredentials({
  username = "",
  password = "",
  token,
  client_cert,
  client_key,
  trusted_ca,
}: NonNullable<BootstrapBody["credentials"]>): BootstrapRequest["credentials"] {
  const others = { token, clientCert: client_cert, clientKey: client_key, trustedCa: trusted_ca };
  return { username, password, ...given(others) };
}

function toIdentity(
  identity: NonNullable<BootstrapBody["node"]>["identity"] = {},
): BootstrapRequest["identity"] {
  return {
    ...given({
      uid: identity.uid,
      name: identity.name,
      addr: identity.addr,
      rackId: identity.rack_id,
      secondRackId: identity.second_rack_id,
      overrideRackId: identity.override_rack_id,
      acceptServers: identity.accept_servers,
      useInternalIpv6: identity.use_internal_ipv6,
    }),
    externalAddrs: (identity.external_addr ?? []).filter((address) => address !== ""),
  };
}

/** One field at a time, so that what a caller sends besides never gets into the registry. */
export function toDnsSuffix({
  name,
  cluster_default,
  use_aaaa_ns,
  use_internal_addr,
  slaves,
}: NonNullable<BootstrapBody["dns_suffixes"]>[number]): BootstrapRequest["dnsSuffixes"][number] {
  return { name, ...given({ cluster_default, use_aaaa_ns, use_internal_addr, slaves }) };
}

/**
 * A public Terraform module says it as `cluster.rack_aware`, where the vendor's product does not look. It counts where it can do no
 * harm: beside a rack.
 */
function isRackAware({ policy = {}, cluster = {}, node = {} }: BootstrapBody): boolean {
  const { rack_id = "" } = node.identity ?? {};
  return policy.rack_aware ?? (cluster.rack_aware === true && rack_id !== "");
}

/** What a caller may leave out, or fill in with nothing. */
type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined | ""> };

/** The fields that were given and are no empty text. */
export function given<T extends object>(fields: T): Given<T> {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined && value !== "");
  return Object.fromEntries(entries) as Given<T>;
}
