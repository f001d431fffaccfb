import { Socket } from "node:net";
import { expect, test, vi } from "vitest";

import { Bed, unite, untilMeshed } from "./bed.ts";

const SOON = { timeoutMs: 20_000 } as const;

// Goal: what a message costs is its packets, so there is one of them; and streams whose window is seldom told never stall.
test("a small message is one packet, and nothing comes back for it", async () => {
  await using bed = new Bed();
  const [a, b] = [await bed.add(), await bed.add()];
  unite(bed.nodes);
  await untilMeshed(bed.nodes);
  b.mesh.onRequest("echo", async (_from, body) => body);
  await a.mesh.request(b.mesh.self, "control", "echo", 0, SOON); // Whatever the connection still had to say.
  const write = vi.spyOn(Socket.prototype, "write");
  try {
    for (let i = 0; i < 100; i += 1) await a.mesh.request(b.mesh.self, "control", "echo", i, SOON);
    expect(write.mock.calls.length).toBe(200);
  } finally {
    write.mockRestore();
  }
});

test.each(["control", "bulk"] as const)(
  "many windows' worth of messages of all sizes arrive whole and in order on the %s stream",
  async (stream) => {
    await using bed = new Bed();
    const [a, b] = [await bed.add(), await bed.add()];
    unite(bed.nodes);
    await untilMeshed(bed.nodes);
    const sizes = [1, 100, 65_000, 130_000, 262_144, 262_143, 3_000_000, 7, 1_000_000, 131_072];
    b.mesh.onRequest("size", async (_from, body) => (body as string).length);
    for (let round = 0; round < 3; round += 1) {
      const asked = sizes.map((size) => a.mesh.request(b.mesh.self, stream, "size", "x".repeat(size), SOON));
      await expect(Promise.all(asked)).resolves.toEqual(sizes);
    }
  },
);
