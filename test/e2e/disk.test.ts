import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { readdir, rm, truncate, writeFile, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { leaderOf, TestFleet, untilVoters, type AgentProcess } from "#test/support/agents.ts";

// Agents whose data folders lie on small file systems of their own, which are filled and frozen.

/** Why these tests cannot run here; null when they can. Mounting needs root, and a kernel that lets root do it. */
const reason = whyNot();

function whyNot(): string | null {
  if (process.getuid?.() !== 0) return "needs root, to mount small file systems";
  const dir = mkdtempSync(join(tmpdir(), "muster-mount-"));
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", dir]);
  if (status === 0) execFileSync("umount", [dir]);
  rmSync(dir, { recursive: true });
  return status === 0 ? null : "this system does not let root mount a tmpfs";
}

let fleet: TestFleet;
let mounts: string[];

beforeEach(async () => {
  fleet = await TestFleet.create();
  mounts = [];
});

afterEach(async () => {
  await Promise.all(fleet.agents.map((agent) => agent.stop("SIGKILL")));
  for (const dir of mounts) execFileSync("umount", [dir]);
  await fleet[Symbol.asyncDispose]();
});

/** `prepare` mounts something on each data folder before its agent starts. */
async function formed(
  size: number,
  prepare: (agent: AgentProcess) => Promise<void>,
): Promise<AgentProcess[]> {
  const agents: AgentProcess[] = [];
  for (let i = 0; i < size; i += 1) {
    const agent = await fleet.add();
    mkdirSync(agent.dir);
    await prepare(agent);
    agents.push(agent);
  }
  await Promise.all(agents.map((agent) => agent.start()));
  const [first, ...others] = agents as [AgentProcess, ...AgentProcess[]];
  expect((await first.create()).status).toBe(200);
  await first.untilState("completed");
  for (const agent of others) {
    expect((await agent.join([first])).status).toBe(200);
    await agent.untilState("completed");
  }
  await untilVoters(agents, size);
  return agents;
}

function mount(args: readonly string[], dir: string): void {
  execFileSync("mount", [...args, dir]);
  mounts.push(dir);
}

/** Leaves not a byte. */
async function fill(agent: AgentProcess): Promise<void> {
  await using file = await open(join(agent.dir, "ballast"), "w");
  for (const size of [1024 * 1024, 64 * 1024, 4096, 1]) {
    const block = Buffer.alloc(size, 1);
    // A full disk writes a part of it first and only then fails.
    let error: unknown = null;
    while (error === null) {
      error = await file.write(block).then(
        () => null,
        (reason: unknown) => reason,
      );
    }
    expect(error).toMatchObject({ code: "ENOSPC" });
  }
}

const free = (agent: AgentProcess): Promise<void> => rm(join(agent.dir, "ballast"));

const zones = async (agent: AgentProcess): Promise<string[]> =>
  ((await agent.get("/api/v1/zone")).json.data as { name: string }[]).map(({ name }) => name);

const halted = async (agent: AgentProcess): Promise<string | null> =>
  (await agent.get("/muster/v1/status")).json.registry.halted as string | null;

/** Writes somewhere until the disk of this agent has failed. */
async function writeUntilHalted(
  writer: AgentProcess,
  victim: AgentProcess,
  written: string[],
): Promise<void> {
  let i = 0;
  await victim.until("consensus stops for want of room", async () => {
    const name = `${victim.name} ${(i += 1)}`;
    const { status } = await writer.post("/api/v1/zone", { name });
    if (status === 200) written.push(name);
    return (await halted(victim)) !== null;
  });
}

describe.skipIf(reason !== null)(
  `a data folder on a small disk${reason === null ? "" : ` (${reason})`}`,
  () => {
    test("full on one agent: writes refused there, the cluster goes on, and it takes part again; then full on all", async () => {
      const agents = await formed(3, async ({ dir }) =>
        mount(["-t", "tmpfs", "-o", "size=24m", "tmpfs"], dir),
      );
      const leader = await leaderOf(agents);
      const [victim, other] = agents.filter((agent) => agent !== leader) as [AgentProcess, AgentProcess];
      const written = ["before"];
      expect((await leader.post("/api/v1/zone", { name: "before" })).status).toBe(200);
      await victim.until("has the first zone", async () => (await zones(victim)).length === 1);

      await fill(victim);
      await writeUntilHalted(other, victim, written);
      expect(await halted(victim)).toMatch(/waits for its disk .*No space left on device/);
      const ready = await victim.call("/muster/v1/health/ready");
      expect(ready.status).toBe(503);
      expect(ready.json.reason).toContain("waits for its disk");
      const refused = await victim.post("/api/v1/zone", { name: "refused" });
      expect([refused.status, refused.json.error.message]).toEqual([503, "disk_full"]);
      expect(await zones(victim)).toContain("before");
      const age = async (): Promise<number> =>
        (await victim.get("/muster/v1/status")).json.registry.age_ms as number;
      const young = await age();
      await victim.until("its copy grows old", async () => (await age()) > young + 1000);
      expect((await other.post("/api/v1/zone", { name: "elsewhere" })).status).toBe(200);
      written.push("elsewhere");

      await free(victim);
      await victim.until("takes part again", async () => (await halted(victim)) === null);
      await victim.until("has caught up", async () => (await zones(victim)).includes("elsewhere"));
      expect((await victim.post("/api/v1/zone", { name: "here again" })).status).toBe(200);
      written.push("here again");

      for (const agent of agents) await fill(agent);
      for (const agent of agents) {
        await agent.until("writes are refused", async () => {
          const { status, json } = await agent.post("/api/v1/zone", { name: `full ${agent.name}` });
          return status === 503 && ["disk_full", "quorum_lost"].includes(String(json.error.message));
        });
        expect(await zones(agent)).toEqual(expect.arrayContaining(written));
      }
      for (const agent of agents) await free(agent);
      for (const agent of agents) {
        await agent.until("writes are taken again", async () => {
          const { status } = await agent.post("/api/v1/zone", { name: `after ${agent.name}` });
          return status === 200 || status === 409;
        });
      }
      for (const agent of agents) {
        await agent.until("all that was acknowledged is here", async () => {
          const there = await zones(agent);
          expect(new Set(there).size).toBe(there.length);
          return [...written, "after host-1", "after host-2", "after host-3"].every((name) =>
            there.includes(name),
          );
        });
      }
      // A restart finds what the stores that were opened anew have written.
      await victim.stop("SIGKILL");
      await victim.start();
      await victim.until("is back", async () => (await zones(victim)).includes("after host-3"));
      expect(victim.output).not.toContain("StoreDamaged");
    });

    test("frozen under the leader: another one leads; thawed, the old one follows", async () => {
      const agents = await formed(3, async ({ dir, name }) => {
        const image = join(fleet.root, `${name}.img`);
        await writeFile(image, "");
        await truncate(image, 64 * 1024 * 1024);
        execFileSync("mkfs.ext4", ["-q", "-F", image]);
        mount(["-o", "loop", image], dir);
        expect(await readdir(dir)).toContain("lost+found");
      });
      const frozen = await leaderOf(agents);
      const rest = agents.filter((agent) => agent !== frozen);
      execFileSync("fsfreeze", ["-f", frozen.dir]);
      let thawed = false;
      const thaw = (): void => {
        if (!thawed) execFileSync("fsfreeze", ["-u", frozen.dir]);
        thawed = true;
      };
      try {
        // Nobody writes anything: the canary alone must notice.
        for (const agent of rest) {
          await agent.until("another one leads", async () => {
            const { leader } = (await agent.get("/muster/v1/status")).json.registry as {
              leader: string | null;
            };
            return leader !== null && leader !== frozen.name;
          });
        }
        await frozen.until("knows that it does not lead", async () => {
          return (await frozen.get("/muster/v1/status")).json.registry.role !== "leader";
        });
        expect((await (rest[0] as AgentProcess).post("/api/v1/zone", { name: "without it" })).status).toBe(
          200,
        );
        expect(frozen.output).toContain("the disk hangs; this agent leads no more");
      } finally {
        thaw();
      }
      await frozen.until("follows", async () => (await zones(frozen)).includes("without it"));
      expect(await halted(frozen)).toBeNull();
    });
  },
);
