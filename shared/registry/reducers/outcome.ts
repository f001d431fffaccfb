import type { ErrorFacts, ErrorKind, Refusal } from "#shared/errors/kinds.ts";
import type { EpochMs } from "#shared/lib/time.ts";
import type { CommandOf, CommandType } from "#shared/registry/command.ts";
import type { Change, RegistryState } from "#shared/registry/state.ts";

/** Where in the log a command is applied; the only clock a reducer knows. */
interface Moment {
  readonly index: number;
  readonly at: EpochMs;
}

export type Touched = Pick<Change, "topic" | "op" | "id">;

interface Refused {
  readonly ok: false;
  readonly refusal: Refusal;
}

export type Outcome =
  | {
      readonly ok: true;
      readonly value: Readonly<Record<string, number | string>>;
      readonly touched: readonly Touched[];
    }
  | Refused;

/**
 * Checks first, then changes the state in place. Invariants: deterministic (no use of the order of a Map, which differs after a
 * snapshot); a refusal leaves the state untouched; records are replaced, never mutated.
 */
export type Reducer<T extends CommandType> = (
  state: RegistryState,
  command: CommandOf<T>,
  moment: Moment,
) => Outcome;

export function refuse<K extends ErrorKind>(kind: K, facts: ErrorFacts[K]): Refused {
  return { ok: false, refusal: { kind, facts } as Refusal };
}

export function done(
  touched: readonly Touched[],
  value: Readonly<Record<string, number | string>> = {},
): Outcome {
  return { ok: true, value, touched };
}
