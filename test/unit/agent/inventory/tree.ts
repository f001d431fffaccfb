import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { LinuxMachine, type Machine, type Space } from "#agent/inventory/machine.ts";

/**
 * A recorded machine: its files lie in a temporary folder, the rest is what the test says. It reads them at once, so that
 * virtual time cannot outrun the disk.
 */
export class RecordedMachine extends LinuxMachine implements AsyncDisposable {
  readonly root: string;
  answers: Partial<Pick<Machine, "space" | "realPath" | "run" | "addresses" | "cores" | "architecture">>;

  private constructor(root: string, answers: RecordedMachine["answers"]) {
    super(root);
    this.root = root;
    this.answers = answers;
  }

  static async of(
    files: Readonly<Record<string, string>>,
    answers: RecordedMachine["answers"] = {},
  ): Promise<RecordedMachine> {
    const machine = new RecordedMachine(await mkdtemp(join(tmpdir(), "muster-tree-")), answers);
    await machine.write(files);
    return machine;
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      const file = `${this.root}${path}`;
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
    }
  }

  override text(path: string): Promise<string | null> {
    const file = `${this.root}${path}`;
    return Promise.resolve(existsSync(file) ? readFileSync(file, "utf8").trimEnd() : null);
  }

  override names(path: string): Promise<readonly string[]> {
    const folder = `${this.root}${path}`;
    return Promise.resolve(existsSync(folder) ? readdirSync(folder) : []);
  }

  override exists(path: string): Promise<boolean> {
    return Promise.resolve(existsSync(`${this.root}${path}`));
  }

  override space(path: string): Promise<Space> {
    return this.answers.space?.(path) ?? Promise.resolve({ size: 1000, free: 400 });
  }

  override realPath(path: string): Promise<string> {
    return this.answers.realPath?.(path) ?? Promise.resolve(path);
  }

  override run(file: string, args: readonly string[], deadlineMs: number): Promise<string | null> {
    return this.answers.run?.(file, args, deadlineMs) ?? Promise.resolve(null);
  }

  override addresses(): ReturnType<Machine["addresses"]> {
    return this.answers.addresses?.() ?? {};
  }

  override cores(): number {
    return this.answers.cores?.() ?? 8;
  }

  override architecture(): string {
    return this.answers.architecture?.() ?? "x86_64";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Enough of a machine for every probe to succeed. */
export const USUAL_FILES = {
  "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU\nphysical id\t: 0\ncore id\t\t: 0\n",
  "/proc/meminfo": "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\n",
  "/proc/loadavg": "0.50 0.25 0.10 1/80 11206\n",
  "/proc/uptime": "1234.56 2000.00\n",
  "/proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
  "/proc/sys/kernel/hostname": "node-1\n",
  "/proc/self/cgroup": "0::/\n",
  "/proc/self/mountinfo": "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n",
  "/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
} as const;

/** A promise that nobody ever settles, as a call into a dead network mount. */
export function never<T>(): Promise<T> {
  return Promise.withResolvers<T>().promise;
}
