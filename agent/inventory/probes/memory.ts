import { memoryLimit } from "#agent/inventory/cgroup.ts";
import type { Machine } from "#agent/inventory/machine.ts";

/** Bytes this agent and what it starts may use, and how much of it is available now. */
export interface Memory {
  readonly total: number;
  readonly free: number;
}

/** /proc/meminfo. MemAvailable counts cache that can be dropped; kernels before 3.14 have MemFree only. */
export function parseMemInfo(text: string): Memory | null {
  const kib = (name: string): number | null => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
    return found === undefined ? null : Number(found) * 1024;
  };
  const total = kib("MemTotal");
  const free = kib("MemAvailable") ?? kib("MemFree");
  return total === null || free === null ? null : { total, free };
}

/** The machine's memory, or the control group's where that is less. */
export async function readMemory(machine: Machine): Promise<Memory> {
  const whole = parseMemInfo((await machine.text("/proc/meminfo")) ?? "");
  if (whole === null) throw new Error("/proc/meminfo cannot be read");
  const limit = await memoryLimit(machine);
  if (limit === null) return whole;
  return { total: Math.min(whole.total, limit.total), free: Math.min(whole.free, limit.free) };
}
