import { randomUUID } from "node:crypto";
import { open, rm, statfs } from "node:fs/promises";
import { join } from "node:path";

import { canonicalAddress, hostCandidates, meshCandidates } from "./addresses.ts";
import { within } from "./deadline.ts";
import type { BootstrapDeps } from "./deps.ts";
import { makeFolder } from "./make-folder.ts";
import type { StoragePaths } from "#agent/ports/inventory.ts";
import { chooseAddress } from "#shared/bootstrap/address.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import type { NewMember } from "#shared/registry/command.ts";

/** Longest a storage path may take to be tested. Milliseconds. */
const PATH_MS_MAX = 5000;
/** Less free space than this and not even a log fits. */
const FREE_BYTES_MIN = 16 * 1024 * 1024;

/** For the agent and its group alone. */
const FOLDER_MODE = 0o750;

/** What this host will be in the cluster, once everything about it was found fit. */
export interface Preflight {
  readonly member: NewMember;
  /** The storage folders, when the request chose any; without it the configured ones hold, also later ones. */
  readonly chosen: { readonly paths?: StoragePaths };
}

/**
 * Whether this host can do what is asked. Rejects with config_error (the field and what would be right) or path_error.
 * Leaves nothing behind but the storage folders themselves.
 */
export async function preflight(
  deps: BootstrapDeps,
  request: BootstrapRequest,
  signal: AbortSignal,
): Promise<Preflight> {
  const member = memberOf(deps, request);
  const paths = pathsOf(deps, request);
  await checkPaths(deps, paths, signal);
  if (deps.inventory.current().live.clock.synchronized === false) {
    deps.log.warn({}, "the clock of this host is not synchronised; run chrony or another NTP client");
  }
  return { member, chosen: Object.keys(request.paths).length === 0 ? {} : { paths } };
}

/** This host as a member. Throws config_error when the request names addresses that are not its own, or are none. */
export function memberOf(
  deps: Pick<BootstrapDeps, "inventory" | "transport" | "host" | "apiUrls">,
  request: BootstrapRequest,
): NewMember {
  const { identity } = request;
  const listening = deps.transport.listenAddrs();
  const addr = addrOf(deps, identity.addr, listening);
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
  };
}

function addrOf(
  deps: Pick<BootstrapDeps, "inventory">,
  asked: string | undefined,
  listening: readonly string[],
): string {
  const field = "node.identity.addr";
  const requested = asked === undefined ? null : canonicalAddress(asked);
  if (asked !== undefined && requested === null) {
    throw new AppError("config_error", { field, rule: `${asked} is no IP address` });
  }
  const host = hostCandidates(deps.inventory.current().static.addresses);
  const chosen = chooseAddress({ requested, host, mesh: meshCandidates(listening) });
  if (chosen.ok) return chosen.address;
  const rule =
    chosen.allowed.length === 0
      ? "this host has no address that others could reach"
      : `${asked} is no address of this host; it has ${chosen.allowed.join(", ")}`;
  throw new AppError("config_error", { field, rule });
}

/** The mesh addresses on the chosen address first: others dial in this order. */
function preferring(addr: string, multiaddrs: readonly string[]): string[] {
  const chosen = new Set(multiaddrs.filter((one) => meshCandidates([one])[0]?.text === addr));
  return [...chosen, ...multiaddrs.filter((one) => !chosen.has(one))].slice(0, HOST_ADDRESSES_MAX);
}

function pathsOf(deps: BootstrapDeps, { paths }: BootstrapRequest): StoragePaths {
  const defaults = deps.inventory.paths();
  return {
    persistent: paths.persistent ?? defaults.persistent,
    ephemeral: paths.ephemeral ?? defaults.ephemeral,
    bigstore: paths.bigstore ?? defaults.bigstore,
  };
}

async function checkPaths(deps: BootstrapDeps, paths: StoragePaths, signal: AbortSignal): Promise<void> {
  for (const kind of ["persistent", "ephemeral", "bigstore"] as const) {
    const path = paths[kind];
    if (path === null) continue;
    await within((deps.checkFolder ?? checkPath)(path), {
      clock: deps.clock,
      ms: PATH_MS_MAX,
      signal,
      late: () =>
        new AppError("path_error", { path, cause: `gave no answer within ${PATH_MS_MAX / 1000} s` }),
    });
  }
}

/** Makes the folder if need be, and writes, syncs and removes a file in it. */
async function checkPath(path: string): Promise<void> {
  try {
    await makeFolder(path, FOLDER_MODE);
    const probe = join(path, `.muster-${randomUUID()}`);
    try {
      await using file = await open(probe, "wx", 0o600);
      await file.writeFile("muster was here to see whether it can write\n");
      await file.sync();
    } finally {
      await rm(probe, { force: true });
    }
  } catch (error) {
    throw new AppError("path_error", { path, cause: causeOf(error) });
  }
  const { bavail, bsize } = await statfs(path);
  if (bavail * bsize < FREE_BYTES_MIN) {
    const cause = `has ${bavail * bsize} bytes free; at least ${FREE_BYTES_MIN} are needed`;
    throw new AppError("path_error", { path, cause });
  }
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // `EACCES: permission denied, mkdir '/x/y'`: the path is told beside it, and the system call helps nobody.
  return error.message.replace(/, \w+ '.*$/s, "");
}
