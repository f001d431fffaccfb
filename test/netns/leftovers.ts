import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { runNow } from "./commands.ts";

/** Namespaces and folders carry the id of the process that made them, so that it is known whose they are. */
export const PREFIX = "muster-netns-";

const OWNER = new RegExp(`^${PREFIX}(\\d+)-`);

/** Removes what dead runs left behind: killed with -9, or the machine's out-of-memory killer. */
export function sweep(): void {
  remove((owner) => !existsSync(`/proc/${owner}`));
}

/** Removes what the process with this id made. */
export function removeOf(pid: number): void {
  remove((owner) => owner === pid);
}

/**
 * Has everything that this process makes removed when it ends, however it ends: Ctrl-C reaches the test runner first, which
 * kills its workers. A process in a session of its own waits for the end of a pipe from this one.
 */
export function guardEnd(): void {
  const guard = new URL("guard.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [guard, String(process.pid)], {
    detached: true,
    stdio: ["pipe", "ignore", "inherit"],
  });
  child.unref();
  (child.stdin as Socket).unref();
}

function remove(isMeant: (owner: number) => boolean): void {
  const meant = (name: string): boolean => {
    const owner = OWNER.exec(name)?.[1];
    return owner !== undefined && isMeant(Number(owner));
  };
  const namespaces = runNow("ip", "netns", "list")
    .split("\n")
    .map((line) => line.split(" ")[0] ?? "")
    .filter(meant);
  for (const namespace of namespaces) {
    for (const pid of runNow("ip", "netns", "pids", namespace).split("\n").filter(Boolean)) {
      runNow("kill", "-KILL", pid);
    }
    runNow("ip", "netns", "delete", namespace);
  }
  for (const folder of readdirSync(tmpdir()).filter(meant)) {
    const path = join(tmpdir(), folder);
    for (const mount of mountsBelow(path)) runNow("umount", "--lazy", mount);
    rmSync(path, { recursive: true, force: true });
  }
}

function mountsBelow(path: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((mount) => mount.startsWith(`${path}/`));
}
