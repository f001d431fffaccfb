import type { Machine } from "./machine.ts";

// Limits of the control groups this process is in (kernel documentation: admin-guide/cgroup-v2 and cgroup-v1). A limit
// binds on every level above the process, so each level up to the root is read. A level that is hidden is passed over.

/** Where the process sits: v2's one path, and v1's path by controller. */
export interface Cgroups {
  readonly unified: string | null;
  readonly v1: ReadonlyMap<string, string>;
}

/** /proc/self/cgroup: `0::/user.slice` (v2) and `4:memory:/x` (v1). */
export function parseCgroups(text: string): Cgroups {
  let unified: string | null = null;
  const v1 = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^(\d+):([^:]*):(.*)$/.exec(line);
    if (match === null) continue;
    const [, id, controllers, path] = match as unknown as [string, string, string, string];
    if (id === "0" && controllers === "") unified = path;
    else for (const controller of controllers.split(",")) v1.set(controller, path);
  }
  return { unified, v1 };
}

/** `/a/b` → `/a/b`, `/a`, and the root as the empty text. */
export function levels(path: string): readonly string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  return parts.map((_, i) => `/${parts.slice(0, parts.length - i).join("/")}`).concat("");
}

/** Cores by the tightest CPU quota, as a fraction; null without one. */
export async function cpuQuota(machine: Machine): Promise<number | null> {
  const quotas: number[] = [];
  const cgroups = parseCgroups((await machine.text("/proc/self/cgroup")) ?? "");
  for (const folder of unifiedFolders(cgroups)) {
    const text = await machine.text(`${folder}/cpu.max`);
    const quota = text === null ? null : parseCpuMax(text);
    if (quota !== null) quotas.push(quota);
  }
  for (const folder of v1Folders(cgroups, "cpu")) {
    const quota = Number(await machine.text(`${folder}/cpu.cfs_quota_us`));
    const period = Number(await machine.text(`${folder}/cpu.cfs_period_us`));
    if (quota > 0 && period > 0) quotas.push(quota / period);
  }
  return quotas.length === 0 ? null : Math.min(...quotas);
}

/** `150000 100000` → 1.5; `max 100000` → null. */
export function parseCpuMax(text: string): number | null {
  const [quota, period] = text.split(/\s+/, 2).map(Number);
  return quota !== undefined && period !== undefined && quota > 0 && period > 0 ? quota / period : null;
}

export interface MemoryLimit {
  /** The tightest limit, bytes. */
  readonly total: number;
  /** Least room left on any level: limit − use, where cache that can be dropped does not count as use. Bytes. */
  readonly free: number;
}

/** What the control groups leave this process; null when no level has a limit. */
export async function memoryLimit(machine: Machine): Promise<MemoryLimit | null> {
  const cgroups = parseCgroups((await machine.text("/proc/self/cgroup")) ?? "");
  const found: MemoryLimit[] = [];
  const add = (limit: string | null, used: string | null, stat: string | null, cacheKey: string): void => {
    const total = Number(limit === null || limit === "max" ? Number.NaN : limit);
    if (!(total > 0) || total >= NO_LIMIT_BYTES) return;
    const cache = Number(new RegExp(`^${cacheKey} (\\d+)$`, "m").exec(stat ?? "")?.[1] ?? 0);
    found.push({ total, free: Math.max(0, Math.min(total, total - Number(used ?? 0) + cache)) });
  };
  for (const folder of unifiedFolders(cgroups)) {
    const names = ["memory.max", "memory.current", "memory.stat"];
    const [limit, used, stat] = await Promise.all(names.map((name) => machine.text(`${folder}/${name}`)));
    add(limit ?? null, used ?? null, stat ?? null, "inactive_file");
  }
  for (const folder of v1Folders(cgroups, "memory")) {
    const names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"];
    const [limit, used, stat] = await Promise.all(names.map((name) => machine.text(`${folder}/${name}`)));
    add(limit ?? null, used ?? null, stat ?? null, "total_inactive_file");
  }
  if (found.length === 0) return null;
  return {
    total: Math.min(...found.map(({ total }) => total)),
    free: Math.min(...found.map(({ free }) => free)),
  };
}

/** v1 says "no limit" with the largest page-aligned number; nothing real comes near. */
const NO_LIMIT_BYTES = 2 ** 60;

function unifiedFolders(cgroups: Cgroups): readonly string[] {
  if (cgroups.unified === null) return [];
  const mount = cgroups.v1.size === 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  return levels(cgroups.unified).map((level) => `${mount}${level}`);
}

function v1Folders(cgroups: Cgroups, controller: string): readonly string[] {
  const path = cgroups.v1.get(controller);
  return path === undefined ? [] : levels(path).map((level) => `/sys/fs/cgroup/${controller}${level}`);
}
