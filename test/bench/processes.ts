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

/** Bytes sent so far on each TCP connection that is open now: payload, without headers. By process and the connection's ends. */
export function sentBytes(): ReadonlyMap<string, number> {
  const lines = execFileSync("ss", ["-tinHpO"], { encoding: "utf8", maxBuffer: 256 * 1024 * 1024 }).split(
    "\n",
  );
  const sent = new Map<string, number>();
  for (const line of lines) {
    const pid = /pid=(\d+)/.exec(line)?.[1];
    const [, , , from, to] = line.split(/\s+/);
    if (pid !== undefined) sent.set(`${pid} ${from} ${to}`, Number(/bytes_sent:(\d+)/.exec(line)?.[1] ?? 0));
  }
  return sent;
}

/** What a process has sent between two looks, on connections that were open at the second one. */
export function sentBetween(
  pid: number,
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): number {
  let bytes = 0;
  for (const [connection, sent] of after) {
    if (connection.startsWith(`${pid} `)) bytes += sent - (before.get(connection) ?? 0);
  }
  return bytes;
}
