import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { expect, test } from "vitest";

import { nodeComplaint } from "#agent/check-node.js";
import { ROOT } from "#test/tidy/files.ts";

/** The machine's own Node, if it is too old for the agent: what somebody gets who types `node` outside npm. */
const MACHINE_NODE = "/usr/bin/node";
const version = spawnSync(MACHINE_NODE, ["--version"], { encoding: "utf8" }).stdout?.trim().slice(1) ?? "";
const isOld = version !== "" && nodeComplaint(version) !== null;

test.skipIf(!isOld)(
  "an old Node says one sentence and ends (skipped where the machine's Node is new or absent)",
  () => {
    for (const verb of ["dev", "agent"]) {
      const run = spawnSync(MACHINE_NODE, [join(ROOT, "agent/muster.js"), verb], { encoding: "utf8" });
      expect(run.status).toBe(1);
      expect(run.stdout).toBe("");
      expect(run.stderr).toBe(`${nodeComplaint(version)}\n`);
      expect(run.stderr).toContain("npm run agent");
    }
  },
);

test.each<[string, boolean]>([
  ["12.22.0", false],
  ["20.20.2", false],
  ["23.11.0", false],
  ["24.11.1", false],
  ["24.12.0", true],
  ["24.21.0", true],
  ["25.0.0", true],
])("Node %s is new enough: %s", (given, enough) => {
  expect(nodeComplaint(given) === null).toBe(enough);
});
