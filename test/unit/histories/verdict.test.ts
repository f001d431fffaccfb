import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { loadHistory, saveHistory, type Action, type Call, type Result } from "#test/histories/history.ts";
import { judge } from "#test/histories/verdict.ts";

// Goal: every promise that a history can break is looked at. Method: one small history in which all is well, and copies of it
// with one planted fault each.

const DONE: Result = { type: "done" };
const HOME: Action = { type: "create_zone", name: "home" };
const NODE: Action = { type: "read_node", node: "n" };
const LIST: Action = { type: "read_zones" };
const set = (text: string): Action => ({ type: "set_uri", node: "n", uri: text });
const uri = (text: string): Result => ({ type: "node", node: { zone: 1, uri: text } });
const zones = (...ids: number[]): Result => ({
  type: "zones",
  zones: ids.map((id) => ({ id, name: id === 1 ? "home" : `z${id}` })),
});

interface Given {
  readonly agent?: string;
  readonly life?: number;
  readonly read?: "linearizable" | "default";
  readonly minIndex?: number;
}

function call(from: number, to: number, action: Action, outcome: Call["outcome"], given: Given = {}): Call {
  const read = given.read === undefined ? null : { consistency: given.read, min_index: given.minIndex ?? 0 };
  const { agent = "host-1", life = 1 } = given;
  return { client: 1, agent, life, action, read, invoked_ms: from, ended_ms: to, outcome };
}

function answered(index: number, result: Result): Call["outcome"] {
  return { type: "answered", index, result };
}

const GOOD: readonly Call[] = [
  call(0, 1, HOME, answered(5, { type: "id", id: 1 })),
  call(2, 3, { type: "register_node", node: "n", zone: 1, uri: "a" }, answered(6, DONE)),
  call(4, 5, { type: "set_uri", node: "n", uri: "b" }, answered(7, DONE)),
  call(6, 7, NODE, answered(6, uri("a")), { agent: "host-2", read: "default" }),
  call(8, 9, NODE, answered(7, uri("b")), { agent: "host-2", read: "linearizable" }),
  call(10, 11, { type: "create_zone", name: "z2" }, answered(8, { type: "id", id: 2 })),
  call(12, 13, { type: "delete_zone", zone: 2 }, answered(9, DONE)),
  call(14, 15, { type: "delete_zone", zone: 1 }, answered(10, { type: "error", error: "zone_in_use" })),
  call(16, 17, { type: "create_zone", name: "z3" }, { type: "unknown", reason: "ECONNRESET" }),
  call(18, 19, { type: "set_uri", node: "n", uri: "never" }, { type: "refused", reason: "quorum_lost" }),
  call(20, 21, LIST, answered(12, zones(1, 3)), { agent: "host-3", read: "default", minIndex: 12 }),
  // Killed and started anew, an agent may be behind where it was.
  call(22, 23, LIST, answered(8, zones(1, 2)), { agent: "host-3", life: 2, read: "default" }),
  call(30, 31, LIST, answered(13, zones(1, 3)), { agent: "host-1", read: "linearizable" }),
];

function judged(...more: readonly Call[]): readonly string[] {
  return judge({ scenario: "planted", seed: 1, calls: [...GOOD, ...more] }).problems;
}

test("when all is well nothing is told, and the sums are right", () => {
  const { problems, result } = judge({ scenario: "planted", seed: 1, calls: GOOD });
  expect(problems).toEqual([]);
  expect(result).toEqual({
    scenario: "planted",
    seed: 1,
    acknowledged: 5,
    refused: 1,
    unknown: 1,
    lost: 0,
    doubled: 0,
    unavailable_ms: 6,
    notes: "13 operations of 1 clients; 0 problems",
  });
});

describe("what is planted is found", () => {
  const at1 = { agent: "host-1" } as const;
  const plain = { agent: "host-1", read: "default" } as const;
  const strict = { agent: "host-1", read: "linearizable" } as const;
  test.each<[what: string, more: readonly Call[], told: RegExp]>([
    [
      "a stale linearizable read",
      [call(40, 41, NODE, answered(13, uri("a")), strict)],
      /node n: not linearizable/,
    ],
    [
      "a linearizable read older than what others were shown, though the value is right",
      [call(40, 41, NODE, answered(12, uri("b")), { agent: "host-2", read: "linearizable" })],
      /index: stale: .* index 12 linearizably, after .* index 13/,
    ],
    [
      "an agent that goes back",
      [call(40, 41, NODE, answered(12, uri("b")), plain)],
      /index: .*index 12: after .*index 13/,
    ],
    [
      "a write's answer that goes back",
      [call(40, 41, { type: "create_zone", name: "z4" }, answered(12, { type: "id", id: 4 }), at1)],
      /index 12: after/,
    ],
    [
      "min_index missed",
      [call(40, 41, NODE, answered(13, uri("b")), { ...plain, minIndex: 14 })],
      /index: .*below its min_index 14/,
    ],
    [
      "a value that an answered write replaced",
      [call(40, 41, NODE, answered(13, uri("a")), plain)],
      /view: .*: a, though b replaced it at 7/,
    ],
    [
      "an older value after a newer one",
      [
        call(40, 41, NODE, answered(6, uri("b")), { agent: "host-9", read: "default" }),
        call(42, 43, NODE, answered(6, uri("a")), { agent: "host-9", read: "default" }),
      ],
      /view: .*: a after b/,
    ],
    [
      "a value that nobody wrote",
      [call(40, 41, NODE, answered(13, uri("x")), plain)],
      /view: .*: x was not written by then/,
    ],
    [
      "a value before its write",
      [
        call(40, 41, NODE, answered(13, uri("c")), plain),
        call(42, 43, { type: "set_uri", node: "n", uri: "c" }, answered(14, DONE), at1),
      ],
      /view: .*: c was not written by then/,
    ],
    [
      "a deleted zone in a list",
      [call(40, 41, LIST, answered(13, zones(1, 2, 3)), plain)],
      /view: .*zone 2 though it was deleted/,
    ],
    [
      "a zone that comes back",
      [call(24, 25, LIST, answered(12, zones(1, 2, 3)), { agent: "host-3", read: "default" })],
      /view: .*zone 2, which was gone/,
    ],
    [
      "a zone that a list misses",
      [call(40, 41, LIST, answered(13, zones(3)), plain)],
      /view: .*without zone 1, created at 5/,
    ],
    [
      "a zone that nobody created",
      [call(40, 41, LIST, answered(13, { type: "zones", zones: [{ id: 9, name: "ghost" }] }), plain)],
      /view: .*zone 9 ghost was created by nobody/,
    ],
    ["a lost zone", [call(40, 41, LIST, answered(14, zones(3)), strict)], /^lost: zone 1$/],
    [
      "a lost delete",
      [call(40, 41, LIST, answered(14, zones(1, 2, 3)), strict)],
      /^lost: the delete of zone 2$/,
    ],
    [
      "an id given twice",
      [call(40, 41, { type: "create_zone", name: "z4" }, answered(14, { type: "id", id: 1 }), at1)],
      /^doubled: id 1$/,
    ],
    [
      "a create that met itself",
      [
        call(
          40,
          41,
          { type: "create_zone", name: "z4" },
          answered(14, { type: "error", error: "zone_exists" }),
          at1,
        ),
      ],
      /^doubled: the zone z4$/,
    ],
    [
      "a lost uri",
      [call(40, 41, set("c"), answered(14, DONE)), call(42, 43, NODE, answered(15, uri("b")), strict)],
      /^lost: the uri of node n: set_uri, c; it is b$/,
    ],
    [
      "a lost move",
      [
        call(40, 41, { type: "move_node", node: "n", zone: 3 }, answered(14, DONE)),
        call(42, 43, NODE, answered(15, uri("b")), strict),
      ],
      /^lost: the zone of node n: move_node, 3; it is 1$/,
    ],
    [
      "a lost unregistration",
      [
        call(40, 41, { type: "unregister_node", node: "n" }, answered(14, DONE)),
        call(42, 43, NODE, answered(15, uri("b")), strict),
      ],
      /^lost: the uri of node n: unregister_node, null; it is b$/,
    ],
    [
      "a lost registration",
      [call(42, 43, NODE, answered(15, { type: "node", node: null }), strict)],
      /^lost: the zone of node n: register_node, 1; it is null$/,
    ],
    [
      "a uri that is back",
      [
        call(40, 41, set("c"), answered(14, DONE)),
        call(42, 43, NODE, answered(14, uri("c")), strict),
        call(44, 45, NODE, answered(15, uri("b")), strict),
      ],
      /^doubled: the uri of node n: b$/,
    ],
    [
      "an id that skips one",
      [call(40, 41, { type: "create_zone", name: "z5" }, answered(14, { type: "id", id: 5 }), at1)],
      /^zone ids: not linearizable/,
    ],
    [
      "a zone deleted with its node",
      [call(40, 41, { type: "delete_zone", zone: 1 }, answered(14, DONE), at1)],
      /^zones and nodes: not linearizable/,
    ],
    [
      "a node moved into a deleted zone",
      [call(40, 41, { type: "move_node", node: "n", zone: 2 }, answered(14, DONE), at1)],
      /^zones and nodes: not linearizable/,
    ],
    [
      "an internal error",
      [call(40, 41, LIST, { type: "unknown", reason: "unexpected 500 {}" }, plain)],
      /^a defect: .*unexpected 500/,
    ],
  ])("%s", (_what, more, told) => {
    expect(judged(...more)).toContainEqual(expect.stringMatching(told));
  });
});

describe("writes of nodes at the end", () => {
  const strict = { read: "linearizable" } as const;
  const lost: Call["outcome"] = { type: "unknown", reason: "ECONNRESET" };
  const gone: Result = { type: "node", node: null };

  test.each<[what: string, more: readonly Call[]]>([
    [
      "of two at once, either may have been the last",
      [
        call(40, 43, set("c"), answered(14, DONE)),
        call(41, 42, set("d"), answered(15, DONE)),
        call(44, 45, NODE, answered(15, uri("c")), strict),
      ],
    ],
    [
      "a write without an answer may take effect after one that was answered",
      [
        call(46, 47, set("e"), lost),
        call(48, 49, set("f"), answered(16, DONE)),
        call(50, 51, NODE, answered(17, uri("e")), strict),
      ],
    ],
    [
      "so may an unregistration",
      [
        call(52, 53, { type: "unregister_node", node: "n" }, lost),
        call(54, 55, set("g"), answered(18, DONE)),
        call(56, 57, NODE, answered(19, gone), strict),
      ],
    ],
  ])("%s: nothing is lost", (_what, more) => {
    expect(judged(...more)).toEqual([]);
  });

  test("a read that is old doubles nothing", () => {
    const told = judged(
      call(40, 41, set("c"), answered(14, DONE)),
      call(42, 43, NODE, answered(14, uri("c")), strict),
      call(44, 45, NODE, answered(13, uri("b")), strict),
    );
    expect(told.filter((problem) => problem.startsWith("doubled"))).toEqual([]);
  });

  test("of several that are missing the newest counts: the others may have been replaced", () => {
    const told = judged(
      call(40, 41, set("c"), answered(14, DONE)),
      call(42, 43, set("d"), answered(15, DONE)),
      call(44, 45, NODE, answered(15, uri("b")), strict),
    );
    expect(told.filter((problem) => problem.startsWith("lost"))).toEqual([
      "lost: the uri of node n: set_uri, d; it is b",
    ]);
  });
});

describe("a history in a file", () => {
  test("reads as it was written; a line that is no part of it is named", async () => {
    const dir = await mkdtemp(join(tmpdir(), "muster-history-"));
    try {
      const path = join(dir, "history.jsonl");
      const history = { scenario: "kept", seed: 3, calls: GOOD };
      await saveHistory(path, history);
      expect(await loadHistory(path)).toEqual(history);
      await writeFile(path, '{"scenario":"kept","seed":3}\n{"client":1}\n');
      await expect(loadHistory(path)).rejects.toThrow("line 2");
      await writeFile(path, '{"scenario":"kept","seed":3}\nnothing\n');
      await expect(loadHistory(path)).rejects.toThrow("line 2");
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
