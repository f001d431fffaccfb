import { dirname, join, resolve } from "node:path";

import { canonicalAddress, hostCandidates, meshCandidates } from "./addresses.ts";
import { tryFolder } from "./check-folder.ts";
import { within } from "./deadline.ts";
import type { BootstrapDeps } from "./deps.ts";
import type { StoragePaths } from "#agent/ports/inventory.ts";
import { chooseAddress } from "#shared/bootstrap/address.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import type { NewMember } from "#shared/registry/command.ts";

/** Longest a storage path may take to be tested. Milliseconds. */
const PATH_MS_MAX = 5000;

const KINDS = ["persistent", "ephemeral", "bigstore"] as const;

/** What this host will be in the cluster, once everything about it was found fit. */
export interface Preflight {
  readonly member: NewMember;
  /** The storage folders, when the request chose any; without it the configured ones hold, also later ones. */
  readonly chosen: { readonly paths?: StoragePaths };
}

/** What is needed to say at once whether a request fits this host. */
type HostDeps = Pick<BootstrapDeps, "inventory" | "transport" | "host" | "apiUrls" | "socketDirectory">;

/**
 * Whether this host can do what is asked. Rejects with config_error (the field and what would be right) or path_error.
 * Leaves nothing behind but the storage folders themselves; in a rehearsal (see rehearse.ts) not even these.
 */
export async function preflight(
  deps: BootstrapDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<Preflight> {
  const { member, paths } = fit(deps, request);
  const flashBytes = await checkPaths(deps, paths, signal);
  if (deps.inventory.current().live.clock.synchronized === false) {
    deps.log.warn({}, "the clock of this host is not synchronised; run chrony or another NTP client");
  }
  return {
    member: flashBytes === null ? member : { ...member, flash_bytes: flashBytes },
    chosen: Object.keys(request.paths).length === 0 && request.bigstore.enabled !== true ? {} : { paths },
  };
}

/**
 * This host as a member, and its storage folders, by what is known without looking at any disk. Throws config_error when the request
 * contradicts the host: addresses that are not its own or are none, one folder for two purposes.
 */
export function fit(
  deps: HostDeps,
  request: BootstrapRequest,
): { readonly member: NewMember; readonly paths: StoragePaths } {
  return { member: memberOf(deps, request), paths: pathsOf(deps, request) };
}

/** This host as a member, before its disks are looked at. Throws config_error as `fit` does. */
export function memberOf(deps: HostDeps, { identity, limits, bigstore }: BootstrapRequest): NewMember {
  const listening = deps.transport.listenAddrs();
  const addr = addrOf(deps, identity, listening);
  const external = identity.externalAddrs.map((text) => {
    const address = canonicalAddress(text);
    if (address !== null) return address;
    throw new AppError("config_error", {
      field: "node.identity.external_addr",
      rule: `${text} is no IP address`,
    });
  });
  return {
    peer: deps.host.peer,
    uuid: deps.host.uuid,
    name: identity.name ?? deps.host.name,
    addr,
    external_addrs: [...new Set(external)],
    mesh_addrs: preferring(addr, listening),
    api_urls: [...deps.apiUrls()],
    rack_id: identity.rackId ?? null,
    software_version: SOFTWARE_VERSION,
    memory_bytes: Math.floor(deps.inventory.current().static.memory_total),
    ...given({
      second_rack_id: identity.secondRackId,
      accept_servers: identity.acceptServers,
      // Left out it is inherited from the cluster.
      use_internal_ipv6: identity.useInternalIpv6,
      max_listeners: limits.maxListeners,
      max_redis_servers: limits.maxRedisServers,
      bigstore_enabled: bigstore.enabled,
      bigstore_driver: bigstore.driver,
      socket_directory: deps.socketDirectory,
    }),
  };
}

/** Without the fields that are undefined. */
function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function addrOf(
  deps: Pick<BootstrapDeps, "inventory">,
  { addr: asked, useInternalIpv6 = false }: BootstrapRequest["identity"],
  listening: readonly string[],
): string {
  const field = "node.identity.addr";
  const requested = asked === undefined ? null : canonicalAddress(asked);
  if (asked !== undefined && requested === null) {
    throw new AppError("config_error", { field, rule: `${asked} is no IP address` });
  }
  const host = hostCandidates(deps.inventory.current().static.addresses);
  const family = useInternalIpv6 ? "ipv6" : null;
  const chosen = chooseAddress({ requested, family, host, mesh: meshCandidates(listening) });
  if (chosen.ok) return chosen.address;
  const kind = useInternalIpv6 ? "IPv6 address" : "address";
  if (chosen.allowed.length > 0) {
    const rule = `${asked} is no ${kind} of this host; it has ${chosen.allowed.join(", ")}`;
    throw new AppError("config_error", { field, rule });
  }
  throw new AppError("config_error", {
    field: useInternalIpv6 ? "node.identity.use_internal_ipv6" : field,
    rule: `this host has no ${kind} that others could reach`,
  });
}

/** The mesh addresses on the chosen address first: others dial in this order. */
function preferring(addr: string, multiaddrs: readonly string[]): string[] {
  const chosen = new Set(multiaddrs.filter((one) => meshCandidates([one])[0]?.text === addr));
  return [...chosen, ...multiaddrs.filter((one) => !chosen.has(one))].slice(0, HOST_ADDRESSES_MAX);
}

function pathsOf(deps: Pick<BootstrapDeps, "inventory">, request: BootstrapRequest): StoragePaths {
  const defaults = deps.inventory.paths();
  const persistent = request.paths.persistent ?? defaults.persistent;
  const paths: StoragePaths = {
    persistent,
    ephemeral: request.paths.ephemeral ?? defaults.ephemeral,
    bigstore: request.paths.bigstore ?? defaults.bigstore ?? enabledBigstore(request, persistent),
  };
  const taken = new Map<string, string>();
  for (const kind of KINDS) {
    const path = paths[kind];
    if (path === null) continue;
    const other = taken.get(resolve(path));
    if (other !== undefined) {
      const rule = `must not be the ${other} path as well; choose a folder for each`;
      throw new AppError("config_error", { field: `node.paths.${kind}_path`, rule });
    }
    taken.set(resolve(path), kind);
  }
  return paths;
}

/** Public scripts enable the bigstore and name no folder for it: then it lies beside the persistent one, as the vendor's does. */
function enabledBigstore({ bigstore }: BootstrapRequest, persistent: string): string | null {
  return bigstore.enabled === true ? join(dirname(persistent), "flash") : null;
}

/** Resolves with the size of the file system under the bigstore; null without one, or when that cannot be known. */
async function checkPaths(
  deps: BootstrapDeps,
  paths: StoragePaths,
  signal: AbortSignal,
): Promise<number | null> {
  const sizes = new Map<string, number | null>();
  for (const kind of KINDS) {
    const path = paths[kind];
    if (path === null) continue;
    const { totalBytes } = await within((deps.checkFolder ?? tryFolder)(path), {
      clock: deps.clock,
      ms: PATH_MS_MAX,
      signal,
      late: () => {
        const cause = `gave no answer within ${PATH_MS_MAX / 1000} s; look at its mount`;
        return new AppError("path_error", { path, cause, errno: "ETIMEDOUT" });
      },
    });
    sizes.set(kind, totalBytes);
  }
  return sizes.get("bigstore") ?? null;
}
