import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
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

/** Removes everything that this process made, at once: for its end by whatever way it can still act upon. */
export function removeOwn(): void {
  remove((owner) => owner === process.pid);
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
