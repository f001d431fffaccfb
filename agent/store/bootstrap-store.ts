import { Compile } from "typebox/compile";
import { Type } from "typebox";

import type { CountedWrites } from "./counted-writes.ts";
import { KEYS } from "./keys.ts";
import { openJson, sealRecord, type Checker } from "./record.ts";
import type { Database } from "./database.ts";
import type { BootstrapStore } from "#agent/ports/store.ts";
import { BOOTSTRAP_ACTIONS, BOOTSTRAP_ERROR_CODES, type BootstrapState } from "#shared/bootstrap/machine.ts";

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

/** The states of shared/bootstrap/machine.ts, as they lie on disk. */
const StateRecord = Compile(
  Type.Union([
    Type.Object({
      name: Type.Literal("idle"),
      reason: Type.Optional(Type.String()),
      retired: Type.Optional(Type.String()),
    }),
    Type.Object({ name: Type.Enum(["initiated", "running"]), ...attempt }),
    Type.Object({ name: Type.Literal("error"), ...attempt, failure: Failure, endedAt: Time }),
    Type.Object({ name: Type.Literal("completed"), ...attempt, endedAt: Time }),
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
