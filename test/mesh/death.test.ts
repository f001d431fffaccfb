import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

import type { PeerAddresses } from "#agent/ports/transport.ts";
import { addressOf, Bed, CLUSTER, until } from "./bed.ts";

const CHILD = new URL("child.ts", import.meta.url).pathname;

class Child implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly address: PeerAddresses;

  private constructor(process: ChildProcess, address: PeerAddresses) {
    this.#process = process;
    this.address = address;
  }

  static async start(dir: string, listen: string): Promise<Child> {
    const process = fork(CHILD, [dir, listen], { execArgv: [] });
    const [address] = (await once(process, "message")) as [PeerAddresses];
    return new Child(process, address);
  }

  know(members: readonly PeerAddresses[]): void {
    this.#process.send([...members]);
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

test("a killed agent is missed at once, and found again when it is back, here or elsewhere", async () => {
  const dir = await mkdtemp(join(tmpdir(), "muster-mesh-"));
  await using bed = new Bed();
  const { mesh, events } = await bed.add();
  mesh.setCluster(CLUSTER);
  const connected = (count: number): Promise<void> => until(() => mesh.connected().length === count);
  {
    await using first = await Child.start(dir, "127.0.0.2:0");
    first.know([addressOf(mesh)]);
    mesh.setMembers([first.address]);
    await connected(1);
    const asked = mesh.request(first.address.peer, "control", "never", null, { timeoutMs: 60_000 });
    const failed = expect(asked).rejects.toMatchObject({ kind: "peer_timeout" });
    await first.kill();
    await connected(0);
    await failed;
    expect(events[1]).toMatchObject({ type: "down", peer: first.address.peer });
    // Back at its old place: we find it, it knows nobody's address.
    const [, , host, , port] = first.address.meshAddrs[0]?.split("/") ?? [];
    await using second = await Child.start(dir, `${host}:${port}`);
    expect(second.address.peer).toBe(first.address.peer);
    second.know([{ peer: mesh.self, meshAddrs: [] }]);
    await connected(1);
    await second.kill();
    await connected(0);
    // Back elsewhere: it finds us.
    await using third = await Child.start(dir, "127.0.0.3:0");
    third.know([addressOf(mesh)]);
    await connected(1);
  }
  // A second connection may have been on its way when the first one died: then there is one more up and down.
  expect(events.length).toBeGreaterThanOrEqual(5);
  for (const [i, { type }] of events.entries()) expect(type).toBe(i % 2 === 0 ? "up" : "down");
  await rm(dir, { recursive: true });
});
