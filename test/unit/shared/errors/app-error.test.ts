import { describe, expect, test } from "vitest";

import { AppError, isKind } from "#shared/errors/app-error.ts";
import { ERROR_EXAMPLES as FACTS, errorExamples } from "#test/support/error-examples.ts";

describe.each(errorExamples())("$kind", (error) => {
  const { kind, facts } = error;

  test("says its facts in one sentence", () => {
    expect(error.message).not.toMatch(/undefined|\[object|NaN|\n/);
    expect(error.message.length).toBeGreaterThan(10);
  });

  test("survives being data", () => {
    const copy = AppError.of(structuredClone(error.toRefusal()));
    expect(copy).toBeInstanceOf(AppError);
    expect({ kind: copy.kind, facts: copy.facts, message: copy.message }).toEqual({
      kind,
      facts,
      message: error.message,
    });
  });
});

test("every fact that a person needs is in the sentence", () => {
  expect(new AppError("quorum_lost", FACTS.quorum_lost).message).toContain("host-2, host-3");
  expect(new AppError("quorum_lost", { leader: null, missing: [] }).message).toContain("no leader is known");
  expect(new AppError("zone_in_use", FACTS.zone_in_use).message).toContain("uuid-1, uuid-2");
  expect(new AppError("connect_error", FACTS.connect_error).message).toContain("10.0.0.1:9443: refused");
});

test("a message of one's own replaces the sentence", () => {
  expect(new AppError("not_found", { what: "x" }, "there is no page here").message).toBe(
    "there is no page here",
  );
});

test("isKind looks at the kind and at nothing that merely looks like an AppError", () => {
  const error: unknown = new AppError("zone_exists", { name: "one" });
  expect(isKind(error, "zone_exists")).toBe(true);
  expect(isKind(error, "zone_not_found")).toBe(false);
  expect(isKind({ kind: "zone_exists", facts: {} }, "zone_exists")).toBe(false);
});
