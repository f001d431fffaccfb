import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeHost, FOUNDER, request } from "./fake-host.ts";
import { FakeStrangers } from "./fake-strangers.ts";
import { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { ErrorKind } from "#shared/errors/kinds.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";

const CREATE = request({ clusterName: "my.cluster" });
/** From what this host holds itself. */
const RECOVER = request({ credentials: { username: "", password: "" } });
const FULL = new AppError("path_error", { path: "/backups", cause: "ENOSPC: no space left on device" });
let dir: string;
let host: FakeHost;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-recovery-"));
  host = await lostMember();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A host that has created its cluster and knows no leader of it any more. */
async function lostMember(): Promise<FakeHost> {
  const member = new FakeHost({ peer: FOUNDER, strangers: new FakeStrangers(), dir });
  await member.driver.resume();
  await member.driver.start("create_cluster", CREATE);
  await member.settled();
  lead(member, false);
  member.runtime.steps.length = 0;
  member.states.length = 0;
  return member;
}

function lead(member: FakeHost, quorum: boolean): void {
  const { registry } = member.runtime;
  if (registry instanceof LocalRegistry) registry.quorum = quorum;
}

const ofKind = (kind: ErrorKind) => (error: unknown) => isKind(error, kind);

/** How the attempt at a recovery ends. */
async function recover(): Promise<BootstrapState> {
  await host.driver.start("recover_cluster", RECOVER);
  expect(host.driver.state.name).toBe("initiated");
  return host.settled();
}

/** The attempt waits before it replaces what the host holds, until the test lets it go on. */
function stickAt(stuck: "recover" | "copy", of = host) {
  const reached = Promise.withResolvers<void>();
  const { promise, resolve } = Promise.withResolvers<void>();
  of.runtime.before = (step) => {
    if (step !== stuck) return undefined;
    reached.resolve();
    return promise;
  };
  return { reached: reached.promise, goOn: () => resolve() };
}

const members = (): number => host.runtime.registry.state.members.size;

describe("a member whose cluster has no leader", () => {
  test("recovers it from what it holds, and forgets nothing before", async () => {
    expect(await recover()).toMatchObject({ name: "completed", action: "recover_cluster", attempt: 2 });
    expect(host.states).toEqual(["initiated", "running", "completed"]);
    expect(host.runtime.steps).not.toContain("forget");
    expect(host.disk.durable.cluster).toMatchObject({ incarnation: 2, uid: 1 });
    expect(host.driver.uid).toBe(1);
    expect(members()).toBe(1);
    expect(host.driver.steps.map(({ name, state }) => [name, state])).toEqual([
      ["preflight", "done"],
      ["survey", "done"],
      ["backup", "done"],
      ["write", "done"],
      ["start", "done"],
    ]);
    expect(await host.restart()).toMatchObject({ name: "completed", action: "recover_cluster" });
    expect(host.driver.steps).toHaveLength(5);
  });

  test("may do nothing else, and with a leader not even that", async () => {
    for (const action of ["create_cluster", "join_cluster"] as const) {
      await expect(host.driver.start(action, CREATE)).rejects.toSatisfy(ofKind("already_in_cluster"));
    }
    lead(host, true);
    await expect(host.driver.start("recover_cluster", RECOVER)).rejects.toSatisfy(
      ofKind("already_in_cluster"),
    );
    expect(host.runtime.steps).toEqual([]);
  });

  test("is the member it was when the recovery fails, says why, and may try again", async () => {
    host.backups.broken = FULL;
    const failed = await recover();
    expect(failed).toMatchObject({
      name: "completed",
      action: "create_cluster",
      attempt: 1,
      recovery: { attempt: 2, failure: { code: "path_error", details: { path: "/backups" } } },
    });
    expect(host.driver.steps.map(({ name, state }) => [name, state])).toEqual([
      ["preflight", "done"],
      ["survey", "done"],
      ["backup", "failed"],
    ]);
    expect(host.runtime.steps).not.toContain("forget");
    expect(host.disk.durable.cluster).toMatchObject({ incarnation: 1 });
    expect([host.driver.uid, members()]).toEqual([1, 1]);
    expect(await host.restart()).toEqual(failed);

    host.backups.broken = null;
    expect(await recover()).toMatchObject({ name: "completed", action: "recover_cluster", attempt: 3 });
  });

  test("stays a member when the agent stops in the middle", async () => {
    const stuck = stickAt("copy");
    await host.driver.start("recover_cluster", RECOVER);
    await stuck.reached;
    const closed = host.driver[Symbol.asyncDispose]();
    stuck.goOn();
    await closed;
    expect(host.disk.durable.bootstrap).toMatchObject({ name: "completed", recovery: { attempt: 2 } });
    expect(host.disk.durable.cluster).toMatchObject({ incarnation: 1 });
    expect(host.runtime.steps).not.toContain("forget");
    expect(host.runtime.steps).not.toContain("recover");
    expect(await host.restart()).toMatchObject({ name: "completed", action: "create_cluster" });
  });

  test("is stopped when it takes too long, and stays a member", async () => {
    const stuck = stickAt("copy");
    await host.driver.start("recover_cluster", RECOVER);
    await stuck.reached;
    await host.clock.advance(121_000);
    stuck.goOn();
    expect(await host.settled()).toMatchObject({
      name: "completed",
      recovery: { failure: { details: { message: expect.stringContaining("120 s") as string } } },
    });
    expect(host.runtime.steps).not.toContain("forget");
  });

  test("has recovered once that is on the disk, whatever stops it then", async () => {
    const write = host.runtime.recover.bind(host.runtime);
    host.runtime.recover = async (...args) => {
      await write(...args);
      void host.driver[Symbol.asyncDispose]();
      throw new Error("the log of the new incarnation could not be opened");
    };
    expect(await recover()).toMatchObject({ name: "completed", action: "recover_cluster" });
    expect(host.disk.durable.cluster).toMatchObject({ incarnation: 2 });
    expect(host.runtime.steps).not.toContain("forget");
  });

  test("has recovered even when nobody could tell at first what is on the disk", async () => {
    const { identity } = host.deps;
    const write = host.runtime.recover.bind(host.runtime);
    let unreadable = false;
    host.runtime.recover = async (...args) => {
      await write(...args);
      unreadable = true;
      throw new Error("EIO");
    };
    const cluster: typeof identity.cluster = async () => {
      if (!unreadable) return identity.cluster();
      unreadable = false;
      throw new Error("EIO");
    };
    const driver = new BootstrapDriver({ ...host.deps, identity: { ...identity, cluster } });
    await driver.resume();
    await driver.start("recover_cluster", RECOVER);
    await new Promise<void>((resolve) => {
      driver.onChange(({ name }) => {
        if (name === "completed") resolve();
      });
    });
    expect(driver.state).toMatchObject({ name: "completed", action: "recover_cluster" });
    expect([driver.uid, host.disk.durable.cluster?.incarnation]).toEqual([1, 2]);
    expect(host.log.matching("restart the agent if it does not lead")).toHaveLength(1);
  });

  test("that is removed meanwhile is out once the recovery has failed", async () => {
    const stuck = stickAt("copy");
    host.backups.broken = FULL;
    await host.driver.start("recover_cluster", RECOVER);
    await stuck.reached;
    const removed = host.driver.removed("fenced");
    stuck.goOn();
    await removed;
    expect(host.states).toEqual(["initiated", "running", "completed", "idle"]);
    expect(host.disk.durable.cluster).toBeNull();
  });

  test("that is removed meanwhile is in the new incarnation all the same", async () => {
    const stuck = stickAt("copy");
    await host.driver.start("recover_cluster", RECOVER);
    await stuck.reached;
    const removed = host.driver.removed("fenced");
    stuck.goOn();
    await removed;
    expect(host.driver.state).toMatchObject({ name: "completed", action: "recover_cluster" });
    expect(host.disk.durable.cluster).toMatchObject({ incarnation: 2 });
  });
});

test("killed at each write of a member's recovery, the next life is a member: of the old incarnation or of the new one", async () => {
  const incarnations = new Set<unknown>();
  for (let kill = 1; ; kill += 1) {
    host = await lostMember();
    const dead = await killedAt(kill, RECOVER);
    if (!dead) {
      expect(kill).toBeGreaterThan(4); // initiated, running, the recovered store, completed
      break;
    }
    expect(await host.restart()).toMatchObject({ name: "completed" });
    expect(host.runtime.steps).not.toContain("forget");
    expect(host.driver.uid).toBe(1);
    incarnations.add(host.disk.durable.cluster?.incarnation);
  }
  expect([...incarnations]).toEqual([1, 2]);
});

test("killed at each write of a recovery from a backup, the next life has all of it or nothing", async () => {
  const { path } = await host.backups.save(host.runtime.registry.state, identityOf(host));
  const { backups: kept } = host;
  const outcomes: unknown[] = [];
  for (let kill = 1; ; kill += 1) {
    host = new FakeHost({ peer: FOUNDER, strangers: new FakeStrangers(), dir });
    for (const [name, file] of kept.files) host.backups.files.set(name, file);
    await host.driver.resume();
    const dead = await killedAt(kill, { ...RECOVER, recoveryFilename: path });
    if (!dead) break;
    const { name } = await host.restart();
    expect(host.disk.durable.cluster === null).toBe(name !== "completed");
    outcomes.push(name);
  }
  expect(outcomes.at(-1)).toBe("completed");
  expect(new Set(outcomes)).toEqual(new Set(["idle", "error", "completed"]));
});

function identityOf({ disk }: FakeHost) {
  if (disk.durable.cluster === null) throw new Error("this host is in no cluster");
  return disk.durable.cluster;
}

/** Starts a recovery and ends the process at its nth write; false when it was over before that. */
async function killedAt(kill: number, body: typeof RECOVER): Promise<boolean> {
  const victim = host;
  let writes = 0;
  const dies = Promise.withResolvers<true>();
  victim.disk.beforeWrite = () => {
    writes += 1;
    if (writes < kill) return Promise.resolve();
    dies.resolve(true);
    return new Promise(() => undefined); // The process is gone: nothing after this happens.
  };
  const started = victim.driver.start("recover_cluster", body);
  const dead = await Promise.race([dies.promise, started.then(() => victim.settled()).then(() => false)]);
  victim.disk.beforeWrite = () => Promise.resolve();
  return dead;
}
