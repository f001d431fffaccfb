import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Shot } from "./load.ts";

const FIRST_PORT = 42_379;

/** Three members of etcd on loopback, as its documentation starts them; data on the same disk as the agents'. */
export class EtcdCluster implements AsyncDisposable {
  readonly #root: string;
  readonly #children: ChildProcess[];

  private constructor(root: string, children: ChildProcess[]) {
    this.#root = root;
    this.#children = children;
  }

  static async start(): Promise<EtcdCluster> {
    const root = await mkdtemp(join(tmpdir(), "muster-bench-etcd-"));
    const numbers = [0, 1, 2];
    const all = numbers.map((n) => `e${n}=${peerUrl(n)}`).join(",");
    const children = numbers.map((n) =>
      spawn(
        "etcd",
        [
          ["--name", `e${n}`],
          ["--data-dir", join(root, `e${n}`)],
          ["--listen-client-urls", clientUrl(n)],
          ["--advertise-client-urls", clientUrl(n)],
          ["--listen-peer-urls", peerUrl(n)],
          ["--initial-advertise-peer-urls", peerUrl(n)],
          ["--initial-cluster", all],
        ].flat(),
        { stdio: "ignore" },
      ),
    );
    const cluster = new EtcdCluster(root, children);
    for (let attempt = 0; ; attempt += 1) {
      const leader = await cluster.leaderUrl().catch(() => null);
      // Whoever answers then is another one, left over on the same ports.
      if (children.some(({ exitCode }) => exitCode !== null)) {
        await cluster[Symbol.asyncDispose]();
        throw new Error("a member of etcd has ended; is another one left over on its ports?");
      }
      if (leader !== null) return cluster;
      if (attempt > 200) throw new Error("etcd elects no leader");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Process ids of the three members. */
  get pids(): readonly number[] {
    return this.#children.map(({ pid }) => pid ?? Number.NaN);
  }

  async leaderUrl(): Promise<string> {
    for (const n of [0, 1, 2]) {
      const answer = await fetch(`${clientUrl(n)}/v3/maintenance/status`, { method: "POST", body: "{}" });
      const status = (await answer.json()) as { header?: { member_id?: string }; leader?: string };
      if (status.leader !== undefined && status.leader === status.header?.member_id) return clientUrl(n);
    }
    throw new Error("no member of etcd leads");
  }

  /** A put through gRPC, as etcd's own clients make it (etcdserverpb.KV/Put). */
  async put(key: string, value: string): Promise<Shot> {
    const message = Buffer.concat([field(1, key), field(2, value)]);
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(message.length, 1);
    return {
      url: `${await this.leaderUrl()}/etcdserverpb.KV/Put`,
      http1: false,
      headers: ["content-type: application/grpc", "te: trailers"],
      body: Buffer.concat([frame, message]),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        const ended = once(child, "exit");
        child.kill("SIGKILL");
        if (child.exitCode === null) await ended;
      }),
    );
    await rm(this.#root, { recursive: true, force: true });
  }
}

function clientUrl(n: number): string {
  return `http://127.0.0.1:${FIRST_PORT + n}`;
}

function peerUrl(n: number): string {
  return `http://127.0.0.1:${FIRST_PORT + 10 + n}`;
}

/** A length-delimited field of a protocol buffer; up to 127 bytes. */
function field(number: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length > 127) throw new Error("a longer field needs a longer length");
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}
