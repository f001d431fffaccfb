import { existsSync, realpathSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";

import { Value } from "typebox/value";
import { expect, test } from "vitest";

import { HostInventory } from "#agent/inventory/collect.ts";
import type { Space } from "#agent/inventory/machine.ts";
import type { StoragePaths } from "#agent/ports/inventory.ts";
import { HostFacts } from "#shared/model/hardware.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { never, RecordedMachine, USUAL_FILES } from "./tree.ts";

const PATHS: StoragePaths = { persistent: "/data/p", ephemeral: "/data/e", bigstore: null };
const SLOW = { model: "From afar", physicalCores: 6, sockets: 2, virtualization: "KVM" };

function inventoryOf(machine: RecordedMachine, paths = PATHS, slow = () => Promise.resolve(SLOW)) {
  const clock = new FakeClock();
  const log = new RecordingLog();
  return { clock, log, inventory: new HostInventory({ clock, log, machine, slow }, { paths }) };
}

test("all facts of a recorded machine, valid by the schema; the slow ones follow", async () => {
  await using machine = await RecordedMachine.of({
    ...USUAL_FILES,
    "/proc/cpuinfo": "processor\t: 0\n",
    "/sys/dev/block/254:0/queue/rotational": "1\n",
  });
  const { clock, inventory } = inventoryOf(machine);
  await inventory.start();
  expect(Value.Check(HostFacts, inventory.current())).toBe(true);
  expect(inventory.current().live).toMatchObject({
    memory_free: 600 * 1024,
    load: [0.5, 0.25, 0.1],
    uptime_s: 1234.56,
    storage: [
      {
        kind: "persistent",
        path: "/data/p",
        size: 1000,
        free: 400,
        filesystem: "ext4",
        device: "/dev/vda1",
        rotational: true,
      },
      { kind: "ephemeral", path: "/data/e" },
    ],
  });
  await clock.until(() => inventory.current().stale.length === 0);
  expect(inventory.current().static).toMatchObject({
    cpu: { model: "From afar", physical_cores: 6, sockets: 2 },
    os: { virtualization: "KVM" },
    memory_total: 1000 * 1024,
  });
  expect(Value.Check(HostFacts, inventory.current())).toBe(true);
  inventory.close();
  await clock.advance(1);
  expect(clock.timers).toBe(0);
});

test("live facts are collected every 10 s; listeners hear of news only, and every hour", async () => {
  await using machine = await RecordedMachine.of(USUAL_FILES);
  const { clock, inventory } = inventoryOf(machine);
  await inventory.start();
  await clock.until(() => inventory.current().stale.length === 0);
  const heard: HostFacts[] = [];
  inventory.onChange((facts) => heard.push(facts));
  const startedMs = clock.monotonicMs();

  await machine.write({ "/proc/uptime": "2000.00 1.00\n", "/proc/loadavg": "9.00 9.00 9.00 1/80 7\n" });
  await clock.until(() => inventory.current().live.uptime_s === 2000, 20_000);
  expect(inventory.current().live.load).toEqual([9, 9, 9]);
  expect(heard).toEqual([]);

  await machine.write({ "/proc/sys/kernel/hostname": "renamed\n" });
  await clock.until(() => heard.length === 1, 20_000);
  expect(heard[0]).toMatchObject({ static: { os: { hostname: "renamed" } }, live: { uptime_s: 2000 } });
  const toldMs = clock.monotonicMs();
  expect(toldMs - startedMs).toBeLessThan(40_000);

  await clock.until(() => heard.length === 2, 3_700_000, 1000);
  expect(clock.monotonicMs() - toldMs).toBeGreaterThanOrEqual(3_600_000);
  expect(clock.monotonicMs() - toldMs).toBeLessThan(3_640_000);
  inventory.close();
});

test("a probe that fails keeps its last good answer and is named as stale", async () => {
  await using machine = await RecordedMachine.of(USUAL_FILES);
  const { clock, inventory } = inventoryOf(machine);
  await inventory.start();
  await machine.write({ "/proc/meminfo": "gone wrong" });
  await clock.until(() => inventory.current().stale.includes("memory"), 20_000);
  expect(inventory.current().static.memory_total).toBe(1000 * 1024);
  await machine.write({ "/proc/meminfo": "MemTotal: 8 kB\nMemFree: 4 kB\n" });
  await clock.until(() => !inventory.current().stale.includes("memory"), 20_000);
  expect(inventory.current().static.memory_total).toBe(8 * 1024);
  inventory.close();
});

test("a hung mount delays nothing, is never asked twice, hides no other, and counts when it answers late", async () => {
  const mountinfo = `${USUAL_FILES["/proc/self/mountinfo"]}40 27 0:50 / /nfs rw - nfs4 server:/x rw\n`;
  await using machine = await RecordedMachine.of({ ...USUAL_FILES, "/proc/self/mountinfo": mountinfo });
  const hung = Promise.withResolvers<Space>();
  let asked = 0;
  machine.answers.space = (path) => {
    if (!path.startsWith("/nfs")) return Promise.resolve({ size: 7, free: 5 });
    asked += 1;
    return hung.promise;
  };
  const paths = { persistent: "/nfs/p", ephemeral: "/data/e", bigstore: "/nfs/b" };
  const { clock, inventory } = inventoryOf(machine, paths);
  const started = inventory.start();
  let ready = false;
  void started.then(() => (ready = true));
  await clock.until(() => ready, 1000);

  const sizes = (): unknown[] => inventory.current().live.storage.map(({ size }) => size);
  expect(sizes()).toEqual([null, 7, null]);
  expect(inventory.current().stale).toContain("storage");

  await clock.advance(35_000);
  expect(asked).toBe(1);
  expect(inventory.current().static.os.hostname).toBe("node-1");

  hung.resolve({ size: 99, free: 1 });
  await clock.until(() => !inventory.current().stale.includes("storage"), 20_000);
  expect(sizes()).toEqual([99, 7, 99]);
  inventory.close();
});

test("slow facts that never come are stale, and nothing waits for them", async () => {
  await using machine = await RecordedMachine.of(USUAL_FILES);
  const { clock, log, inventory } = inventoryOf(machine, PATHS, () => never());
  await inventory.start();
  await clock.until(() => log.matching("late").length > 0, 10_000);
  expect(inventory.current().stale).toEqual(["slow"]);
  const refreshed = inventory.refresh();
  await clock.advance(10);
  expect((await refreshed).static.cpu.model).toBe("Some CPU");
  inventory.close();
});

test("a folder that is not made yet is measured by the nearest one above; links are followed", async () => {
  await using machine = await RecordedMachine.of(USUAL_FILES);
  await mkdir(`${machine.root}/big`);
  await symlink(`${machine.root}/big`, `${machine.root}/link`);
  await machine.write({
    "/proc/self/mountinfo": `${USUAL_FILES["/proc/self/mountinfo"]}40 27 8:3 / ${machine.root}/big rw - xfs /dev/sdb3 rw\n`,
    "/sys/class/block/sdb/queue/rotational": "0",
    "/sys/class/block/sdb/sdb3/partition": "3",
  });
  await symlink("sdb/sdb3", `${machine.root}/sys/class/block/sdb3`);
  machine.answers.realPath = (path) =>
    existsSync(path) ? Promise.resolve(realpathSync(path)) : Promise.reject(new Error(`no ${path}`));
  const { clock, inventory } = inventoryOf(machine);
  await inventory.start();
  inventory.setPaths({ persistent: `${machine.root}/link/not/yet`, ephemeral: "/data/e", bigstore: null });
  expect(inventory.paths().persistent).toContain("/link/not/yet");
  await clock.until(() => inventory.current().live.storage[0]?.device === "/dev/sdb3", 1000);
  expect(inventory.current().live.storage[0]).toMatchObject({
    path: `${machine.root}/link/not/yet`,
    mount_point: `${machine.root}/big`,
    filesystem: "xfs",
    rotational: false,
  });
  inventory.close();
});
