import { readFile, writeFile } from "node:fs/promises";

import { Type, type Static } from "typebox";
import { Value } from "typebox/value";

// What concurrent clients asked of a cluster and what they were answered, as it is kept in a file: JSON lines, the first
// about the run, then one for each call in the order in which they ended. Times are milliseconds since the run began.

const Zone = Type.Object({ id: Type.Integer(), name: Type.String() });
const Node = Type.Object({ zone: Type.Integer(), uri: Type.String() });

/** One call of the orchestrator's API. */
export type Action = Static<typeof Action>;
const Action = Type.Union([
  Type.Object({ type: Type.Literal("create_zone"), name: Type.String() }),
  Type.Object({ type: Type.Literal("delete_zone"), zone: Type.Integer() }),
  Type.Object({ type: Type.Literal("read_zones") }),
  Type.Object({
    type: Type.Literal("register_node"),
    node: Type.String(),
    zone: Type.Integer(),
    uri: Type.String(),
  }),
  Type.Object({ type: Type.Literal("unregister_node"), node: Type.String() }),
  Type.Object({ type: Type.Literal("move_node"), node: Type.String(), zone: Type.Integer() }),
  Type.Object({ type: Type.Literal("set_uri"), node: Type.String(), uri: Type.String() }),
  Type.Object({ type: Type.Literal("read_node"), node: Type.String() }),
]);

/** What the registry said: a success, or the name of a refusal that is an answer (`zone_exists`). */
export type Result = Static<typeof Result>;
const Result = Type.Union([
  Type.Object({ type: Type.Literal("done") }),
  Type.Object({ type: Type.Literal("id"), id: Type.Integer() }),
  /** In the order of ids. */
  Type.Object({ type: Type.Literal("zones"), zones: Type.Array(Zone) }),
  /** Null: not registered. */
  Type.Object({ type: Type.Literal("node"), node: Type.Union([Node, Type.Null()]) }),
  Type.Object({ type: Type.Literal("error"), error: Type.String() }),
]);

const Outcome = Type.Union([
  /** `index` is the answer's X-Muster-Index. */
  Type.Object({
    type: Type.Literal("answered"),
    index: Type.Union([Type.Integer(), Type.Null()]),
    result: Result,
  }),
  /** It certainly had no effect. */
  Type.Object({ type: Type.Literal("refused"), reason: Type.String() }),
  /** It may have taken effect, or take effect yet. */
  Type.Object({ type: Type.Literal("unknown"), reason: Type.String() }),
]);

/** What a read asked for; null for a write. */
const Read = Type.Union([
  Type.Object({
    consistency: Type.Union([Type.Literal("linearizable"), Type.Literal("default"), Type.Literal("stale")]),
    min_index: Type.Integer(),
  }),
  Type.Null(),
]);

export type Call = Static<typeof Call>;
const Call = Type.Object({
  client: Type.Integer(),
  /** The agent that was asked (last, if it was asked again), and how often it had been started by then. */
  agent: Type.String(),
  life: Type.Integer(),
  action: Action,
  read: Read,
  invoked_ms: Type.Number(),
  ended_ms: Type.Number(),
  outcome: Outcome,
});

const Run = Type.Object({ scenario: Type.String(), seed: Type.Integer() });

export interface History extends Static<typeof Run> {
  readonly calls: readonly Call[];
}

export async function saveHistory(path: string, { calls, ...run }: History): Promise<void> {
  await writeFile(path, [run, ...calls].map((line) => `${JSON.stringify(line)}\n`).join(""));
}

/** Throws on a line that is no part of a history, with its number. */
export async function loadHistory(path: string): Promise<History> {
  const [run = "", ...calls] = (await readFile(path, "utf8")).trimEnd().split("\n");
  return {
    ...parse(Run, run, 1),
    calls: calls.map((line, index) => parse(Call, line, index + 2)),
  };
}

function parse<T extends typeof Run | typeof Call>(schema: T, line: string, number: number): Static<T> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined;
  }
  if (!Value.Check(schema, value))
    throw new Error(`line ${number} is no part of a history: ${line.slice(0, 200)}`);
  return value;
}
