import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, expect, test } from "vitest";

import { read, ROOT } from "#test/tidy/files.ts";

const dir = mkdtempSync(join(tmpdir(), "muster-units-"));
afterAll(() => rmSync(dir, { recursive: true }));

const unit = read("systemd/muster.service");
const EXEC_START = /^ExecStart=.*$/m;

/** What systemd-analyze says of a unit; the product is not installed here, so another program stands for it. */
function complaints(text: string): string {
  const path = join(dir, "muster.service");
  writeFileSync(path, text.replace(EXEC_START, "ExecStart=/bin/true agent"));
  const { stdout, stderr, status, error } = spawnSync("systemd-analyze", ["verify", "--man=no", path], {
    encoding: "utf8",
  });
  if (error !== undefined) throw error;
  // Of other units of this machine it may complain as well.
  const own = `${stdout}${stderr}`.split("\n").filter((line) => line.includes("muster"));
  return [...own, ...(status === 0 ? [] : [`exit code ${String(status)}`])].join("\n");
}

test("systemd finds nothing wrong with the unit", () => {
  expect(complaints(unit)).toBe("");
});

test("systemd would find something wrong", () => {
  expect(complaints(unit.replace("WatchdogSec=", "WatchdogSeconds="))).toContain("WatchdogSeconds");
});

test("the unit starts the agent, is notified by its children, and leaves it time to stop in order", () => {
  expect(unit).toMatch(/^ExecStart=\/usr\/bin\/muster agent$/m);
  expect(unit).toMatch(/^Type=notify$/m);
  expect(unit).toMatch(/^NotifyAccess=all$/m);
  const stopMs = Number(/STOP_MS_MAX = (\d+)/.exec(read("agent/main.ts"))?.[1]);
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]) * 1000).toBeGreaterThan(stopMs);
});

test("systemd-sysusers understands the user file", () => {
  const { stdout, stderr, status } = spawnSync(
    "systemd-sysusers",
    ["--dry-run", join(ROOT, "systemd/muster.sysusers")],
    { encoding: "utf8" },
  );
  expect(`${stdout}${stderr}`).toContain("muster");
  expect(status).toBe(0);
});
