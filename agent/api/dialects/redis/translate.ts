import type { AgentInfo } from "#agent/api/ports.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { BootstrapAction, BootstrapState } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { isoSeconds } from "#shared/lib/time.ts";
import type { HostAddress, HostFacts } from "#shared/model/hardware.ts";

import type { BootstrapBody, BootstrapStatus, LocalNodeInfo } from "./schemas.ts";

/** REST port of a node when the request names none: the product's own default, as of the vendor's. */
const API_PORT = 9443;
/** Longest wait between two tries when the request names none. Seconds. */
const RETRY_TIME_S = 15;

/**
 * The request in domain form. What it says is checked by the domain (shared/bootstrap/check.ts); here only that `action`
 * says what the path says. An empty text counts as not given: scripts fill templates with nothing. Throws AppError config_error.
 */
export function toBootstrapRequest(action: BootstrapAction, body: BootstrapBody): BootstrapRequest {
  if (body.action !== undefined && body.action !== action) {
    throw new AppError("config_error", { field: "action", rule: `must be ${action}, as in the path` });
  }
  const { cluster = {}, node = {}, credentials } = body;
  const { identity = {}, paths = {} } = node;
  const nodes = cluster.nodes ?? [];
  return {
    ...given({ clusterName: cluster.name }),
    nodes: typeof nodes === "string" ? [nodes] : nodes,
    apiPort: body.cnm_https_port ?? API_PORT,
    credentials: { username: credentials.username, password: credentials.password },
    identity: {
      ...(identity.uid === undefined ? {} : { uid: identity.uid }),
      ...given({ name: identity.name, addr: identity.addr, rackId: identity.rack_id }),
      externalAddrs: identity.external_addr ?? [],
    },
    paths: given({
      persistent: paths.persistent_path,
      ephemeral: paths.ephemeral_path,
      bigstore: paths.bigstore_path,
    }),
    limits: {},
    bigstore: {},
    policy: {},
    dnsSuffixes: [],
    rackAware: body.policy?.rack_aware ?? false,
    maxRetries: body.max_retries ?? 0,
    retryTimeS: body.retry_time ?? RETRY_TIME_S,
  };
}

/** The texts that were given and are not empty. */
function given<K extends string>(texts: Readonly<Record<K, string | undefined>>): Partial<Record<K, string>> {
  const entries = Object.entries<string | undefined>(texts).filter(
    ([, text]) => text !== undefined && text !== "",
  );
  return Object.fromEntries(entries) as Partial<Record<K, string>>;
}

const RUNNING_WORDS = {
  create_cluster: "creating_cluster",
  join_cluster: "joining_cluster",
  recover_cluster: "recovering_cluster",
} as const satisfies Record<BootstrapAction, BootstrapStatus["state"]>;

/** Seed 003, `bootstrap_status`. */
export function toStatus(state: BootstrapState): BootstrapStatus {
  switch (state.name) {
    case "idle":
      return { state: "idle", ...(state.reason === undefined ? {} : { reason: state.reason }) };
    case "initiated":
      return { state: "initiated", start_time: isoSeconds(state.startedAt) };
    case "running":
      return { state: RUNNING_WORDS[state.action], start_time: isoSeconds(state.startedAt) };
    case "completed":
      return {
        state: "completed",
        start_time: isoSeconds(state.startedAt),
        end_time: isoSeconds(state.endedAt),
      };
    case "error":
      return {
        state: "error",
        start_time: isoSeconds(state.startedAt),
        end_time: isoSeconds(state.endedAt),
        error_code: state.failure.code,
        error_details: { ...state.failure.details },
      };
  }
}

/** Seed 003, `local_node_info`: this host as its own agent sees it. */
export function toLocalNodeInfo(agent: AgentInfo, uid: number | null, facts: HostFacts): LocalNodeInfo {
  const { cpu, os, memory_total, addresses, bridge_interfaces } = facts.static;
  const available = addresses.map(toAvailableAddress);
  const storage = (kind: "persistent" | "ephemeral" | "bigstore") =>
    facts.live.storage.find((path) => path.kind === kind);
  const [persistent, ephemeral, bigstore] = [
    storage("persistent"),
    storage("ephemeral"),
    storage("bigstore"),
  ];
  return present({
    uid,
    software_version: agent.softwareVersion,
    architecture: cpu.architecture,
    cores: cpu.cores,
    total_memory: memory_total,
    uptime: Math.floor(facts.live.uptime_s),
    os_version: os.version,
    os_family: os.family,
    os_name: os.name,
    os_semantic_version: os.semantic_version,
    short_hostname: agent.name.split(".")[0] ?? agent.name,
    persistent_storage_path: persistent?.path,
    persistent_storage_size: persistent?.size,
    ephemeral_storage_path: ephemeral?.path,
    ephemeral_storage_size: ephemeral?.size,
    bigredis_storage_path: bigstore?.path,
    bridge_interfaces,
    available_addrs: available,
    available_addresses: available,
  });
}

function toAvailableAddress({ address, format, if_name, private: inner }: HostAddress) {
  return { address, format, if_name, private: inner };
}

type Present<T> = {
  [K in keyof T as null extends T[K] ? never : undefined extends T[K] ? never : K]: T[K];
} & {
  [K in keyof T as null extends T[K] ? K : undefined extends T[K] ? K : never]?: Exclude<
    T[K],
    null | undefined
  >;
};

/** The record without what is null or undefined: the seed's clients test for presence. */
function present<T extends object>(record: T): Present<T> {
  const entries = Object.entries(record).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(entries) as Present<T>;
}
