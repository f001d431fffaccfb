import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { toOrchestratorError } from "#agent/api/dialects/orchestrator/errors.ts";
import { errorExamples } from "#test/support/error-examples.ts";

// Numbers of errors are a promise: the page that makes it and the code must say the same.

const PAGE = readFileSync(new URL("../../../docs/api/orchestrator.md", import.meta.url), "utf8");

interface Row {
  readonly code: number;
  readonly name: string;
  readonly status: number;
}

const promised = [...PAGE.matchAll(/^\| (\d+) \| `(\w+)` \| (\d+) \|/gm)].map(
  ([, code, name = "", status]): Row => ({ code: Number(code), name, status: Number(status) }),
);

const given = errorExamples().map((error): Row => {
  const { status, body } = toOrchestratorError(error);
  const { code } = (body as { readonly error: { readonly code: number } }).error;
  return { code, name: error.kind, status };
});

describe("the error table", () => {
  test("says what the code does, in the order of the numbers", () => {
    expect(promised).toEqual(given.toSorted((a, b) => a.code - b.code));
  });

  test("gives no number twice, and 0 to none", () => {
    expect(new Set(given.map(({ code }) => code)).size).toBe(given.length);
    expect(given.every(({ code }) => code > 0)).toBe(true);
  });

  test("keeps the statuses of a kind together", () => {
    for (const { name, status } of given) {
      if (/_not_(found|registered|discovered)$/.test(name)) expect(status, name).toBe(404);
      if (/_(exists|in_use)$/.test(name)) expect(status, name).toBe(409);
    }
  });
});
