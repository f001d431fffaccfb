import { describe, expect, test } from "vitest";

import { LinuxMachine } from "#agent/inventory/machine.ts";
import { readCpu } from "#agent/inventory/probes/cpu.ts";
import { readMemory } from "#agent/inventory/probes/memory.ts";
import { hostAddresses, readNetwork } from "#agent/inventory/probes/network.ts";
import { readOs } from "#agent/inventory/probes/os.ts";
import { TimeSync } from "#agent/inventory/probes/time-sync.ts";
import { RecordedMachine, USUAL_FILES } from "./tree.ts";

const ip = (address: string, cidr: string) => ({
  address,
  cidr,
  netmask: "",
  family: "IPv4" as const,
  mac: "02:00:00:00:00:01",
  internal: false,
});

test("a file tree: text without its last newline, names, and nulls for what is missing or no file", async () => {
  await using recorded = await RecordedMachine.of({ "/proc/x/a": "one\ntwo\n", "/proc/x/b": "" });
  const machine = new LinuxMachine(recorded.root);
  expect(await machine.text("/proc/x/a")).toBe("one\ntwo");
  expect(await machine.text("/proc/x")).toBeNull();
  expect(await machine.text("/proc/none")).toBeNull();
  expect((await machine.names("/proc/x")).toSorted()).toEqual(["a", "b"]);
  expect(await machine.names("/proc/none")).toEqual([]);
  expect(await machine.exists("/proc/x/b")).toBe(true);
  expect(await machine.exists("/proc/none")).toBe(false);
  expect(await machine.run("muster-no-such-tool", [], 1000)).toBeNull();
  expect(await machine.run("sleep", ["60"], 20)).toBeNull();
});

describe("cpu", () => {
  test.each([
    ["no quota", {}, 8],
    ["v2 quota of 1.5 cores is two", { "/sys/fs/cgroup/a/cpu.max": "150000 100000\n" }, 2],
    [
      "a quota above binds too",
      { "/sys/fs/cgroup/a/cpu.max": "max 100000", "/sys/fs/cgroup/cpu.max": "300000 100000" },
      3,
    ],
    ["a quota beyond the cores", { "/sys/fs/cgroup/a/cpu.max": "9900000 100000" }, 8],
  ])("v2: %s", async (_, files, cores) => {
    await using machine = await RecordedMachine.of({
      ...USUAL_FILES,
      "/proc/self/cgroup": "0::/a\n",
      ...files,
    });
    expect((await readCpu(machine)).cores).toBe(cores);
  });

  test("v1 quota, NUMA nodes, and logical cores that affinity hides", async () => {
    await using machine = await RecordedMachine.of(
      {
        ...USUAL_FILES,
        "/proc/self/cgroup": "3:cpu,cpuacct:/box\n",
        "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "50000\n",
        "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "/sys/devices/system/node/node0/x": "",
        "/sys/devices/system/node/node1/x": "",
        "/sys/devices/system/node/online": "0-1",
      },
      { cores: () => 4 },
    );
    expect(await readCpu(machine)).toMatchObject({
      cores: 1,
      logical_cores: 1,
      numa_nodes: 2,
      model: "Some CPU",
    });
  });
});

describe("memory", () => {
  const KIB = 1024;
  test.each([
    ["no limit", {}, [1000 * KIB, 600 * KIB]],
    ["v2: max", { "/sys/fs/cgroup/a/memory.max": "max\n" }, [1000 * KIB, 600 * KIB]],
    [
      "v2: a limit; cache that can be dropped is free",
      {
        "/sys/fs/cgroup/a/memory.max": `${200 * KIB}\n`,
        "/sys/fs/cgroup/a/memory.current": `${150 * KIB}\n`,
        "/sys/fs/cgroup/a/memory.stat": `anon 5\ninactive_file ${20 * KIB}\n`,
      },
      [200 * KIB, 70 * KIB],
    ],
    [
      "v2: the parent's limit is the tighter one",
      {
        "/sys/fs/cgroup/a/memory.max": `${500 * KIB}\n`,
        "/sys/fs/cgroup/a/memory.current": "0\n",
        "/sys/fs/cgroup/memory.max": `${300 * KIB}\n`,
        "/sys/fs/cgroup/memory.current": `${290 * KIB}\n`,
      },
      [300 * KIB, 10 * KIB],
    ],
    [
      "a limit above what the machine has",
      { "/sys/fs/cgroup/a/memory.max": "99999999999" },
      [1000 * KIB, 600 * KIB],
    ],
  ])("%s", async (_, files, [total, free]) => {
    await using machine = await RecordedMachine.of({
      ...USUAL_FILES,
      "/proc/self/cgroup": "0::/a\n",
      ...files,
    });
    expect(await readMemory(machine)).toEqual({ total, free });
  });

  test("v1: limit, and the number that means none", async () => {
    await using machine = await RecordedMachine.of({
      ...USUAL_FILES,
      "/proc/self/cgroup": "4:memory:/box\n0::/\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
      "/sys/fs/cgroup/memory/box/memory.limit_in_bytes": `${400 * KIB}`,
      "/sys/fs/cgroup/memory/box/memory.usage_in_bytes": `${100 * KIB}`,
      "/sys/fs/cgroup/memory/box/memory.stat": `total_inactive_file ${50 * KIB}`,
    });
    expect(await readMemory(machine)).toEqual({ total: 400 * KIB, free: 350 * KIB });
  });

  test("rejects without meminfo, so that the last good answer stays", async () => {
    await using machine = await RecordedMachine.of({});
    await expect(readMemory(machine)).rejects.toThrow("meminfo");
  });
});

describe("addresses", () => {
  const none = new Map();
  const texts = (found: Parameters<typeof hostAddresses>[0]): unknown[] =>
    hostAddresses(found, none).map(({ address, private: is }) => [address, is]);

  test("second addresses stay; link-local and loopback go", () => {
    const found = {
      lo: [ip("127.0.0.1", "127.0.0.1/8"), ip("127.0.0.2", "127.0.0.2/8"), ip("::1", "::1/128")],
      eth0: [
        ip("203.0.113.9", "203.0.113.9/24"),
        ip("10.0.0.9", "10.0.0.9/8"),
        ip("169.254.1.1", "169.254.1.1/16"),
      ],
      eth1: [ip("fe80::1%eth1", "fe80::1/64")],
    };
    expect(texts(found)).toEqual([
      ["10.0.0.9", true],
      ["203.0.113.9", false],
    ]);
  });

  test("loopback when there is nothing else", () => {
    expect(texts({ lo: [ip("127.0.0.2", "127.0.0.2/8")], eth0: [ip("fe80::1", "fe80::1/64")] })).toEqual([
      ["127.0.0.2", false],
    ]);
  });

  test.each([
    ["10.255.0.1", true],
    ["172.16.0.1", true],
    ["172.32.0.1", false],
    ["192.168.1.1", true],
    ["100.64.0.1", false],
    ["8.8.8.8", false],
    ["fd12:3456::1", true],
    ["fc00::1", true],
    ["2001:db8::1", false],
    ["2a00::1", false],
  ])("%s is private: %s", (address, expected) => {
    expect(texts({ eth0: [ip(address, `${address}/32`)] })).toEqual([[address, expected]]);
  });

  test("IPv6 is written as RFC 5952 says; aliases belong to their device", () => {
    const found = { "eth0:1": [ip("2001:0DB8:0:0:0:0:0:00a1", "2001:db8::a1/56")] };
    expect(hostAddresses(found, none)).toMatchObject([
      { address: "2001:db8::a1", format: "ipv6", prefix_length: 56, if_name: "eth0" },
    ]);
  });

  test("speed, MAC and bridges from /sys; unknown speeds are null", async () => {
    await using machine = await RecordedMachine.of(
      {
        "/sys/class/net/eth0/speed": "10000\n",
        "/sys/class/net/eth0/address": "02:AA:00:00:00:07\n",
        "/sys/class/net/br0/speed": "-1\n",
        "/sys/class/net/br0/address": "00:00:00:00:00:00\n",
        "/sys/class/net/br0/bridge/bridge_id": "8000",
      },
      { addresses: () => ({ eth0: [ip("10.0.0.1", "10.0.0.1/24")], br0: [ip("10.1.0.1", "10.1.0.1/24")] }) },
    );
    const { addresses, bridges } = await readNetwork(machine);
    expect(bridges).toEqual(["br0"]);
    expect(addresses).toMatchObject([
      { if_name: "br0", bridge: true, speed_mbps: null, mac: "02:00:00:00:00:01" },
      { if_name: "eth0", bridge: false, speed_mbps: 10_000, mac: "02:aa:00:00:00:07", prefix_length: 24 },
    ]);
  });
});

test("os: the version as people write it; a rebuild of RHEL is of its family", async () => {
  await using machine = await RecordedMachine.of(USUAL_FILES);
  expect(await readOs(machine)).toMatchObject({
    version: "Debian GNU/Linux 12 (bookworm)",
    family: "debian",
    name: "debian",
    semantic_version: "12",
    kernel: "6.1.0-13-amd64",
    hostname: "node-1",
  });
  await machine.write({
    "/etc/os-release": 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n',
  });
  expect(await readOs(machine)).toMatchObject({ version: "Rocky Linux", family: "rhel", name: "rocky" });
});

describe("clock", () => {
  test("timesyncd's file is proof enough", async () => {
    await using machine = await RecordedMachine.of({ "/run/systemd/timesync/synchronized": "" });
    expect(await new TimeSync(machine, () => 0).read()).toEqual({
      synchronized: true,
      source: "systemd-timesyncd",
    });
  });

  test("else timedatectl is asked, at most once a minute; unknown without it", async () => {
    let asked = 0;
    let nowMs = 0;
    let answer: string | null = "NTPSynchronized=no\n";
    const run = (): Promise<string | null> => {
      asked += 1;
      return Promise.resolve(answer);
    };
    await using machine = await RecordedMachine.of({ "/run/chrony/chronyd.pid": "1" }, { run });
    const time = new TimeSync(machine, () => nowMs);
    expect(await time.read()).toEqual({ synchronized: false, source: "chrony" });
    nowMs = 59_000;
    await time.read();
    expect(asked).toBe(1);
    nowMs = 61_000;
    answer = null;
    expect(await time.read()).toEqual({ synchronized: null, source: "chrony" });
    expect(asked).toBe(2);
  });
});
