import { HostInventory } from "#agent/inventory/collect.ts";
import { inventorySuite } from "#test/suites/inventory.ts";
import { seedFacts } from "#test/support/fake-api.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeInventory } from "#test/support/fake-inventory.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { RecordedMachine, USUAL_FILES } from "./tree.ts";

const SLOW = { model: null, physicalCores: null, sockets: null, virtualization: null };

/** Shorter than the period after which everything is collected anyway. Milliseconds. */
const SOON_MS = 5000;

inventorySuite("HostInventory", async () => {
  const machine = await RecordedMachine.of(USUAL_FILES);
  const clock = new FakeClock();
  const deps = { clock, log: new RecordingLog(), machine, slow: () => Promise.resolve(SLOW) };
  const paths = { persistent: "/data/p", ephemeral: "/data/e", bigstore: null };
  const inventory = new HostInventory(deps, { paths });
  await inventory.start();
  await clock.until(() => inventory.current().stale.length === 0);
  return {
    inventory,
    setMemoryFree: (bytes) =>
      machine.write({ "/proc/meminfo": `MemTotal: 1000 kB\nMemAvailable: ${bytes / 1024} kB\n` }),
    until: (condition) => clock.until(condition, SOON_MS),
    [Symbol.asyncDispose]: async () => {
      inventory.close();
      await machine[Symbol.asyncDispose]();
    },
  };
});

inventorySuite("FakeInventory", async () => {
  const inventory = new FakeInventory(seedFacts());
  return {
    inventory,
    setMemoryFree: async (memory_free) => {
      const { facts } = inventory;
      inventory.facts = { ...facts, live: { ...facts.live, memory_free } };
    },
    until: (condition) => new FakeClock().until(condition),
    [Symbol.asyncDispose]: async () => undefined,
  };
});
