import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";

import { Value } from "typebox/value";
import { expect, test } from "vitest";

import { SystemClock } from "#agent/clock/system-clock.ts";
import { HostInventory } from "#agent/inventory/collect.ts";
import { HostFacts } from "#shared/model/hardware.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

test("this machine, as the system's own tools see it", async () => {
  const dir = tmpdir();
  const paths = { persistent: dir, ephemeral: "/dev/shm/not-made-yet", bigstore: null };
  const inventory = new HostInventory(
    { log: new RecordingLog(), clock: new SystemClock() },
    { paths, probeDeadlineMs: 60_000 },
  );
  // However busy this machine is, every probe answers in the end; late ones count too.
  const settled = Promise.withResolvers<HostFacts>();
  const look = (facts: HostFacts): void => {
    if (facts.stale.length === 0) settled.resolve(facts);
  };
  inventory.onChange(look);
  await inventory.start();
  look(await inventory.refresh());
  const facts = await settled.promise;
  inventory.close();

  expect(Value.Errors(HostFacts, facts)).toEqual([]);
  expect(facts.stale).toEqual([]);
  const { cpu, os, memory_total: total } = facts.static;
  // nproc knows affinity but no quota.
  expect(cpu.cores).toBeLessThanOrEqual(Number(execFileSync("nproc", { encoding: "utf8" })));
  expect(cpu.logical_cores).toBeGreaterThanOrEqual(cpu.cores);
  const memTotal = Number(/^MemTotal:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;
  expect(total).toBeLessThanOrEqual(memTotal);
  expect(facts.live.memory_free).toBeGreaterThan(0);
  expect(facts.live.memory_free).toBeLessThanOrEqual(total);
  expect(os.hostname).toBe(execFileSync("uname", ["-n"], { encoding: "utf8" }).trim());
  expect(os.kernel).toBe(execFileSync("uname", ["-r"], { encoding: "utf8" }).trim());

  const columns = ["--output=size,target,source,fstype", "-B1", dir];
  const [size, target, source, type] = execFileSync("df", columns, { encoding: "utf8" })
    .trim()
    .split("\n")[1]!
    .trim()
    .split(/\s+/);
  expect(facts.live.storage[0]).toMatchObject({
    size: Number(size),
    mount_point: target,
    device: source,
    filesystem: type,
  });
  expect(facts.static.addresses.length).toBeGreaterThan(0);
});
