import { beforeEach, describe, expect, test } from "vitest";

import type { Log } from "#agent/ports/log.ts";

export interface LogHarness {
  /** Takes every level. */
  readonly log: Log;
  /** All lines so far. */
  lines(): readonly { readonly level: string; readonly fields: object; readonly text: string }[];
}

/** What every implementation of agent/ports/log.ts must do. How lines look, and what is masked in them, is the real one's own. */
export function logSuite(name: string, make: () => LogHarness): void {
  describe(name, () => {
    let log: Log;
    let lines: LogHarness["lines"];

    beforeEach(() => {
      const harness = make();
      ({ log } = harness);
      lines = () => harness.lines();
    });

    test.each(["warn", "error"] as const)("%s: one line, written when the call returns", (level) => {
      log[level]({ peers: 3 }, "connected");
      expect(lines()).toMatchObject([{ level, fields: { peers: 3 }, text: "connected" }]);
    });

    test.each(["trace", "debug", "info"] as const)(
      "%s: one line, written before the next warning",
      (level) => {
        log[level]({ peers: 3 }, "connected");
        log.warn({}, "the end");
        expect(lines()).toMatchObject([
          { level, fields: { peers: 3 }, text: "connected" },
          { level: "warn", text: "the end" },
        ]);
      },
    );

    test("the fields of a child are on its lines and its children's, not on its parent's", () => {
      const child = log.child({ part: "mesh" });
      child.child({ peer: "p" }).info({ n: 1 }, "grandchild");
      child.info({ n: 2 }, "child");
      log.warn({ n: 3 }, "parent");
      expect(lines()).toMatchObject([
        { fields: { part: "mesh", peer: "p", n: 1 }, text: "grandchild" },
        { fields: { part: "mesh", n: 2 }, text: "child" },
        { fields: { n: 3 }, text: "parent" },
      ]);
      expect(lines()[1]?.fields).not.toHaveProperty("peer");
      expect(lines()[2]?.fields).not.toHaveProperty("part");
    });

    test("fields that are no JSON do no harm", () => {
      const loop: Record<string, unknown> = {};
      loop["self"] = loop;
      log.info(loop, "round");
      log.error({ err: new Error("boom"), nothing: undefined }, "broken");
      expect(lines().map(({ text }) => text)).toEqual(["round", "broken"]);
      expect(lines()[1]).toMatchObject({ fields: { err: { message: "boom" } } });
    });
  });
}
