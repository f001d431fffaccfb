import { explain } from "./explain.ts";
import type { Action, Call, History, Result } from "./history.ts";
import { linearize, partition, type Model, type Operation } from "./linearize.ts";
import { doubledWrites, isAcknowledged, lostWrites } from "./losses.ts";
import { counterModel, nodeModel, placementModel, zonesModel } from "./models.ts";
import type { RunResult } from "./report.ts";
import { brokenIndexes } from "./sessions.ts";
import { brokenViews } from "./visible.ts";

/** Of each kind of broken promise so many are told. */
const TOLD_MAX = 5;

interface Judgement {
  /** Each promise that was broken, for people; empty when all held. A search that gave up counts as a problem. */
  readonly problems: readonly string[];
  readonly result: RunResult;
}

/**
 * Judges what clients saw: writes and linearizable reads by models of the registry, all reads by what indexes promise and
 * what may be visible, and what is there at the end by what was acknowledged.
 */
export function judge({ scenario, seed, calls }: History): Judgement {
  const lost = lostWrites(calls);
  const doubled = doubledWrites(calls);
  const problems = [
    ...lost.map((write) => `lost: ${write}`),
    ...doubled.map((write) => `doubled: ${write}`),
    ...calls.filter(isDefect).map((call) => `a defect: ${JSON.stringify(call).slice(0, 400)}`),
    ...some("index", brokenIndexes(calls)),
    ...some("view", brokenViews(calls)),
    ...brokenOrders(calls),
  ];
  const writes = calls.filter(({ read }) => read === null);
  const ended = (type: Call["outcome"]["type"]): Call[] =>
    writes.filter(({ outcome }) => outcome.type === type);
  const acknowledged = ended("answered").filter(isAcknowledged);
  return {
    problems,
    result: {
      scenario,
      seed,
      acknowledged: acknowledged.length,
      refused: ended("refused").length,
      unknown: ended("unknown").length,
      lost: lost.length,
      doubled: doubled.length,
      unavailable_ms: longestGapMs(acknowledged),
      notes: `${calls.length} operations of ${new Set(calls.map(({ client }) => client)).size} clients; ${problems.length} problems`,
    },
  };
}

function brokenOrders(calls: readonly Call[]): string[] {
  const operations = calls
    .filter(({ read }) => read === null || read.consistency === "linearizable")
    .flatMap(toOperation);
  const about = (...types: Action["type"][]): Operation<Action, Result>[] =>
    operations.filter(({ input }) => types.includes(input.type));
  const ofNodes = about("register_node", "unregister_node", "move_node", "set_uri", "read_node");
  const perNode = partition(ofNodes, (action) => ("node" in action ? action.node : ""));
  return [
    ...broken("zone ids", counterModel, about("create_zone").filter(isCount)),
    ...broken("zones", zonesModel, about("create_zone", "delete_zone", "read_zones")),
    ...[...perNode].flatMap(([node, own]) => broken(`node ${node}`, nodeModel, own)),
    ...broken(
      "zones and nodes",
      placementModel,
      operations.filter(({ input }) => input.type !== "set_uri").map(withoutUri),
    ),
  ];
}

function broken<State>(
  what: string,
  model: Model<State, Action, Result>,
  operations: readonly Operation<Action, Result>[],
): string[] {
  const verdict = linearize(model, operations);
  switch (verdict.kind) {
    case "linearizable":
      return [];
    case "undecided":
      return [`${what}: undecided after ${verdict.configurations} configurations; use fewer operations`];
    case "not_linearizable":
      return [`${what}: not linearizable\n${explain(model, verdict.counterexample)}`];
  }
}

/** What certainly had no effect is left out, and so is a read without an answer. */
function toOperation(call: Call): Operation<Action, Result>[] {
  const { client, agent, action, read, invoked_ms, ended_ms, outcome } = call;
  const operation = { who: `client ${client} at ${agent}`, input: action, invokedMs: invoked_ms };
  if (outcome.type === "answered") {
    return [{ ...operation, completed: { atMs: ended_ms, output: outcome.result } }];
  }
  return outcome.type === "unknown" && read === null ? [{ ...operation, completed: null }] : [];
}

/** A create that was refused by its name takes no id. */
function isCount({ completed }: Operation<Action, Result>): boolean {
  return completed === null || completed.output.type === "id";
}

/** Uris are judged with their node; here they would only cost time. */
function withoutUri(operation: Operation<Action, Result>): Operation<Action, Result> {
  const { completed } = operation;
  if (completed?.output.type !== "node" || completed.output.node === null) return operation;
  const node = { ...completed.output.node, uri: "" };
  return { ...operation, completed: { ...completed, output: { type: "node", node } } };
}

/** An agent answered 500, or what no client should be answered. */
function isDefect({ outcome }: Call): boolean {
  return outcome.type === "unknown" && outcome.reason.startsWith("unexpected");
}

/** Longest time between two acknowledged writes, one after the other. Milliseconds. */
function longestGapMs(acknowledged: readonly Call[]): number {
  const moments = acknowledged.map(({ ended_ms }) => ended_ms).toSorted((a, b) => a - b);
  return Math.round(Math.max(0, ...moments.map((moment, place) => moment - (moments[place - 1] ?? moment))));
}

function some(what: string, found: readonly string[]): string[] {
  const more = found.length - TOLD_MAX;
  return [
    ...found.slice(0, TOLD_MAX).map((one) => `${what}: ${one}`),
    ...(more > 0 ? [`${what}: ${more} more`] : []),
  ];
}
