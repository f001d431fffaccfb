import { expect, test } from "vitest";

import { unreachable } from "#agent/mesh/unreachable.ts";

const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
const other = new Error("Payload identity key A does not match expected remote identity key B");
const late = Object.assign(new Error("late"), { name: "TimeoutError" });

test.each<[string, unknown, string]>([
  ["nobody listens", refused, "B cannot be reached: the connection was refused"],
  ["somebody else's key", other, "B cannot be reached: another agent answers there"],
  ["silence", late, "B cannot be reached: no answer in time"],
  [
    "several, one of another agent",
    new AggregateError([refused, other]),
    "B cannot be reached: another agent answers there",
  ],
  [
    "several, of which one tells something",
    new AggregateError([new Error("?"), refused]),
    "B cannot be reached: the connection was refused",
  ],
  ["something else", new Error("out of order"), "B cannot be reached"],
  ["no error at all", "?", "B cannot be reached"],
])("%s", (_what, error, message) => {
  expect(unreachable("B", error)).toMatchObject({ kind: "peer_unreachable", facts: { peer: "B" }, message });
});
