import { describe, expect, test } from "vitest";

import { explain } from "#test/histories/explain.ts";
import type { Action, Result } from "#test/histories/history.ts";
import { linearize, partition, type Model, type Operation } from "#test/histories/linearize.ts";
import { counterModel, nodeModel, placementModel, zonesModel } from "#test/histories/models.ts";

// Goal: what the models promise is judged right. Method: histories told by hand, lawful ones and ones with a planted fault each.

const DONE: Result = { type: "done" };
const error = (name: string): Result => ({ type: "error", error: name });
const id = (number: number): Result => ({ type: "id", id: number });
const uriOf = (uri: string | null): Result => ({
  type: "node",
  node: uri === null ? null : { zone: 1, uri },
});
const zones = (...named: [number, string][]): Result => ({
  type: "zones",
  zones: named.map(([number, name]) => ({ id: number, name })),
});
const create = (name: string): Action => ({ type: "create_zone", name });
const remove = (zone: number): Action => ({ type: "delete_zone", zone });
const READ_ZONES: Action = { type: "read_zones" };
const register = (uri: string, zone = 1): Action => ({ type: "register_node", node: "n", zone, uri });
const UNREGISTER: Action = { type: "unregister_node", node: "n" };
const move = (zone: number): Action => ({ type: "move_node", node: "n", zone });
const set = (uri: string): Action => ({ type: "set_uri", node: "n", uri });
const READ: Action = { type: "read_node", node: "n" };

/** From when to when, what, and the answer; without an answer the outcome is unknown. */
type Line = readonly [from: number, to: number, action: Action, result?: Result];

function history(lines: readonly Line[]): Operation<Action, Result>[] {
  return lines.map(([invokedMs, atMs, input, output], line) => ({
    who: `client ${line}`,
    input,
    invokedMs,
    completed: output === undefined ? null : { atMs, output },
  }));
}

const REGISTERED: Line = [0, 1, register("a"), DONE];

describe("what is linearizable", () => {
  test.each<[what: string, model: Model<unknown, Action, Result>, lines: Line[]]>([
    ["nothing at all", nodeModel, []],
    [
      "a read of a write that has not ended",
      nodeModel,
      [REGISTERED, [2, 9, set("b"), DONE], [3, 4, READ, uriOf("b")]],
    ],
    [
      "a read that overlaps the write and misses it",
      nodeModel,
      [REGISTERED, [2, 4, set("b"), DONE], [3, 5, READ, uriOf("a")]],
    ],
    [
      "an unknown write that takes effect later",
      nodeModel,
      [REGISTERED, [2, 3, set("b")], [4, 5, READ, uriOf("a")], [6, 7, READ, uriOf("b")]],
    ],
    [
      "an unknown write that never takes effect",
      nodeModel,
      [REGISTERED, [2, 3, set("b")], [4, 5, READ, uriOf("a")]],
    ],
    [
      "calls and answers of the same moment overlap",
      nodeModel,
      [REGISTERED, [2, 3, set("b"), DONE], [3, 4, READ, uriOf("a")]],
    ],
    [
      "an unknown create explains a gap",
      counterModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, create("b")],
        [4, 5, create("c"), id(3)],
      ],
    ],
    [
      "concurrent creates, answered in another order",
      counterModel,
      [
        [0, 9, create("a"), id(2)],
        [0, 3, create("b"), id(1)],
      ],
    ],
    [
      "a delete refused while the node moves in",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 9, register("a"), DONE],
        [3, 8, remove(1), error("zone_in_use")],
      ],
    ],
    [
      "a registration that comes too late for its zone",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 9, register("a"), error("zone_not_found")],
        [3, 8, remove(1), DONE],
      ],
    ],
    [
      "an unknown delete between",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, remove(1)],
        [4, 5, READ_ZONES, zones([1, "a"])],
        [6, 7, register("u"), error("zone_not_found")],
      ],
    ],
  ] as [string, Model<unknown, Action, Result>, Line[]][])("%s", (_what, model, lines) => {
    expect(linearize(model, history(lines)).kind).toBe("linearizable");
  });
});

describe("what is planted is found", () => {
  test.each<[what: string, model: Model<unknown, Action, Result>, lines: Line[], stuck: number]>([
    ["stale read", nodeModel, [REGISTERED, [2, 3, set("b"), DONE], [4, 5, READ, uriOf("a")]], 2],
    [
      "stale read after another client's fresh one",
      nodeModel,
      [REGISTERED, [2, 9, set("b"), DONE], [3, 4, READ, uriOf("b")], [5, 6, READ, uriOf("a")]],
      3,
    ],
    [
      "lost write",
      nodeModel,
      [
        [0, 1, register("a"), DONE],
        [2, 3, READ, uriOf(null)],
      ],
      1,
    ],
    [
      "write that takes effect twice",
      nodeModel,
      [
        REGISTERED,
        [2, 20, set("b"), DONE],
        [3, 4, READ, uriOf("b")],
        [5, 6, set("c"), DONE],
        [7, 8, READ, uriOf("c")],
        [9, 10, READ, uriOf("b")],
      ],
      5,
    ],
    ["value that nobody wrote", nodeModel, [REGISTERED, [2, 3, READ, uriOf("z")]], 1],
    ["effect before the call", nodeModel, [REGISTERED, [2, 3, READ, uriOf("b")], [4, 5, set("b"), DONE]], 1],
    [
      "effect of an unknown write before its call",
      nodeModel,
      [REGISTERED, [2, 3, READ, uriOf("b")], [4, 5, set("b")]],
      1,
    ],
    [
      "doubled increment",
      counterModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, create("b"), id(3)],
      ],
      1,
    ],
    [
      "id given twice",
      counterModel,
      [
        [0, 9, create("a"), id(1)],
        [0, 8, create("b"), id(1)],
      ],
      0,
    ],
    [
      "ids against the order of time",
      counterModel,
      [
        [0, 1, create("a"), id(2)],
        [2, 3, create("b"), id(1)],
      ],
      0,
    ],
    ["create that meets itself", zonesModel, [[0, 1, create("a"), error("zone_exists")]], 0],
    [
      "acknowledged zone is missing",
      zonesModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, READ_ZONES, zones()],
      ],
      1,
    ],
    [
      "deleted zone comes back",
      zonesModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, remove(1), DONE],
        [4, 5, READ_ZONES, zones([1, "a"])],
      ],
      2,
    ],
    [
      "id given again after a delete",
      zonesModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, remove(1), DONE],
        [4, 5, create("b"), id(1)],
      ],
      2,
    ],
    [
      "list that shows two halves",
      zonesModel,
      [
        [0, 9, create("a"), id(1)],
        [0, 9, create("b"), id(2)],
        [1, 2, READ_ZONES, zones([2, "b"])],
      ],
      2,
    ],
    [
      "zone with a node is deleted",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, register("u"), DONE],
        [4, 5, remove(1), DONE],
      ],
      2,
    ],
    [
      "node registered into a deleted zone",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 9, remove(1), DONE],
        [3, 8, register("u"), DONE],
      ],
      1,
    ],
    [
      "node moved into a deleted zone",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [0, 1, create("b"), id(2)],
        [2, 3, register("u"), DONE],
        [4, 5, remove(2), DONE],
        [6, 7, move(2), DONE],
      ],
      4,
    ],
    [
      "node registered twice",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 9, register("u"), DONE],
        [2, 9, register("v"), DONE],
      ],
      2,
    ],
    [
      "node unregistered though nobody asked",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, register("u"), DONE],
        [4, 5, remove(1), error("zone_in_use")],
        [6, 7, READ, uriOf(null)],
      ],
      3,
    ],
    [
      "delete refused for a node that is gone",
      placementModel,
      [
        [0, 1, create("a"), id(1)],
        [2, 3, register("u"), DONE],
        [4, 5, UNREGISTER, DONE],
        [6, 7, remove(1), error("zone_in_use")],
      ],
      3,
    ],
  ] as [string, Model<unknown, Action, Result>, Line[], number][])("%s", (_what, model, lines, stuck) => {
    const operations = history(lines);
    const verdict = linearize(model, operations);
    expect(verdict.kind).toBe("not_linearizable");
    if (verdict.kind === "not_linearizable") expect(verdict.counterexample.stuck).toBe(operations[stuck]);
  });
});

test("the explanation tells what fits, what does not, and what else was under way", () => {
  const verdict = linearize(
    nodeModel,
    history([REGISTERED, [2, 3, set("b"), DONE], [2.5, 9, set("c")], [4, 5, READ, uriOf("a")]]),
  );
  if (verdict.kind !== "not_linearizable") throw new Error(verdict.kind);
  expect(explain(nodeModel, verdict.counterexample)).toBe(
    [
      "  2 operations fit an order:",
      "    0.0–1.0 ms  client 0: register_node(n, 1, a) → done",
      "    2.0–3.0 ms  client 1: set_uri(n, b) → done",
      '  which ends in: {"zone":1,"uri":"b"}',
      "  this one fits nowhere:",
      "    4.0–5.0 ms  client 3: read_node(n) → zone 1, a",
      "  under way beside it:",
      "    2.5–? ms  client 2: set_uri(n, c) → no answer",
    ].join("\n"),
  );
});

describe("cost", () => {
  /** Clients that write and read one node each, all through the same agents: overlapping, every answer right. */
  function busy(nodes: number, perNode: number, clients: number): Operation<Action, Result>[] {
    const out: Operation<Action, Result>[] = [];
    for (let node = 0; node < nodes; node += 1) {
      let uri: string | null = null;
      for (let i = 0; i < perNode; i += 1) {
        const of = `node ${node}`;
        const at = i * 10;
        const span = { who: `client ${i % clients}`, invokedMs: at - 5 * clients, atMs: at + 5 * clients };
        const next: string = `v${i}`;
        const input: Action =
          uri === null
            ? { type: "register_node", node: of, zone: 1, uri: next }
            : i % 3 === 0
              ? { type: "read_node", node: of }
              : { type: "set_uri", node: of, uri: next };
        const output = input.type === "read_node" ? uriOf(uri) : DONE;
        if (input.type !== "read_node") uri = next;
        const { atMs, ...operation } = { ...span, input };
        out.push({ ...operation, completed: i % 50 === 49 ? null : { atMs, output } });
      }
    }
    return out;
  }

  test("thousands of operations, partitioned by node, need few configurations", () => {
    const parts = partition(busy(20, 300, 6), (input) => ("node" in input ? input.node : ""));
    expect(parts.size).toBe(20);
    for (const operations of parts.values()) {
      expect(operations).toHaveLength(300);
      expect(linearize(nodeModel, operations, { configurationsMax: 3000 }).kind).toBe("linearizable");
    }
  });

  test("many equal operations without an answer do not multiply", () => {
    const unknown = Array.from({ length: 200 }, (_, i): Line => [0, 1, create(`u${i}`)]);
    const lines: Line[] = [...unknown, [2, 3, create("x"), id(150)], [4, 5, create("y"), id(150)]];
    expect(linearize(counterModel, history(lines), { configurationsMax: 5000 }).kind).toBe(
      "not_linearizable",
    );
  });

  test("a search that costs too much says so", () => {
    const writes = Array.from({ length: 10 }, (_, i): Line => [2, 100 + i, set(`v${i}`), DONE]);
    const lines: Line[] = [REGISTERED, ...writes, [200, 201, READ, uriOf("nobody's")]];
    expect(linearize(nodeModel, history(lines), { configurationsMax: 500 })).toEqual({
      kind: "undecided",
      configurations: 501,
    });
    expect(linearize(nodeModel, history(lines)).kind).toBe("not_linearizable");
  });
});
