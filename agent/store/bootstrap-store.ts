import { Compile } from "typebox/compile";
import { Type } from "typebox";

import type { CountedWrites } from "./counted-writes.ts";
import { KEYS } from "./keys.ts";
import { openJson, sealRecord, type Checker } from "./record.ts";
import type { Database } from "./database.ts";
import type { BootstrapStore } from "#agent/ports/store.ts";
import { BOOTSTRAP_ACTIONS, BOOTSTRAP_ERROR_CODES, type BootstrapState } from "#shared/bootstrap/machine.ts";
import { BOOTSTRAP_STEPS_MAX } from "#shared/lib/limits.ts";

const Time = Type.Integer({ minimum: 0 });
const attempt = {
  action: Type.Enum([...BOOTSTRAP_ACTIONS]),
  attempt: Type.Integer({ minimum: 0 }),
  startedAt: Time,
};
const Failure = Type.Object({
  code: Type.Enum([...BOOTSTRAP_ERROR_CODES]),
  details: Type.Object({ message: Type.String() }),
});
const Step = Type.Object({
  name: Type.String(),
  state: Type.Enum(["running", "done", "failed"]),
  start: Time,
  end: Type.Union([Time, Type.Null()]),
});
/** Records of former versions have no steps. */
const steps = Type.Optional(Type.Array(Step, { maxItems: BOOTSTRAP_STEPS_MAX }));
const completed = { ...attempt, endedAt: Time, steps };
const member = Type.Optional(Type.Object({ ...completed, incarnation: Type.Integer({ minimum: 1 }) }));
const recovery = Type.Optional(
  Type.Object({
    failure: Failure,
    attempt: attempt.attempt,
    startedAt: Time,
    endedAt: Time,
    steps,
  }),
);

/** The states of shared/bootstrap/machine.ts, as they lie on disk. */
const StateRecord = Compile(
  Type.Union([
    Type.Object({
      name: Type.Literal("idle"),
      reason: Type.Optional(Type.String()),
      retired: Type.Optional(Type.String()),
    }),
    Type.Object({ name: Type.Enum(["initiated", "running"]), ...attempt, member }),
    Type.Object({ name: Type.Literal("error"), ...completed, failure: Failure }),
    Type.Object({ name: Type.Literal("completed"), ...completed, recovery }),
  ]),
) as Checker<unknown> as Checker<BootstrapState>;

const IDLE: BootstrapState = { name: "idle" };

/** Where this host's bootstrap stands; `idle` on a fresh disk. */
export class LevelBootstrapStore implements BootstrapStore {
  readonly #db: Database;
  readonly #writes: CountedWrites;

  constructor(deps: { readonly db: Database; readonly writes: CountedWrites }) {
    this.#db = deps.db;
    this.#writes = deps.writes;
  }

  async load(): Promise<BootstrapState> {
    const record = await this.#db.get(KEYS.bootstrap);
    return record === undefined ? IDLE : openJson(record, StateRecord, "the bootstrap state");
  }

  async save(state: BootstrapState): Promise<void> {
    const value = sealRecord(JSON.stringify(state));
    await this.#writes.aside([{ type: "put", key: KEYS.bootstrap, value }], { sync: true });
  }
}
