import { expect, test } from "vitest";

import { isUuid } from "#shared/lib/ids.ts";

test.each([
  ["cc6568a2-63ca-413d-8e39-704b20adb7ae", true],
  ["CC6568A2-63CA-413D-8E39-704B20ADB7AE", true],
  ["uuid-1", false],
  ["", false],
  ["cc6568a263ca413d8e39704b20adb7ae", false],
  ["{cc6568a2-63ca-413d-8e39-704b20adb7ae}", false],
  ["cc6568a2-63ca-413d-8e39-704b20adb7ae\n", false],
  ["gc6568a2-63ca-413d-8e39-704b20adb7ae", false],
])("%j: %s", (text, expected) => {
  expect(isUuid(text)).toBe(expected);
});
