import type { Model, Operation } from "#test/histories/linearize.ts";

/**
 * The definition itself, for histories of a few operations: some order of all answered and any of the unknown operations, in
 * which nothing stands before what had ended when it began, explains every answer.
 */
export function linearizableByTrying<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
): boolean {
  const tryNext = (state: State, left: readonly Operation<Input, Output>[]): boolean => {
    if (left.every(({ completed }) => completed === null)) return true;
    return left.some((next) => {
      const tooEarly = left.some(({ completed }) => completed !== null && completed.atMs < next.invokedMs);
      if (tooEarly) return false;
      const after = model.step(state, next.input, next.completed?.output);
      return (
        after !== null &&
        tryNext(
          after,
          left.filter((other) => other !== next),
        )
      );
    });
  };
  return tryNext(model.init, operations);
}
