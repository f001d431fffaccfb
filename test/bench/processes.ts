import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

// What the kernel knows of a process.

/** User and system time so far. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export function residentMegabytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) / 1024;
}

/** Bytes that each process has sent over TCP so far, on connections that are open now: payload, without headers. */
export function sentBytes(): ReadonlyMap<number, number> {
  const lines = execFileSync("ss", ["-tinHpO"], { encoding: "utf8", maxBuffer: 256 * 1024 * 1024 }).split(
    "\n",
  );
  const sent = new Map<number, number>();
  for (const line of lines) {
    const pid = Number(/pid=(\d+)/.exec(line)?.[1]);
    const bytes = Number(/bytes_sent:(\d+)/.exec(line)?.[1] ?? 0);
    if (!Number.isNaN(pid)) sent.set(pid, (sent.get(pid) ?? 0) + bytes);
  }
  return sent;
}
