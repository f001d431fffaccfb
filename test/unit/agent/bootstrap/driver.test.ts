import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeHost, FOUNDER, request } from "./fake-host.ts";
import { FakeStrangers } from "./fake-strangers.ts";
import { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import type { BootstrapState } from "#shared/bootstrap/machine.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { ErrorKind } from "#shared/errors/kinds.ts";
import { epochMs } from "#shared/lib/time.ts";
import type { LocalRegistry } from "#test/support/local-registry.ts";

const CREATE = request({ clusterName: "my.cluster" });
let dir: string;
let host: FakeHost;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-bootstrap-"));
  host = new FakeHost({ peer: FOUNDER, strangers: new FakeStrangers(), dir });
  await host.driver.resume();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const ofKind = (kind: ErrorKind) => (error: unknown) => isKind(error, kind);
const at = epochMs(1);

describe("creating a cluster", () => {
  test("ends completed, with the identity on disk and the caller as administrator", async () => {
    await host.driver.start("create_cluster", CREATE);
    expect(host.states).toEqual(["initiated"]);
    expect(await host.settled()).toMatchObject({ name: "completed", action: "create_cluster", attempt: 1 });
    expect(host.states).toEqual(["initiated", "running", "completed"]);
    expect(host.driver.uid).toBe(1);

    const { state } = host.runtime.registry as LocalRegistry;
    expect(state.cluster).toMatchObject({ name: "my.cluster", id: host.disk.durable.cluster?.clusterId });
    expect(state.members.get(FOUNDER)).toMatchObject({ uid: 1, status: "active", addr: "10.0.0.1" });
    expect(state.users.get("admin")?.role).toBe("admin");
    expect(host.disk.durable.bootstrap.name).toBe("completed");
  });

  test("tells its parts as they go, listeners too, and keeps them", async () => {
    const seen: string[] = [];
    host.driver.onChange(() => {
      const line = host.driver.steps.map(({ name, state }) => `${name} ${state}`).join(", ");
      if (seen.at(-1) !== line) seen.push(line);
    });
    await host.driver.start("create_cluster", CREATE);
    expect(host.driver.steps).toEqual([]);
    await host.settled();
    const done = ["preflight", "hash", "found", "commit"].map((name) => `${name} done`).join(", ");
    expect(seen).toContain("preflight done, hash running");
    expect(seen.at(-1)).toBe(done);
    expect(host.driver.steps).toMatchObject([{ start: host.clock.now(), end: host.clock.now() }, {}, {}, {}]);
    expect(host.disk.durable.bootstrap).toMatchObject({ steps: host.driver.steps });
    await host.restart();
    expect(host.driver.steps.map(({ name, state }) => `${name} ${state}`).join(", ")).toBe(done);
  });

  test("of a new attempt nothing of the last one is told", async () => {
    host.runtime.before = (step) => {
      if (step === "found") throw new Error("no");
    };
    await host.driver.start("create_cluster", CREATE);
    await host.settled();
    expect(host.driver.steps.at(-1)).toMatchObject({ name: "found", state: "failed" });
    host.runtime.before = () => undefined;
    const first: unknown[] = [];
    host.driver.onChange(() => void first.push(host.driver.steps));
    await host.driver.start("create_cluster", CREATE);
    expect(first[0]).toEqual([]);
    await host.settled();
    expect(host.driver.steps).toHaveLength(4);
  });

  test("is tried again as often as asked when it fails for what may pass", async () => {
    let fails = 2;
    host.runtime.before = (step) => {
      if (step !== "found" || fails === 0) return;
      fails -= 1;
      throw new AppError("disk_full", { host: "h", path: "/x", free_bytes: 0, needed_bytes: 1 });
    };
    await host.driver.start("create_cluster", { ...CREATE, maxRetries: 2 });
    for (const tries of [1, 2]) {
      await until(() => host.log.matching("trying again").length === tries);
      await host.clock.advance(1);
    }
    expect(await host.settled()).toMatchObject({ name: "completed" });
    expect(host.runtime.steps).toEqual(["forget", "forget", "forget", "found"]);
    expect(host.driver.steps.filter(({ name }) => name === "found")).toHaveLength(3);
  });

  test("`initiated` is on disk before the caller has its answer", async () => {
    const seen: string[] = [];
    host.disk.beforeWrite = async () => void seen.push(host.driver.state.name);
    await host.driver.start("create_cluster", CREATE);
    expect(host.disk.durable.bootstrap.name).toBe("initiated");
    expect(seen[0]).toBe("idle");
    await host.settled();
  });

  test("a second request is refused while it runs, and afterwards", async () => {
    await host.driver.start("create_cluster", CREATE);
    await expect(host.driver.start("create_cluster", CREATE)).rejects.toSatisfy(
      ofKind("bootstrap_in_progress"),
    );
    await host.settled();
    await expect(host.driver.start("create_cluster", CREATE)).rejects.toSatisfy(ofKind("already_in_cluster"));
  });

  test("of two requests at once one is taken", async () => {
    const both = await Promise.allSettled([
      host.driver.start("create_cluster", CREATE),
      host.driver.start("create_cluster", CREATE),
    ]);
    expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    await host.settled();
  });

  test("no password is on the disk or in the log", async () => {
    await host.driver.start("create_cluster", CREATE);
    await host.settled();
    expect(JSON.stringify([host.disk.durable, host.log.lines])).not.toContain("correct horse");
  });

  test("chosen storage folders are used, and again after a restart; without a choice the configured ones hold", async () => {
    const defaults = host.paths;
    await host.driver.start("create_cluster", { ...CREATE, paths: { persistent: join(dir, "mine") } });
    await host.settled();
    const chosen = { ...defaults, persistent: join(dir, "mine") };
    expect(host.paths).toEqual(chosen);
    host.paths = defaults;
    await host.restart();
    expect(host.paths).toEqual(chosen);
  });
});

describe("a request that cannot be right is refused at once and changes nothing", () => {
  test.each([
    ["a create without a name", "create_cluster", request()],
    ["a join without nodes", "join_cluster", request()],
    ["a node that is no address", "join_cluster", request({ nodes: ["https://10.0.0.1"] })],
    [
      "another host's address",
      "create_cluster",
      { ...CREATE, identity: { addr: "10.9.9.9", externalAddrs: [] } },
    ],
    ["no address at all", "create_cluster", { ...CREATE, identity: { addr: "eth0", externalAddrs: [] } }],
    ["an external address that is none", "create_cluster", { ...CREATE, identity: { externalAddrs: ["x"] } }],
    ["a recovery from nothing", "recover_cluster", CREATE],
  ] as const)("%s", async (_what, action, body) => {
    await expect(host.driver.start(action, body)).rejects.toSatisfy(ofKind("config_error"));
    expect(host.driver.state).toEqual({ name: "idle" });
    expect(host.states).toEqual([]);
  });

  test("naming the field and what would be right", async () => {
    const body = { ...CREATE, identity: { addr: "10.9.9.9", externalAddrs: [] } };
    await expect(host.driver.start("create_cluster", body)).rejects.toThrow(
      /node\.identity\.addr: .*10\.0\.0\.1/,
    );
  });
});

describe("a failure", () => {
  test("of a path ends in path_error, and a new request is taken", async () => {
    await writeFile(join(dir, "file"), "");
    await host.driver.start("create_cluster", { ...CREATE, paths: { persistent: join(dir, "file") } });
    const failed = await host.settled();
    expect(failed).toMatchObject({
      name: "error",
      failure: { code: "path_error", details: { path: join(dir, "file") } },
    });

    await host.driver.start("create_cluster", CREATE);
    expect(host.driver.state).toMatchObject({ name: "initiated", attempt: 2 });
    expect(await host.settled()).toMatchObject({ name: "completed", attempt: 2 });
  });

  test("nobody expected ends in internal_error with an incident, and its cause in the log alone", async () => {
    host.runtime.before = (step) => {
      if (step === "found") throw new Error("the disk said something odd");
    };
    await host.driver.start("create_cluster", CREATE);
    const failed = await host.settled();
    expect(failed).toMatchObject({
      failure: { code: "internal_error", details: { incident: expect.any(String) as string } },
    });
    expect(JSON.stringify(failed)).not.toContain("odd");
    const { details } = (failed as Extract<BootstrapState, { name: "error" }>).failure;
    expect(host.log.matching("nobody expected")).toMatchObject([
      { fields: { incident: details["incident"] } },
    ]);
    expect(details.message).toContain(String(details["incident"]));
    expect(host.runtime.steps).toEqual(["forget", "forget"]); // Before the attempt, and after it.
  });

  test("after the cluster was founded takes it back", async () => {
    host.runtime.found = async (cluster) => {
      await host.deps.identity.saveCluster(cluster);
      (host.runtime.registry as LocalRegistry).quorum = false;
    };
    await host.driver.start("create_cluster", CREATE);
    expect(await host.settled()).toMatchObject({ name: "error", failure: { code: "connect_error" } });
    expect(host.disk.durable.cluster).toBeNull();
    expect(host.driver.uid).toBeNull();
  });

  test("that cannot be taken back is taken back before the next attempt", async () => {
    let broken = true;
    host.runtime.before = (step) => {
      if (broken && step === "forget" && host.disk.seen.cluster !== null) throw new Error("not now");
    };
    const found = host.runtime.found.bind(host.runtime);
    host.runtime.found = async (cluster) => {
      await found(cluster);
      if (broken) host.runtime.registry.submit = () => Promise.reject(new Error("no commit"));
    };
    await host.driver.start("create_cluster", CREATE);
    expect(await host.settled()).toMatchObject({ name: "error" });
    expect(host.disk.durable.cluster).not.toBeNull();

    broken = false;
    await host.driver.start("create_cluster", CREATE);
    expect(await host.settled()).toMatchObject({ name: "completed" });
    expect(host.runtime.steps).toEqual(["forget", "found", "forget", "found"]);
  });
});

describe("time", () => {
  test("an attempt that takes too long is stopped and taken back", async () => {
    const stuck = stickAt("found");
    await host.driver.start("create_cluster", CREATE);
    await stuck.reached;
    await host.clock.advance(121_000);
    expect(host.driver.state.name).toBe("running"); // It has not unwound yet, so nothing else may start.
    await expect(host.driver.start("create_cluster", CREATE)).rejects.toSatisfy(
      ofKind("bootstrap_in_progress"),
    );
    stuck.goOn();
    expect(await host.settled()).toMatchObject({
      name: "error",
      failure: { details: { message: expect.stringContaining("120 s") as string } },
    });
    expect(host.disk.durable.cluster).toBeNull();
  });

  test("nothing ticks when nothing runs", async () => {
    await host.driver.start("create_cluster", CREATE);
    await host.settled();
    expect(host.clock.timers).toBe(0);
  });
});

describe("a restart", () => {
  const attempt = { action: "join_cluster", attempt: 7, startedAt: at } as const;
  const identity = { clusterId: "c", incarnation: 1, uid: 4, contacts: [] };
  const failure = { code: "access_denied", details: { message: "no" } } as const;

  test.each<[string, BootstrapState, boolean, string, readonly string[]]>([
    ["idle", { name: "idle" }, false, "idle", []],
    ["initiated", { name: "initiated", ...attempt }, false, "error", ["forget"]],
    ["running, nothing entered yet", { name: "running", ...attempt }, false, "error", ["forget"]],
    ["running, entered", { name: "running", ...attempt }, true, "error", ["forget"]],
    [
      "error, not yet taken back",
      { name: "error", ...attempt, failure, endedAt: at },
      true,
      "error",
      ["forget"],
    ],
    ["removed, not yet forgotten", { name: "idle", reason: "removed" }, true, "idle", ["forget"]],
    ["completed", { name: "completed", ...attempt, endedAt: at }, true, "completed", []],
    ["completed, but the record is gone", { name: "completed", ...attempt, endedAt: at }, false, "error", []],
  ])("%s", async (_what, state, entered, name, steps) => {
    await host.deps.store.save(state);
    if (entered) await host.deps.identity.saveCluster(identity);
    expect(await host.restart()).toMatchObject({ name });
    expect(host.runtime.steps).toEqual(steps);
    expect(host.driver.uid).toBe(name === "completed" ? 4 : null);
    expect(host.disk.durable.bootstrap.name).toBe(name);
  });

  test("in the middle says so, and a new request is taken", async () => {
    await host.deps.store.save({ name: "running", ...attempt });
    expect(await host.restart()).toMatchObject({
      failure: {
        code: "internal_error",
        details: { message: expect.stringContaining("restarted") as string },
      },
    });
    const { details } = (host.driver.state as Extract<BootstrapState, { name: "error" }>).failure;
    expect(host.log.matching("internal error")).toMatchObject([
      { fields: { incident: details["incident"] } },
    ]);
    expect(details["incident"]).toMatch(/^[0-9a-f-]{36}$/);
    await host.driver.start("create_cluster", CREATE);
    expect(await host.settled()).toMatchObject({ name: "completed", attempt: 8 });
  });
});

test("killed at each write of a create, the next life finds `error` or `completed` and can always go on", async () => {
  for (let kill = 1; ; kill += 1) {
    const victim = new FakeHost({ peer: FOUNDER, strangers: new FakeStrangers(), dir });
    await victim.driver.resume();
    let writes = 0;
    let dead = false;
    victim.disk.beforeWrite = () => {
      writes += 1;
      if (writes < kill) return Promise.resolve();
      dead = true;
      return new Promise(() => undefined); // The process is gone: nothing after this happens.
    };
    const started = victim.driver.start("create_cluster", CREATE);
    await Promise.race([started.then(() => victim.settled()), until(() => dead)]);
    if (!dead) {
      expect(kill).toBeGreaterThan(4); // initiated, running, identity, completed
      return;
    }
    victim.disk.beforeWrite = () => Promise.resolve();
    const { name } = await victim.restart();
    expect(["idle", "error"]).toContain(name);
    expect(victim.disk.durable.cluster).toBeNull();
    await victim.driver.start("create_cluster", CREATE);
    expect(await victim.settled()).toMatchObject({ name: "completed" });
  }
});

test("a host that was taken out of its cluster is idle again, says why, and may create another one under another peer id", async () => {
  await host.driver.start("create_cluster", CREATE);
  await host.settled();
  await host.driver.removed("removed by admin");
  expect(host.driver.state).toEqual({ name: "idle", reason: "removed by admin", retired: host.peer });
  expect(host.driver.uid).toBeNull();
  expect(host.disk.durable.cluster).toBeNull();
  // Under the peer id that it had, no cluster of its past would have it again.
  await expect(host.driver.start("create_cluster", CREATE)).rejects.toSatisfy(ofKind("overloaded"));
  expect(host.driver.state.name).toBe("idle");
  host.peer = "12D3KooWAnother";
  expect(await host.restart()).toMatchObject({ name: "idle", reason: "removed by admin" });
  await host.driver.start("create_cluster", CREATE);
  expect(await host.settled()).toMatchObject({ name: "completed", attempt: 1 });
});

describe("closing", () => {
  test("stops an attempt, which takes back what it did", async () => {
    const stuck = stickAt("found");
    await host.driver.start("create_cluster", CREATE);
    await stuck.reached;
    const closed = host.driver[Symbol.asyncDispose]();
    stuck.goOn();
    await closed;
    expect(host.disk.durable.bootstrap).toMatchObject({ name: "error", failure: { code: "internal_error" } });
    expect(host.disk.durable.cluster).toBeNull();
    await expect(host.driver.start("create_cluster", CREATE)).rejects.toSatisfy(ofKind("overloaded"));
  });

  test("without an attempt is nothing", async () => {
    await host.driver[Symbol.asyncDispose]();
    expect(host.driver.state).toEqual({ name: "idle" });
  });
});

describe("an outcome that the disk refuses", () => {
  let refuses = true;
  let driver: BootstrapDriver;

  beforeEach(async () => {
    refuses = true;
    const { store } = host.deps;
    const save: typeof store.save = (state) =>
      refuses && state.name === "completed" ? Promise.reject(new Error("EIO")) : store.save(state);
    driver = new BootstrapDriver({ ...host.deps, store: { ...store, save } });
    await driver.resume();
    await driver.start("create_cluster", CREATE);
    await until(() => host.log.matching("could not be saved").length > 0);
    expect(driver.state.name).toBe("running");
  });

  test("is saved as soon as the disk takes it", async () => {
    await host.clock.until(() => host.log.matching("could not be saved").length > 2, 10_000);
    refuses = false;
    await host.clock.until(() => driver.state.name !== "running", 2000);
    expect(driver.state).toMatchObject({ name: "completed", action: "create_cluster" });
    expect(host.disk.durable.bootstrap.name).toBe("completed");
    expect(host.clock.timers).toBe(0);
  });

  test("stays open when the agent ends before, and the next start settles it", async () => {
    await driver[Symbol.asyncDispose]();
    expect(driver.state.name).toBe("running");
    expect(await host.restart()).toMatchObject({ name: "error" });
    expect(host.disk.durable.cluster).toBeNull();
  });
});

/** The attempt waits at this step until the test lets it go on. */
function stickAt(stuck: "found" | "forget") {
  const reached = Promise.withResolvers<void>();
  const { promise, resolve } = Promise.withResolvers<void>();
  host.runtime.before = (step) => {
    if (step !== stuck) return undefined;
    reached.resolve();
    return promise;
  };
  return { reached: reached.promise, goOn: () => resolve() };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
