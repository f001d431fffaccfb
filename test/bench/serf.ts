import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

import type { Mortals } from "#test/bench/deaths.ts";

const run = promisify(execFile);
const PORT = 37_946;
const RPC_PORT = 38_373;

/** Agents of Serf on 127.0.1.x with the profile for a LAN, which is its default. */
export class SerfCluster implements Mortals, AsyncDisposable {
  readonly who = "Serf, LAN defaults";
  readonly size: number;
  readonly #children: ChildProcess[] = [];
  readonly #listeners = new Set<(from: number, line: string) => void>();

  private constructor(size: number) {
    this.size = size;
  }

  static async start(size: number): Promise<SerfCluster> {
    const cluster = new SerfCluster(size);
    for (let n = 0; n < size; n += 1) cluster.#spawn(n);
    while (!(await cluster.whole())) await new Promise((resolve) => setTimeout(resolve, 200));
    return cluster;
  }

  hurt(n: number, signal: "SIGKILL" | "SIGSTOP"): void {
    this.#children[n]?.kill(signal);
  }

  async mend(n: number): Promise<void> {
    const child = this.#children[n];
    child?.kill("SIGCONT");
    if (child?.signalCode !== null || child.exitCode !== null) this.#spawn(n);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }

  onLine(listener: (from: number, line: string) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  deathIn(line: string): number | null {
    const name = /EventMemberFailed: n(\d+) /.exec(line)?.[1];
    return name === undefined ? null : Number(name);
  }

  async whole(): Promise<boolean> {
    for (let n = 0; n < this.size; n += 1) {
      const args = ["members", `-rpc-addr=127.0.0.1:${RPC_PORT + n}`, "-status=alive"];
      const { stdout } = await run("serf", args).catch(() => ({ stdout: "" }));
      if (stdout.trim().split("\n").length !== this.size) return false;
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill("SIGKILL");
        await ended;
      }),
    );
  }

  #spawn(n: number): void {
    const child = spawn(
      "serf",
      [
        "agent",
        `-node=n${n}`,
        `-bind=127.0.1.${n + 1}:${PORT}`,
        `-rpc-addr=127.0.0.1:${RPC_PORT + n}`,
        "-profile=lan",
        ...(n === 0 ? [] : [`-retry-join=127.0.1.1:${PORT}`, "-retry-interval=1s"]),
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    this.#children[n] = child;
    createInterface({ input: child.stdout }).on("line", (line) => {
      for (const listener of this.#listeners) listener(n, line);
    });
  }
}
