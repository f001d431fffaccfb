import { expect, test } from "vitest";

import { assert, InvariantBroken, unreachable } from "#shared/lib/assert.ts";

test("what holds passes, what does not stops with the invariant's name", () => {
  expect(() => assert(true, "holds")).not.toThrow();
  expect(() => assert(false, "one leader per term")).toThrow(new InvariantBroken("one leader per term"));
});

test("a branch that the types rule out says where and what", () => {
  expect(() => unreachable("surprise" as never, "step")).toThrow('step: unexpected "surprise"');
});
