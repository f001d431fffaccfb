import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeHost, hostAddress, request } from "./fake-host.ts";
import { FakeStrangers } from "./fake-strangers.ts";
import { memberOf, preflight } from "#agent/bootstrap/preflight.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import { isKind } from "#shared/errors/app-error.ts";

const CREATE = request({ clusterName: "my.cluster" });
const never = new AbortController().signal;
let dir: string;
let host: FakeHost;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-preflight-"));
  host = new FakeHost({ peer: "12D3KooWHost", strangers: new FakeStrangers(), dir });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** The facts of the path_error that this request meets. */
async function pathErrorOf(body: BootstrapRequest): Promise<{ path: string; cause: string }> {
  const error: unknown = await preflight(host.deps, body, never).catch((thrown: unknown) => thrown);
  if (!isKind(error, "path_error")) throw new Error(`no path_error: ${String(error)}`);
  return error.facts;
}

describe("storage folders", () => {
  test("are made when they are missing, private to the agent, and left empty", async () => {
    const persistent = join(dir, "a/b/c");
    const { chosen } = await preflight(host.deps, { ...CREATE, paths: { persistent } }, never);
    expect(chosen).toEqual({ paths: { ...host.paths, persistent } });
    expect((await stat(persistent)).mode & 0o007).toBe(0);
    expect(await readdir(persistent)).toEqual([]);
    expect(await readdir(host.paths.ephemeral)).toEqual([]);
  });

  test("that are there already keep what is in them", async () => {
    await writeFile(join(dir, "kept"), "data");
    await preflight(host.deps, { ...CREATE, paths: { persistent: dir } }, never);
    expect(await readdir(dir)).toContain("kept");
  });

  test("without a choice the configured ones are tested, and none is recorded", async () => {
    expect((await preflight(host.deps, CREATE, never)).chosen).toEqual({});
    expect((await stat(host.paths.persistent)).isDirectory()).toBe(true);
  });

  test("a file in the way", async () => {
    const path = join(dir, "file");
    await writeFile(path, "");
    expect(await pathErrorOf({ ...CREATE, paths: { ephemeral: path } })).toEqual({
      path,
      cause: "EEXIST: file already exists",
    });
    const below = join(path, "below");
    expect((await pathErrorOf({ ...CREATE, paths: { bigstore: below } })).cause).toBe(
      "ENOTDIR: not a directory",
    );
  });

  test("a filesystem that takes no files", async () => {
    const { path, cause } = await pathErrorOf({ ...CREATE, paths: { persistent: "/proc/muster" } });
    expect(path).toBe("/proc/muster");
    expect(cause).toMatch(/^E[A-Z]+: [a-z ,]+$/);
  });

  test.skipIf(process.getuid?.() === 0)("a folder that the agent may not write to", async () => {
    await chmod(dir, 0o500);
    expect((await pathErrorOf({ ...CREATE, paths: { persistent: dir } })).cause).toBe(
      "EACCES: permission denied",
    );
    await chmod(dir, 0o700);
  });

  test("a filesystem that hangs is given up", async () => {
    const asked = preflight(host.deps, CREATE, never);
    host.clock.advanceSync(5000); // Before any file call can have come back.
    await expect(asked).rejects.toThrow("gave no answer within 5 s");
  });
});

describe("this host as a member", () => {
  const of = (identity: BootstrapRequest["identity"]) => memberOf(host.deps, { ...CREATE, identity });

  test("has what the request says, the rest by itself", () => {
    host.addresses = [hostAddress("10.0.0.1"), hostAddress("2001:db8::1", { private: false })];
    const asked = {
      name: "db-1",
      rackId: "rack-1",
      addr: "2001:0DB8:0::1",
      externalAddrs: ["3.4.5.6", "::ffff:3.4.5.6"],
    };
    expect(of(asked)).toMatchObject({
      peer: "12D3KooWHost",
      uuid: "uuid-of-12D3KooWHost",
      name: "db-1",
      rack_id: "rack-1",
      addr: "2001:db8::1",
      external_addrs: ["3.4.5.6"],
    });
    expect(of({ externalAddrs: [] })).toMatchObject({ name: "host-oWHost", rack_id: null, addr: "10.0.0.1" });
  });

  test("tells the mesh address on its chosen address first", () => {
    host.addresses = [hostAddress("172.17.0.1", { bridge: true }), hostAddress("10.0.0.1")];
    host.listening.splice(
      0,
      1,
      "/ip4/172.17.0.1/tcp/9444",
      "/ip4/10.0.0.1/tcp/9444",
      "/ip6/fd00::1/tcp/9444",
    );
    expect(of({ externalAddrs: [] }).mesh_addrs).toEqual([
      "/ip4/10.0.0.1/tcp/9444",
      "/ip4/172.17.0.1/tcp/9444",
      "/ip6/fd00::1/tcp/9444",
    ]);
  });

  test("may be on a loopback address when its mesh listens there", () => {
    host.listening.splice(0, 1, "/ip4/127.0.0.2/tcp/9444");
    expect(of({ externalAddrs: [], addr: "127.0.0.2" }).addr).toBe("127.0.0.2");
    expect(of({ externalAddrs: [] }).addr).toBe("127.0.0.2");
    expect(() => of({ externalAddrs: [], addr: "127.0.0.3" })).toThrow(/no address of this host/);
  });

  test.each(["1", "10.1", "0x7f.0.0.1", "eth0", "10.0.0.1/24", "::1::"])("%j is no address", (addr) => {
    expect(() => of({ externalAddrs: [], addr })).toThrow(`node.identity.addr: ${addr} is no IP address`);
    expect(() => of({ externalAddrs: [addr] })).toThrow(
      `node.identity.external_addr: ${addr} is no IP address`,
    );
  });
});
