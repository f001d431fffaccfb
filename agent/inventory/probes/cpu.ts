import { cpuQuota } from "#agent/inventory/cgroup.ts";
import type { Machine } from "#agent/inventory/machine.ts";
import type { StaticFacts } from "#shared/model/hardware.ts";

/** What /proc/cpuinfo tells. On some architectures (arm64) it names neither model nor topology. */
export interface CpuInfo {
  readonly logical: number;
  readonly physical: number | null;
  readonly sockets: number | null;
  readonly model: string | null;
}

/** Counts the processors and the distinct (socket, core) pairs among them. */
export function parseCpuInfo(text: string): CpuInfo {
  let logical = 0;
  const sockets = new Set<string>();
  const cores = new Set<string>();
  let model: string | null = null;
  for (const block of text.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) fields.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    }
    if (!fields.has("processor")) continue;
    logical += 1;
    model ??= fields.get("model name") ?? null;
    const socket = fields.get("physical id");
    const core = fields.get("core id");
    if (socket === undefined || core === undefined) continue;
    sockets.add(socket);
    cores.add(`${socket}/${core}`);
  }
  const orNull = (count: number): number | null => (count === 0 ? null : count);
  return { logical, physical: orNull(cores.size), sockets: orNull(sockets.size), model };
}

/** Cores as this agent may use them: affinity first, then the CPU quota, rounded up to whole cores. */
export async function readCpu(machine: Machine): Promise<StaticFacts["cpu"]> {
  const info = parseCpuInfo((await machine.text("/proc/cpuinfo")) ?? "");
  const quota = await cpuQuota(machine);
  const nodes = (await machine.names("/sys/devices/system/node")).filter((name) => /^node\d+$/.test(name));
  const allowed = machine.cores();
  return {
    cores: Math.max(1, Math.min(allowed, Math.ceil(quota ?? allowed))),
    logical_cores: info.logical === 0 ? allowed : info.logical,
    physical_cores: info.physical,
    sockets: info.sockets,
    numa_nodes: nodes.length === 0 ? null : nodes.length,
    model: info.model,
    architecture: machine.architecture(),
  };
}
