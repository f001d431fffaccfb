import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

// Goal: the import walls of docs/ARCHITECTURE.md hold because the linter objects, not because nobody has tried.
// Method: plant breaches in a copy of the house, run the real linter with the real configuration once, look for each.
// The lawful imports beside them show that a wall does not simply refuse everything.

const ROOT = new URL("../..", import.meta.url).pathname;

const BREACHES: readonly (readonly [file: string, imported: string])[] = [
  ["shared/lib/a.ts", "#shared/model/hardware.ts"],
  ["shared/lib/b.ts", "node:crypto"],
  ["shared/lib/c.ts", "typebox"],
  ["shared/errors/a.ts", "#shared/model/hardware.ts"],
  ["shared/consensus/a.ts", "#shared/model/hardware.ts"],
  ["shared/consensus/b.ts", "#shared/registry/command.ts"],
  ["shared/membership/a.ts", "#shared/errors/kinds.ts"],
  ["shared/model/a.ts", "#shared/registry/state.ts"],
  ["shared/registry/a.ts", "#shared/bootstrap/machine.ts"],
  ["shared/registry/b.ts", "#shared/consensus/messages.ts"],
  ["shared/jobs/a.ts", "#shared/placement/score.ts"],
  ["shared/placement/a.ts", "#shared/policy/scaling.ts"],
  ["shared/policy/a.ts", "#shared/workload/plan.ts"],
  ["shared/workload/a.ts", "#shared/bootstrap/machine.ts"],
  ["shared/bootstrap/a.ts", "#agent/ports/clock.ts"],
  ["shared/contract/a.ts", "node:net"],
  ["agent/ports/a.ts", "#agent/store/open.ts"],
  ["agent/ports/b.ts", "node:fs"],
  ["agent/store/a.ts", "#agent/mesh/wire.ts"],
  ["agent/store/b.ts", "libp2p"],
  ["agent/mesh/a.ts", "#agent/store/open.ts"],
  ["agent/mesh/b.ts", "level"],
  ["agent/inventory/a.ts", "#agent/membership/driver.ts"],
  ["agent/log/a.ts", "#agent/config/read.ts"],
  ["agent/metrics/a.ts", "#agent/registry/replica.ts"],
  ["agent/systemd/a.ts", "#agent/log/logger.ts"],
  ["agent/credentials/a.ts", "#agent/api/wire.ts"],
  ["agent/backup/a.ts", "#agent/store/open.ts"],
  ["agent/clock/a.ts", "#agent/config/read.ts"],
  ["agent/bootstrap/a.ts", "#agent/mesh/node.ts"],
  ["agent/bootstrap/b.ts", "#agent/store/open.ts"],
  ["agent/membership/a.ts", "#agent/mesh/node.ts"],
  ["agent/registry/a.ts", "#agent/store/open.ts"],
  ["agent/registry/b.ts", "level"],
  ["agent/jobs/a.ts", "#agent/registry/submit.ts"],
  ["agent/workload/a.ts", "#agent/jobs/runner.ts"],
  ["agent/config/a.ts", "#agent/log/logger.ts"],
  ["agent/api/a.ts", "#agent/registry/replica.ts"],
  ["agent/api/auth/a.ts", "#agent/credentials/scrypt.ts"],
  ["agent/api/native/a.ts", "#agent/store/open.ts"],
  ["agent/api/dialects/redis/a.ts", "#agent/api/dialects/orchestrator/index.ts"],
  ["agent/api/dialects/redis/b.ts", "#agent/registry/replica.ts"],
  ["agent/api/dialects/redis/c.ts", "node:fs"],
  ["agent/api/dialects/orchestrator/a.ts", "#agent/api/dialects/redis/index.ts"],
  ["agent/api/dialects/ganeti/a.ts", "#agent/api/server.ts"],
  ["agent/api/dialects/cinder/a.ts", "#agent/api/dialects/senlin/index.ts"],
  ["agent/api/dialects/senlin/a.ts", "#agent/ports/registry.ts"],
  ["agent/cli/a.ts", "#agent/config/read.ts"],
  ["agent/cli/b.ts", "#shared/registry/state.ts"],
  // Nobody but main.ts knows the composition root, and nobody climbs out of a folder by `..`.
  ["agent/registry/c.ts", "#agent/agent.ts"],
  ["agent/store/c.ts", "../mesh/wire.ts"],
  ["agent/explain-failure.ts", "../shared/lib/ids.ts"],
];

const LAWFUL: readonly (readonly [file: string, imported: string])[] = [
  ["shared/lib/lawful.ts", "./order.ts"],
  ["shared/consensus/lawful.ts", "#shared/lib/ids.ts"],
  ["shared/registry/lawful.ts", "#shared/model/hardware.ts"],
  ["shared/contract/lawful.ts", "typebox/value"],
  ["agent/store/lawful.ts", "level"],
  ["agent/store/lawful-too.ts", "#agent/ports/store.ts"],
  ["agent/mesh/lawful.ts", "@libp2p/tcp"],
  ["agent/registry/lawful.ts", "#shared/registry/state.ts"],
  ["agent/api/dialects/redis/lawful.ts", "#agent/api/wire.ts"],
  ["agent/cli/lawful.ts", "#shared/contract/native.ts"],
  ["agent/main.ts", "#agent/agent.ts"],
];

/** Other planted mistakes: what is impure in shared/, and promises nobody waits for. */
const MISTAKES: readonly (readonly [file: string, rule: string, code: string])[] = [
  ["shared/lib/clock.ts", "no-restricted-globals", "export const now = (): number => Date.now();"],
  ["shared/lib/dice.ts", "no-restricted-properties", "export const dice = (): number => Math.random();"],
  [
    "shared/consensus/dice.ts",
    "no-restricted-properties",
    "export const dice = (): number => Math.random();",
  ],
  [
    "shared/consensus/timer.ts",
    "no-restricted-globals",
    "export const later = (f: () => void) => setTimeout(f, 1);",
  ],
  ["shared/registry/env.ts", "no-restricted-globals", "export const home = process.env;"],
  [
    "shared/bootstrap/call.ts",
    "no-restricted-globals",
    "export const call = () => fetch('http://localhost');",
  ],
  ["agent/store/floating.ts", "no-floating-promises", "export function f(): void { Promise.resolve(1); }"],
  ["agent/store/print.ts", "no-console", "export function f(): void { console.log(1); }"],
  [
    "agent/store/loop-a.ts",
    "no-cycle",
    "import { b } from './loop-b.ts'; export const a = (): number => b();",
  ],
  [
    "agent/store/loop-b.ts",
    "no-cycle",
    "import { a } from './loop-a.ts'; export const b = (): number => a();",
  ],
];

interface Complaint {
  readonly filename: string;
  readonly code: string;
}

const house = mkdtempSync(join(tmpdir(), "muster-walls-"));
afterAll(() => rmSync(house, { recursive: true }));

let complaints: readonly Complaint[] = [];

function plant(file: string, code: string): void {
  mkdirSync(dirname(join(house, file)), { recursive: true });
  writeFileSync(join(house, file), `${code}\n`);
}

function rulesBrokenIn(file: string): string[] {
  return complaints.filter(({ filename }) => filename === file).map(({ code }) => code);
}

beforeAll(() => {
  for (const file of [".oxlintrc.json", "tsconfig.json", "package.json"])
    copyFileSync(join(ROOT, file), join(house, file));
  symlinkSync(join(ROOT, "node_modules"), join(house, "node_modules"));
  for (const [file, imported] of [...BREACHES, ...LAWFUL]) plant(file, `import "${imported}";`);
  for (const [file, , code] of MISTAKES) plant(file, code);
  plant("shared/lib/order.ts", "export {};");
  const lint = join(ROOT, "node_modules/.bin/oxlint");
  expect(execFileSync(lint, ["--version"], { encoding: "utf8" })).toContain("1.");
  const { stdout } = spawnSync(lint, ["--type-aware", "-f", "json", "."], { cwd: house, encoding: "utf8" });
  complaints = (JSON.parse(stdout) as { diagnostics: Complaint[] }).diagnostics;
});

describe("imports that the linter refuses", () => {
  test.each(BREACHES)("%s may not import %s", (file) => {
    expect(rulesBrokenIn(file)).toContainEqual(expect.stringContaining("no-restricted-imports"));
  });
});

describe("imports that the linter lets through", () => {
  test.each(LAWFUL)("%s may import %s", (file) => {
    expect(rulesBrokenIn(file)).not.toContainEqual(expect.stringContaining("no-restricted-imports"));
  });
});

describe("other mistakes that the linter finds", () => {
  test.each(MISTAKES)("%s: %s", (file, rule) => {
    expect(rulesBrokenIn(file)).toContainEqual(expect.stringContaining(rule));
  });
});
