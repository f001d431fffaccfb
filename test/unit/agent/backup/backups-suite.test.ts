import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll } from "vitest";

import { BackupFolder } from "#agent/backup/folder.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { backupsSuite } from "#test/suites/backups.ts";
import { FakeBackups } from "#test/unit/agent/bootstrap/fake-host.ts";

const base = mkdtempSync(join(tmpdir(), "muster-backups-"));
afterAll(() => rmSync(base, { recursive: true }));
let folders = 0;

backupsSuite("BackupFolder", () => {
  folders += 1;
  const persistent = join(base, String(folders));
  mkdirSync(persistent);
  const inventory = { paths: () => ({ persistent, ephemeral: base, bigstore: null }) };
  const deps = { inventory, clock: new SystemClock(), log: new RecordingLog() };
  return new BackupFolder(deps, { host: "host-1", softwareVersion: "1.2.3" });
});
backupsSuite("FakeBackups", () => new FakeBackups());
