import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { linearize, type Model, type Operation } from "#test/histories/linearize.ts";
import { linearizableByTrying } from "#test/unit/histories/brute-force.ts";

// Goal: the search errs on neither side. Method: histories made from a real order must be accepted; spoilt, the definition
// itself, tried out in full, must say the same.

/** A register of one letter and a counter in one, so that few operations collide in many ways. */
type Input = "inc" | "get" | "a" | "b";
const cell: Model<string, Input, string> = {
  init: "0a",
  step: (state, input, output) => {
    const count = Number(state[0]);
    const [after, answer] =
      input === "get"
        ? [state, state]
        : input === "inc"
          ? [`${count + 1}${state[1]}`, `${count + 1}`]
          : [`${count}${input}`, "ok"];
    return output === undefined || output === answer ? after : null;
  },
  isRead: (input) => input === "get",
  key: (state) => state,
  describe: (input, output) => `${input} → ${output}`,
};

/** What each client did: an operation, how long it took to be served, whether its answer was lost. */
const plan = fc.array(
  fc.record({
    input: fc.constantFrom<Input>("inc", "get", "a", "b"),
    /** Moment of the effect, distinct by the place in the list; the call before and the answer after it. */
    before: fc.integer({ min: 0, max: 6 }),
    after: fc.integer({ min: 0, max: 6 }),
    lost: fc.integer({ min: 0, max: 4 }),
  }),
  { maxLength: 7 },
);

/** A history with a real order behind it. A lost answer hides whether there was an effect; every second one had none. */
function real(steps: typeof plan extends fc.Arbitrary<infer T> ? T : never): Operation<Input, string>[] {
  let state = cell.init;
  return steps.map(({ input, before, after, lost }, place) => {
    const span = { invokedMs: place * 2 - before, atMs: place * 2 + after };
    const operation = { who: `${place}`, input, invokedMs: span.invokedMs };
    if (lost === 0) return { ...operation, completed: null };
    const answer = ["0", "1", "2", "3", "4", "5", "6", "7", "ok"]
      .concat(state)
      .find((output) => cell.step(state, input, output) !== null) as string;
    state = cell.step(state, input, undefined) as string;
    return { ...operation, completed: lost === 1 ? null : { atMs: span.atMs, output: answer } };
  });
}

describe("properties", () => {
  test("every history with a real order is accepted, and the order found is one", () => {
    fc.assert(
      fc.property(plan, (steps) => {
        const operations = real(steps);
        const verdict = linearize(cell, operations);
        if (verdict.kind !== "linearizable") return false;
        const answered = operations.filter(({ completed }) => completed !== null);
        expect(new Set(verdict.order).isSupersetOf(new Set(answered))).toBe(true);
        expect(new Set(verdict.order).size).toBe(verdict.order.length);
        let state: string | null = cell.init;
        for (const [place, operation] of verdict.order.entries()) {
          state = cell.step(state, operation.input, operation.completed?.output);
          if (state === null) return false;
          const later = verdict.order.slice(place + 1);
          if (later.some(({ completed }) => completed !== null && completed.atMs < operation.invokedMs))
            return false;
        }
        return true;
      }),
      { numRuns: 2000 },
    );
  });

  test("spoilt histories: the same verdict as by the definition", () => {
    const seen = { yes: 0, no: 0 };
    const spoil = fc.array(
      fc.record({
        at: fc.nat(6),
        how: fc.constantFrom("answer", "time", "forget"),
        answer: fc.constantFrom("1", "2", "3", "ok", "0a", "1a", "1b", "2b"),
        by: fc.integer({ min: -6, max: 6 }),
      }),
      { minLength: 1, maxLength: 3 },
    );
    fc.assert(
      fc.property(plan, spoil, (steps, spoils) => {
        const operations = real(steps);
        for (const { at, how, answer, by } of spoils) {
          const old = operations[at];
          if (old === undefined) continue;
          const { completed } = old;
          if (how === "answer" && completed !== null)
            operations[at] = { ...old, completed: { ...completed, output: answer } };
          if (how === "forget") operations[at] = { ...old, completed: null };
          if (how === "time") {
            operations[at] = {
              ...old,
              invokedMs: old.invokedMs + by,
              completed: completed === null ? null : { ...completed, atMs: completed.atMs + by },
            };
          }
        }
        const truth = linearizableByTrying(cell, operations);
        seen[truth ? "yes" : "no"] += 1;
        expect(linearize(cell, operations).kind).toBe(truth ? "linearizable" : "not_linearizable");
      }),
      { numRuns: 4000 },
    );
    // The property says nothing unless both kinds occur often.
    expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(400);
  });
});
