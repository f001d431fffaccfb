import { mkdtemp, readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeHost, hostAddress, request } from "./fake-host.ts";
import { FakeStrangers } from "./fake-strangers.ts";
import { makeFacts } from "#test/support/builders.ts";
import { fit, memberOf, preflight } from "#agent/bootstrap/preflight.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";

const CREATE = request({ clusterName: "my.cluster" });
const never = new AbortController().signal;
let dir: string;
let host: FakeHost;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "muster-preflight-"));
  host = new FakeHost({ peer: "12D3KooWHost", strangers: new FakeStrangers(), dir });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

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

  test("a filesystem that hangs is given up", async () => {
    const asked = preflight(host.deps, CREATE, never);
    host.clock.advanceSync(5000); // Before any file call can have come back.
    await expect(asked).rejects.toMatchObject({
      kind: "path_error",
      facts: { path: host.paths.persistent, errno: "ETIMEDOUT" },
    });
  });

  test("that cannot be used are told with path and errno, and what to do", async () => {
    const path = join(dir, "file");
    await writeFile(path, "");
    const asked = preflight(host.deps, { ...CREATE, paths: { bigstore: path } }, never);
    await expect(asked).rejects.toMatchObject({
      kind: "path_error",
      facts: { path, errno: "EEXIST", cause: "EEXIST: file already exists" },
      message: `${path}: EEXIST: file already exists; a file is in the way: choose another path`,
    });
  });

  test.each<[string, string, Partial<BootstrapRequest>]>([
    ["one folder for two purposes", "ephemeral_path", { paths: { persistent: "/x", ephemeral: "/x/" } }],
    ["the bigstore among the others", "bigstore_path", { paths: { ephemeral: "/x", bigstore: "/x/y/.." } }],
  ])("%s: refused at once", async (_what, field, more) => {
    const error = { kind: "config_error", facts: { field: `node.paths.${field}` } };
    await expect(preflight(host.deps, { ...CREATE, ...more }, never)).rejects.toMatchObject(error);
    await expect(host.driver.start("create_cluster", { ...CREATE, ...more })).rejects.toMatchObject(error);
    expect(await readdir(dir)).toEqual([]);
  });

  test("one of the configured folders counts, too", () => {
    const body = { ...CREATE, paths: { bigstore: host.paths.persistent } };
    expect(() => fit(host.deps, body)).toThrow("node.paths.bigstore_path: must not be the persistent path");
  });

  test("a bigstore that is enabled without a folder lies beside the persistent one", async () => {
    const persistent = join(dir, "persist");
    const body = { ...CREATE, paths: { persistent }, bigstore: { enabled: true } };
    const { chosen } = await preflight(host.deps, body, never);
    expect(chosen.paths?.bigstore).toBe(join(dir, "flash"));
    expect(await readdir(dir)).toContain("flash");
  });

  test("the size of the file system under the bigstore is the host's flash", async () => {
    const bigstore = join(dir, "flash");
    const { blocks, bsize } = await statfs(dir);
    const { member } = await preflight(host.deps, { ...CREATE, paths: { bigstore } }, never);
    expect(member.flash_bytes).toBe(blocks * bsize);
    expect((await preflight(host.deps, CREATE, never)).member).not.toHaveProperty("flash_bytes");
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

  test("keeps all that the request says, and leaves out what it does not say", () => {
    const body: BootstrapRequest = {
      ...CREATE,
      identity: { externalAddrs: [], secondRackId: "b", acceptServers: false, useInternalIpv6: false },
      limits: { maxListeners: 7, maxRedisServers: 0 },
      bigstore: { enabled: false, driver: "rocksdb" },
    };
    expect(memberOf({ ...host.deps, socketDirectory: "/run/muster" }, body)).toMatchObject({
      second_rack_id: "b",
      accept_servers: false,
      use_internal_ipv6: false,
      max_listeners: 7,
      max_redis_servers: 0,
      bigstore_enabled: false,
      bigstore_driver: "rocksdb",
      socket_directory: "/run/muster",
    });
    const needed = ["addr", "api_urls", "external_addrs", "memory_bytes", "mesh_addrs", "name", "peer"];
    expect(Object.keys(of({ externalAddrs: [] })).toSorted()).toEqual(
      [...needed, "rack_id", "software_version", "uuid"].toSorted(),
    );
  });

  test("tells its memory in whole bytes", () => {
    host.inventory.facts = makeFacts({
      static: { addresses: [hostAddress("10.0.0.1")], memory_total: 1024.5 },
    });
    expect(of({ externalAddrs: [] }).memory_bytes).toBe(1024);
  });

  test("with use_internal_ipv6 is known by an IPv6 address, or refused", () => {
    const wished = { externalAddrs: [], useInternalIpv6: true };
    expect(() => of(wished)).toThrow("node.identity.use_internal_ipv6: this host has no IPv6 address");
    host.addresses = [hostAddress("10.0.0.1"), hostAddress("fd00::7")];
    expect(of(wished).addr).toBe("fd00::7");
    expect(() => of({ ...wished, addr: "10.0.0.1" })).toThrow(
      "node.identity.addr: 10.0.0.1 is no IPv6 address of this host; it has fd00::7",
    );
  });
});
