import type { Counterexample, Model, Operation } from "./linearize.ts";

/** Operations of the prefix that are told: the end of it is where the trouble is. */
const TOLD_MAX = 8;
/** A state or an answer may be long. Characters. */
const LINE_CHARS_MAX = 400;

/** Why a history is not linearizable, for people: what came before, what cannot be placed, what else was under way. */
export function explain<State, Input, Output>(
  model: Model<State, Input, Output>,
  { prefix, state, stuck, concurrent }: Counterexample<State, Input, Output>,
): string {
  const told = prefix.slice(-TOLD_MAX);
  const left = prefix.length - told.length;
  const line = (operation: Operation<Input, Output>): string => `    ${worded(model, operation)}`;
  return [
    `  ${prefix.length} operations fit an order${left > 0 ? `; the last of them` : ""}:`,
    ...told.map(line),
    `  which ends in: ${short(model.key(state))}`,
    "  this one fits nowhere:",
    line(stuck),
    `  under way beside it: ${concurrent.length === 0 ? "nothing" : ""}`.trimEnd(),
    ...concurrent.slice(-TOLD_MAX).map(line),
  ].join("\n");
}

function worded<State, Input, Output>(
  model: Model<State, Input, Output>,
  { who, input, invokedMs, completed }: Operation<Input, Output>,
): string {
  const span = `${invokedMs.toFixed(1)}–${completed === null ? "?" : completed.atMs.toFixed(1)} ms`;
  return short(`${span}  ${who}: ${model.describe(input, completed?.output)}`);
}

function short(text: string): string {
  return text.length <= LINE_CHARS_MAX ? text : `${text.slice(0, LINE_CHARS_MAX)}…`;
}
