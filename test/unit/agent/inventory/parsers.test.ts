import { describe, expect, test } from "vitest";

import { levels, parseCgroups, parseCpuMax } from "#agent/inventory/cgroup.ts";
import { mountOf, parseMountInfo } from "#agent/inventory/mounts.ts";
import { parseCpuInfo } from "#agent/inventory/probes/cpu.ts";
import { parseMemInfo } from "#agent/inventory/probes/memory.ts";
import { parseLoad, parseOsRelease } from "#agent/inventory/probes/os.ts";
import { parseTimedatectl } from "#agent/inventory/probes/time-sync.ts";

describe("parseCpuInfo", () => {
  const x86 = (cpu: number, socket: number, core: number): string =>
    `processor\t: ${cpu}\nmodel name\t: AMD EPYC 7B13\nphysical id\t: ${socket}\ncore id\t\t: ${core}\n`;
  const twoSockets = [x86(0, 0, 0), x86(1, 0, 0), x86(2, 1, 0), x86(3, 1, 0)].join("\n");
  const arm =
    "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp\n\nprocessor\t: 1\nBogoMIPS\t: 50.00\n\nHardware\t: x\n";

  test.each([
    [
      "two sockets, hyper-threads",
      twoSockets,
      { logical: 4, physical: 2, sockets: 2, model: "AMD EPYC 7B13" },
    ],
    ["arm64: no topology, no name", arm, { logical: 2, physical: null, sockets: null, model: null }],
    ["nothing", "", { logical: 0, physical: null, sockets: null, model: null }],
  ])("%s", (_, text, expected) => {
    expect(parseCpuInfo(text)).toEqual(expected);
  });
});

test.each([
  ["cache counts as available", "MemTotal: 100 kB\nMemFree: 10 kB\nMemAvailable: 60 kB\n", [102_400, 61_440]],
  ["an old kernel without MemAvailable", "MemTotal: 100 kB\nMemFree: 10 kB\n", [102_400, 10_240]],
])("parseMemInfo: %s", (_, text, [total, free]) => {
  expect(parseMemInfo(text)).toEqual({ total, free });
});

test("parseMemInfo refuses what is not meminfo", () => {
  expect(parseMemInfo("nonsense")).toBeNull();
});

test("parseCgroups reads v2, v1 with joint controllers, and named hierarchies", () => {
  const { unified, v1 } = parseCgroups(
    "9:name=systemd:/\n4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/user.slice/x:y\n",
  );
  expect(unified).toBe("/user.slice/x:y");
  expect([...v1]).toEqual([
    ["name=systemd", "/"],
    ["memory", "/a/b"],
    ["cpu", "/c"],
    ["cpuacct", "/c"],
  ]);
});

test.each([
  ["/a/b", ["/a/b", "/a", ""]],
  ["/", [""]],
  ["/../..", [""]],
])("levels of %s", (path, expected) => {
  expect(levels(path)).toEqual(expected);
});

test.each([
  ["150000 100000", 1.5],
  ["max 100000", null],
  ["", null],
  ["0 100000", null],
])("parseCpuMax(%j)", (text, expected) => {
  expect(parseCpuMax(text)).toBe(expected);
});

test("parseMountInfo: any number of optional fields, octal escapes", () => {
  const mounts = parseMountInfo(
    [
      "27 1 8:1 / / rw shared:1 master:2 - ext4 /dev/sda1 rw",
      String.raw`36 27 0:30 / /mnt/two\040words rw - nfs4 server:/export\134x rw`,
      "a broken line",
    ].join("\n"),
  );
  expect(mounts).toEqual([
    { mountPoint: "/", device: "8:1", filesystem: "ext4", source: "/dev/sda1" },
    {
      mountPoint: "/mnt/two words",
      device: "0:30",
      filesystem: "nfs4",
      source: String.raw`server:/export\x`,
    },
  ]);
});

describe("mountOf", () => {
  const at = (mountPoint: string, source = mountPoint): string =>
    `1 1 0:1 / ${mountPoint} rw - ext4 ${source} rw`;
  const mounts = parseMountInfo(
    [at("/"), at("/var"), at("/var/lib"), at("/srv", "old"), at("/srv", "new")].join("\n"),
  );

  test.each([
    ["/var/lib/muster", "/var/lib"],
    ["/var/lib", "/var/lib"],
    ["/var/library", "/var"],
    ["/home", "/"],
    ["/srv/x", "new"],
  ])("%s lies on %s", (path, source) => {
    expect(mountOf(path, mounts)?.source).toBe(source);
  });

  test("no mounts known", () => {
    expect(mountOf("/x", [])).toBeNull();
  });
});

test("parseOsRelease unquotes", () => {
  const fields = parseOsRelease(
    `# comment\nNAME='Alpine Linux'\nPRETTY_NAME="A \\"B\\" C"\nID=alpine\nEMPTY=\n`,
  );
  expect(Object.fromEntries(fields)).toEqual({
    NAME: "Alpine Linux",
    PRETTY_NAME: 'A "B" C',
    ID: "alpine",
    EMPTY: "",
  });
});

test.each([
  ["0.20 0.18 0.12 1/80 11206", [0.2, 0.18, 0.12]],
  ["0.20 0.18", null],
  ["", null],
])("parseLoad(%j)", (text, expected) => {
  expect(parseLoad(text)).toEqual(expected);
});

test.each([
  ["NTPSynchronized=yes\n", true],
  ["NTPSynchronized=no\n", false],
  ["Failed to connect to bus", null],
])("parseTimedatectl(%j)", (text, expected) => {
  expect(parseTimedatectl(text)).toBe(expected);
});
