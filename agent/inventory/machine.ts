import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { access, readdir, readFile, realpath, statfs } from "node:fs/promises";
import os from "node:os";

/** What one filesystem has. Bytes. */
export interface Space {
  readonly size: number;
  /** What an unprivileged process may still use (bavail). */
  readonly free: number;
}

/** The little that probes need of the machine they run on; a recorded tree stands in for it in tests. */
export interface Machine {
  /** A file of /proc, /sys, /etc or /run, without the last newline; null when it is missing or cannot be read. */
  text(path: string): Promise<string | null>;
  /** Names in a folder; none when it is missing. */
  names(path: string): Promise<readonly string[]>;
  exists(path: string): Promise<boolean>;
  /** May never answer: a dead network mount blocks it in the kernel. */
  space(path: string): Promise<Space>;
  /** May never answer, like `space`. Rejects when the path does not exist. */
  realPath(path: string): Promise<string>;
  /** Output of a command; null when it is missing, fails, or takes longer than the deadline. */
  run(file: string, args: readonly string[], deadlineMs: number): Promise<string | null>;
  addresses(): Readonly<Record<string, readonly os.NetworkInterfaceInfo[] | undefined>>;
  /** Logical cores under this process's affinity. */
  cores(): number;
  /** As `uname -m` says it. */
  architecture(): string;
}

/** Longest output of a helper command that is read. Bytes. */
const OUTPUT_BYTES_MAX = 64 * 1024;

/**
 * What the kernel answers from its memory, in microseconds: less than it takes to hand the question to another thread and back. Not
 * what a driver may first have to ask its device for, nor what lies on a disk.
 */
function isInMemory(path: string): boolean {
  return /^\/(proc|run|sys)\//.test(path) && !path.endsWith("/speed");
}

/** The machine itself, or a recorded file tree below `root`. */
export class LinuxMachine implements Machine {
  readonly #root: string;

  constructor(root = "") {
    this.#root = root;
  }

  async text(path: string): Promise<string | null> {
    try {
      const file = `${this.#root}${path}`;
      const text = isInMemory(path) ? readFileSync(file, "utf8") : await readFile(file, "utf8");
      return text.replace(/\n$/, "");
    } catch {
      return null; // Absent on this kernel, forbidden, or a device that has no such value (EINVAL).
    }
  }

  async names(path: string): Promise<readonly string[]> {
    try {
      const folder = `${this.#root}${path}`;
      return isInMemory(path) ? readdirSync(folder) : await readdir(folder);
    } catch {
      return [];
    }
  }

  async exists(path: string): Promise<boolean> {
    const file = `${this.#root}${path}`;
    if (isInMemory(path)) return existsSync(file);
    try {
      await access(file);
      return true;
    } catch {
      return false;
    }
  }

  async space(path: string): Promise<Space> {
    const found = await statfs(path);
    return { size: found.blocks * found.bsize, free: found.bavail * found.bsize };
  }

  realPath(path: string): Promise<string> {
    return realpath(path);
  }

  run(file: string, args: readonly string[], deadlineMs: number): Promise<string | null> {
    const options = { timeout: deadlineMs, killSignal: "SIGKILL", maxBuffer: OUTPUT_BYTES_MAX } as const;
    return new Promise((resolve) => {
      execFile(file, [...args], options, (error, output) => resolve(error === null ? output : null));
    });
  }

  addresses(): Readonly<Record<string, readonly os.NetworkInterfaceInfo[] | undefined>> {
    return os.networkInterfaces();
  }

  cores(): number {
    return os.availableParallelism();
  }

  architecture(): string {
    return os.machine();
  }
}
