/**
 * States what cannot be otherwise. Also active in production: a broken invariant must stop the agent, not spread.
 * Never used on input from a peer or a client; that is rejected with an AppError.
 */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new InvariantBroken(invariant);
}

/** Marks a branch that the types already rule out. */
export function unreachable(value: never, where: string): never {
  throw new InvariantBroken(`${where}: unexpected ${JSON.stringify(value)}`);
}

/** A programming error. It is never caught and translated; it ends as an internal error with an incident id. */
export class InvariantBroken extends Error {
  override readonly name = "InvariantBroken";
}
