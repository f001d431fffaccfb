import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openStores } from "#agent/store/open.ts";
import { storeSuite } from "#test/suites/store.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

storeSuite("Level", async () => {
  const dir = await mkdtemp(join(tmpdir(), "muster-store-"));
  return {
    open: () => openStores(join(dir, "store"), { log: new RecordingLog() }),
    remove: () => rm(dir, { recursive: true }),
  };
});

storeSuite("memory", () => {
  const disk = new MemoryDisk();
  return Promise.resolve({
    open: () => Promise.resolve(openMemoryStores(disk)),
    remove: () => Promise.resolve(),
  });
});
