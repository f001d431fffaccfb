import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";

/** The value as what its schema says, or null when it is something else. Unknown fields are let through: a newer side may add some. */
export function checked<T extends TSchema>(schema: T, value: unknown): Static<T> | null {
  return Value.Check(schema, value) ? value : null;
}
