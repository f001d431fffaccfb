import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeHost, FOUNDER, request } from "./fake-host.ts";
import { FakeStrangers } from "./fake-strangers.ts";
import type { Contact } from "#agent/bootstrap/contact.ts";
import { rehearse } from "#agent/bootstrap/rehearse.ts";
import type { LocalRegistry } from "#test/support/local-registry.ts";

const CREATE = request({ clusterName: "my.cluster" });
const JOIN = request({ nodes: ["10.0.0.9"] });
const RECOVER = request({ credentials: { username: "", password: "" } });
const never = new AbortController().signal;
let dir: string;
let host: FakeHost;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-rehearse-"));
  host = new FakeHost({ peer: FOUNDER, strangers: new FakeStrangers(), dir });
  await host.driver.resume();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Nothing of this host has changed: not its disk, not its state, and nobody was told of anything. */
async function expectUntouched(): Promise<void> {
  expect(host.states).toEqual([]);
  expect(host.driver.steps).toEqual([]);
  expect(host.disk.durable.bootstrap).toEqual({ name: "idle" });
  expect(host.disk.durable.cluster).toBeNull();
  expect(host.clock.timers).toBe(0);
}

describe("a create", () => {
  test("that would succeed is fine, and leaves no folder behind", async () => {
    const body = { ...CREATE, paths: { persistent: join(dir, "a/b") } };
    expect(await host.driver.validate("create_cluster", body, never)).toEqual({ ok: true });
    expect(await readdir(dir)).toEqual([]);
    expect(host.runtime.steps).toEqual([]);
    await expectUntouched();
  });

  test("on a path that cannot be used tells so as the attempt would", async () => {
    const path = join(dir, "file");
    await writeFile(path, "");
    const body = { ...CREATE, paths: { persistent: join(path, "below") } };
    expect(await host.driver.validate("create_cluster", body, never)).toMatchObject({
      ok: false,
      failure: { code: "path_error", details: { path: join(path, "below"), errno: "ENOTDIR" } },
    });
    await expectUntouched();
  });
});

describe("a join", () => {
  test("at an address that does not answer tells so", async () => {
    expect(await host.driver.validate("join_cluster", JOIN, never)).toMatchObject({
      ok: false,
      failure: { code: "connect_error", details: { tried: [{ address: "10.0.0.9" }] } },
    });
    await expectUntouched();
  });

  test("is given up after a minute when nobody says anything, and at once when the caller hangs up", async () => {
    const silent: Contact = (_address, _port, signal) =>
      new Promise((_resolve, reject) => {
        if (signal.aborted) reject(signal.reason as Error);
        signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      });
    // Without real files, which would take longer than a clock that is hurried.
    const deps = { ...host.deps, contact: silent, checkFolder: () => Promise.resolve({ totalBytes: null }) };
    let over = false;
    const asked = rehearse(deps, "join_cluster", JOIN, never).finally(() => {
      over = true;
    });
    await host.clock.until(() => over, 61_000, 250);
    expect(await asked).toMatchObject({ ok: false, failure: { code: "connect_error" } });
    expect(host.clock.timers).toBe(0);

    const caller = new AbortController();
    const again = rehearse(deps, "join_cluster", JOIN, caller.signal);
    caller.abort(new Error("hung up"));
    await expect(again).rejects.toThrow("hung up");
    expect(host.clock.timers).toBe(0);
  });
});

test("a recovery tells what it would do, and does none of it", async () => {
  await host.driver.start("create_cluster", CREATE);
  await host.settled();
  (host.runtime.registry as LocalRegistry).quorum = false;
  const before = { state: host.driver.state, identity: host.disk.durable.cluster };
  host.runtime.steps.length = 0;
  expect(await host.driver.validate("recover_cluster", RECOVER, never)).toMatchObject({
    ok: true,
    recovery: { chosen: { source: "store" }, incarnation: 2, uid: 1, rejoin: [], unreachable: [] },
  });
  expect(host.runtime.steps).toEqual(["copy"]);
  expect(host.backups.files.size).toBe(0);
  expect({ state: host.driver.state, identity: host.disk.durable.cluster }).toEqual(before);
});

test("nobody expected it: the incident is found again in the log", async () => {
  const contact: Contact = () => Promise.reject(new Error("unused"));
  const checkFolder = (): Promise<never> => Promise.reject(new TypeError("a defect"));
  const answer = await rehearse({ ...host.deps, contact, checkFolder }, "create_cluster", CREATE, never);
  if (answer.ok) throw new Error("it should have failed");
  const { code, details } = answer.failure;
  expect(code).toBe("internal_error");
  expect(details.message).toContain(String(details["incident"]));
  expect(host.log.matching("nobody expected")).toMatchObject([{ fields: { incident: details["incident"] } }]);
});
