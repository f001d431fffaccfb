import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const BUNDLER = new URL("../../packaging/bundle.ts", import.meta.url).pathname;

/** The agent as it is installed, in a folder of its own where nothing of the sources can be found. */
export class Bundle implements AsyncDisposable {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async make(): Promise<Bundle> {
    const dir = await mkdtemp(join(tmpdir(), "muster-bundle-"));
    await promisify(execFile)(process.execPath, [BUNDLER, "--out", dir]);
    return new Bundle(dir);
  }

  /** The program that is one agent. */
  get main(): string {
    return join(this.dir, "main.js");
  }

  /** The command. */
  get muster(): string {
    return join(this.dir, "muster.js");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
