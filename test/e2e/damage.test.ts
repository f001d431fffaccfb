import { cp, open, readdir, readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { TestFleet, untilVoters, type AgentProcess } from "#test/support/agents.ts";

// A member whose data folder was damaged while it was down. It must not come back as somebody else, nor with less than it
// promised: it says one sentence and ends.

let fleet: TestFleet;
let agent: AgentProcess;
let whole: string;
let peer: string;

beforeAll(async () => {
  fleet = await TestFleet.create();
  [agent] = (await fleet.formed(1)) as [AgentProcess];
  for (let i = 1; i <= 20; i += 1) {
    expect((await agent.post("/api/v1/zone", { name: `zone ${i}` })).status).toBe(200);
  }
  peer = ((await agent.get("/muster/v1/members")).json.members as { peer: string }[])[0]?.peer ?? "";
  expect(peer).toMatch(/^12D3KooW/);
  await agent.stop("SIGKILL");
  whole = join(fleet.root, "whole");
  await cp(agent.dir, whole, { recursive: true, filter: (path) => !path.endsWith(".sock") });
});

afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

async function restore(): Promise<void> {
  await rm(agent.dir, { recursive: true });
  await cp(whole, agent.dir, { recursive: true });
}

const key = (): string => join(agent.dir, "peer-key.json");
const store = (name: string): string => join(agent.dir, "store", name);

test.each([
  ["without its key", () => unlink(key()), () => `missing, but this data folder belongs to peer ${peer}`],
  [
    "with another agent's key",
    async () => {
      const stranger = await fleet.add();
      await stranger.start();
      await stranger.stop();
      await rename(join(stranger.dir, "peer-key.json"), key());
    },
    () => `but this data folder belongs to peer ${peer}`,
  ],
  [
    "with a key file of garbage",
    () => writeFile(key(), "garbage"),
    () => "or move the whole data folder away and join anew",
  ],
  ["without CURRENT", () => unlink(store("CURRENT")), () => "has lost its file CURRENT"],
  [
    "with a byte flipped in the database's own log",
    async () => {
      const name = (await readdir(store(""))).find((file) => file.endsWith(".log")) ?? "";
      const bytes = await readFile(store(name));
      const middle = Math.floor(bytes.length / 2);
      bytes[middle] = (bytes[middle] ?? 0) ^ 1;
      await writeFile(store(name), bytes);
    },
    () => "lost writes that were on disk",
  ],
])("a member %s refuses to start, in one sentence", async (_what, harm, sentence) => {
  await restore();
  await harm();
  const before = agent.output.length;
  await expect(agent.start()).rejects.toThrow("ended at start");
  const said = agent.output.slice(before);
  expect(said).toContain(sentence());
  expect(said).not.toMatch(/^ +at /m); // No stack.
});

test("a byte flipped while it runs ends its consensus within a minute; it says what to do and serves what it had", async () => {
  await restore();
  await agent.start();
  await untilVoters([agent], 1);
  expect((await agent.post("/api/v1/zone", { name: "zone 21" })).status).toBe(200);
  const status = async (): Promise<{ halted: string | null; role: string }> =>
    (await agent.get("/muster/v1/status")).json.registry as { halted: string | null; role: string };
  expect((await status()).halted).toBeNull();
  const name = (await readdir(store(""))).find((file) => file.endsWith(".log")) ?? "";
  const file = await open(store(name), "r+");
  try {
    // Another value each time: what the first reading meets counts as what was written.
    let value = 0;
    await agent.until("damage is found", async () => {
      await file.write(Buffer.from([(value += 1) & 255]), 0, 1, 100);
      return (await status()).halted !== null;
    });
  } finally {
    await file.close();
  }
  expect((await status()).halted).toMatch(
    /file \d+\.log of the database has changed.*join it to the cluster again/,
  );
  expect((await agent.get("/api/v1/zone/21")).json.data).toEqual([{ id: 21, name: "zone 21" }]);
  expect((await agent.post("/api/v1/zone", { name: "refused" })).status).toBe(503);
  await agent.stop("SIGKILL");
});

test("put back as it was, it is the member that it was", async () => {
  await restore();
  await agent.start();
  await untilVoters([agent], 1);
  expect((await agent.get("/api/v1/zone/20")).json.data).toEqual([{ id: 20, name: "zone 20" }]);
});
