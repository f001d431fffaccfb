import { describe, expect, test } from "vitest";

import { isOlder, isVersion } from "#shared/bootstrap/version.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";

test.each(["0.1.0", "100.0.21-16135", "1.2.3-rc.1", SOFTWARE_VERSION])("%s is a version", (text) => {
  expect(isVersion(text)).toBe(true);
});

test.each(["", "1.2", "v1.2.3", "1.2.3.4", "1.2.3-", "1.2.3 ", "1.-2.3", "1e3.0.0", "9999999999.0.0"])(
  "%j is none",
  (text) => {
    expect(isVersion(text)).toBe(false);
  },
);

describe("order", () => {
  test.each([
    ["1.2.3", "1.2.4"],
    ["1.2.9", "1.3.0"],
    ["1.99.99", "2.0.0"],
    ["1.9.0", "1.10.0"],
    ["7.4.2-54", "7.4.2-104"],
    ["7.4.2", "7.4.2-1"],
    ["unknown", "0.0.0"],
  ])("%s comes before %s", (a, b) => {
    expect(isOlder(a, b)).toBe(true);
    if (isVersion(a)) expect(isOlder(b, a)).toBe(false);
  });

  test.each([
    ["1.2.3", "1.2.3"],
    ["7.4.2-54", "7.4.2-54"],
    ["1.2.3-rc.1", "1.2.3"],
  ])("%s does not come before %s", (a, b) => {
    expect(isOlder(a, b)).toBe(false);
  });
});
