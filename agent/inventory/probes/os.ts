import type { Machine } from "#agent/inventory/machine.ts";
import type { LiveFacts, StaticFacts } from "#shared/model/hardware.ts";

/** An os-release file (freedesktop.org, os-release(5)): shell-like assignments, quoted or not. */
export function parseOsRelease(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^([A-Z0-9_]+)=(.*)$/.exec(line.trim());
    if (match === null) continue;
    const [, key, raw] = match as unknown as [string, string, string];
    const quoted = /^(["'])(.*)\1$/.exec(raw)?.[2];
    fields.set(key, (quoted ?? raw).replaceAll(/\\(.)/g, "$1"));
  }
  return fields;
}

/** Which system this is. `virtualization` is not known here; the slow facts add it. */
export async function readOs(machine: Machine): Promise<StaticFacts["os"]> {
  const release = parseOsRelease(
    (await machine.text("/etc/os-release")) ?? (await machine.text("/usr/lib/os-release")) ?? "",
  );
  const kernel = await machine.text("/proc/sys/kernel/osrelease");
  const hostname = await machine.text("/proc/sys/kernel/hostname");
  if (kernel === null || hostname === null) throw new Error("/proc/sys/kernel cannot be read");
  const name = release.get("ID") ?? null;
  return {
    version: release.get("PRETTY_NAME") ?? release.get("NAME") ?? "Linux",
    family: release.get("ID_LIKE")?.split(" ").includes("rhel") === true ? "rhel" : name,
    name,
    semantic_version: release.get("VERSION_ID") ?? null,
    kernel,
    hostname,
    virtualization: null,
  };
}

/** /proc/loadavg: `0.20 0.18 0.12 1/80 11206`. */
export function parseLoad(text: string): LiveFacts["load"] | null {
  const [one, five, fifteen] = text.split(" ", 3).map(Number);
  if (one === undefined || five === undefined || fifteen === undefined) return null;
  return [one, five, fifteen].every(Number.isFinite) ? [one, five, fifteen] : null;
}

/** Load averages and seconds since the system started. */
export async function readActivity(machine: Machine): Promise<Pick<LiveFacts, "load" | "uptime_s">> {
  const load = parseLoad((await machine.text("/proc/loadavg")) ?? "");
  const uptime = Number((await machine.text("/proc/uptime"))?.split(" ", 1)[0] ?? Number.NaN);
  if (load === null || !(uptime >= 0)) throw new Error("/proc/loadavg or /proc/uptime cannot be read");
  return { load, uptime_s: uptime };
}
