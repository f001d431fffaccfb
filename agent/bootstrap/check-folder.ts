import { randomUUID } from "node:crypto";
import { access, constants, lstat, open, rm, stat, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import { makeFolder } from "./make-folder.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** Less free space than this and not even a log fits. */
const FREE_BYTES_MIN = 16 * 1024 * 1024;
/** For the agent and its group alone. */
const FOLDER_MODE = 0o750;

/** Tests a storage folder. Resolves with the size of its file system in bytes, null when it is unknown; rejects with path_error. */
export type CheckFolder = (path: string) => Promise<{ readonly totalBytes: number | null }>;

/** Makes the folder if need be, writes, syncs and removes a file in it, and looks at what room there is. */
export const tryFolder: CheckFolder = (path) =>
  tellingWhere(path, async () => {
    await makeFolder(path, FOLDER_MODE);
    const probe = join(path, `.muster-${randomUUID()}`);
    try {
      await using file = await open(probe, "wx", 0o600);
      await file.writeFile("muster was here to see whether it can write\n");
      await file.sync();
    } finally {
      await rm(probe, { force: true });
    }
    return roomIn(path);
  });

/** The same for a rehearsal: makes and writes nothing, but asks whether that could be done where it would be. */
export const lookAtFolder: CheckFolder = (path) =>
  tellingWhere(path, async () => {
    const there = await nearestFolder(resolve(path));
    await access(there, constants.W_OK | constants.X_OK);
    return roomIn(there);
  });

/** The folder itself or the nearest one above it that exists. */
async function nearestFolder(path: string): Promise<string> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) return path;
    throw new PathTrouble("ENOTDIR", `${path} is no folder`);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" || dirname(path) === path) throw error;
    const dangling = await lstat(path).catch(() => null);
    if (dangling !== null) throw new PathTrouble("ENOENT", `${path} is a link that leads nowhere`);
    return nearestFolder(dirname(path));
  }
}

async function roomIn(there: string): Promise<{ totalBytes: number }> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(there);
  if (blocks === 0) throw new PathTrouble("ENOENT", "nothing can be stored on its file system");
  if (bavail * bsize < FREE_BYTES_MIN) {
    const text = `${bavail * bsize} bytes are free on its file system, and at least ${FREE_BYTES_MIN} are needed`;
    throw new PathTrouble("ENOSPC", text);
  }
  if (files > 0 && ffree === 0)
    throw new PathTrouble("ENOSPC", "no more files can be made on its file system");
  return { totalBytes: blocks * bsize };
}

/** What the system would say if it were asked to do it. */
class PathTrouble extends Error {
  readonly code: string;

  constructor(code: string, text: string) {
    super(`${code}: ${text}`);
    this.code = code;
  }
}

async function tellingWhere<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const errno = errnoOf(error);
    const advice = ADVICE[errno ?? ""] ?? "choose another path";
    const facts = { path, cause: causeOf(error), ...(errno === null ? {} : { errno }) };
    throw new AppError("path_error", facts, `${path}: ${facts.cause}; ${advice}`);
  }
}

function errnoOf(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // `EACCES: permission denied, mkdir '/x/y'`: the path is told beside it, and the system call helps nobody.
  return error.message.replace(/, \w+ '.*$/s, "");
}

const OTHER_USER = "give it to the user that the agent runs as, or choose another path";
const MAKE_ROOM = "make room there, or choose another path";
const IN_THE_WAY = "a file is in the way: choose another path";

/** What an operator can do about it. */
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: OTHER_USER,
  EPERM: OTHER_USER,
  EROFS: "mount it for writing, or choose another path",
  ENOSPC: MAKE_ROOM,
  EDQUOT: MAKE_ROOM,
  EEXIST: IN_THE_WAY,
  ENOTDIR: IN_THE_WAY,
};
