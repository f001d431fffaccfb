import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Shot } from "#test/bench/load.ts";

const SERVER = new URL("./bare-server.ts", import.meta.url).pathname;

/** Three bare processes (bare-server.ts), for one client at a time: what is between them and the agents is what agents do more. */
export class BareTrio implements AsyncDisposable {
  readonly #root: string;
  readonly #children: ChildProcess[] = [];
  #port = 0;

  private constructor(root: string) {
    this.#root = root;
  }

  static async start(): Promise<BareTrio> {
    const trio = new BareTrio(await mkdtemp(join(tmpdir(), "muster-bench-bare-")));
    const followers = [await trio.#add("follower"), await trio.#add("follower")];
    trio.#port = await trio.#add("leader", ...followers.map(String));
    return trio;
  }

  shot(body: Shot["body"]): Shot {
    return { url: `http://127.0.0.1:${this.#port}/`, http1: true, headers: [":method: PUT"], body };
  }

  /** Resolves with the port. */
  async #add(...args: readonly string[]): Promise<number> {
    const child = fork(SERVER, [join(this.#root, String(this.#children.length)), ...args]);
    this.#children.push(child);
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    return port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    await rm(this.#root, { recursive: true, force: true });
  }
}
