import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { SOFTWARE_VERSION } from "#shared/lib/version.ts";

test("the agent and its package say the same version", () => {
  const text = readFileSync(new URL("../../../../package.json", import.meta.url), "utf8");
  expect(JSON.parse(text)).toMatchObject({ version: SOFTWARE_VERSION });
});
