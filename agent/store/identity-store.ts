import { randomUUID } from "node:crypto";

import { Compile } from "typebox/compile";
import { Type } from "typebox";

import { KEYS } from "./keys.ts";
import { openJson, sealRecord } from "./record.ts";
import type { Database } from "./database.ts";
import type { ClusterIdentity, IdentityStore } from "#agent/ports/store.ts";

const HostRecord = Compile(
  Type.Object({ uuid: Type.String({ minLength: 36, maxLength: 36 }), starts: Type.Integer({ minimum: 1 }) }),
);

const ClusterRecord = Compile(
  Type.Object({
    clusterId: Type.String({ minLength: 1 }),
    incarnation: Type.Integer({ minimum: 1 }),
    uid: Type.Integer({ minimum: 1 }),
    contacts: Type.Array(Type.Object({ peer: Type.String(), meshAddrs: Type.Array(Type.String()) })),
    paths: Type.Optional(
      Type.Object({
        persistent: Type.String(),
        ephemeral: Type.String(),
        bigstore: Type.Union([Type.String(), Type.Null()]),
      }),
    ),
  }),
);

/** Who this host is, by itself and in its cluster. */
export class LevelIdentityStore implements IdentityStore {
  readonly #db: Database;
  #host: Promise<{ uuid: string; starts: number }> | null = null;

  constructor(deps: { readonly db: Database }) {
    this.#db = deps.db;
  }

  /** Counts once per opening of the database, however often it is asked. */
  host(): Promise<{ uuid: string; starts: number }> {
    this.#host ??= this.#countStart();
    return this.#host;
  }

  async cluster(): Promise<ClusterIdentity | null> {
    const record = await this.#db.get(KEYS.cluster);
    return record === undefined ? null : openJson(record, ClusterRecord, "the cluster's identity");
  }

  async saveCluster(identity: ClusterIdentity): Promise<void> {
    await this.#db.put(KEYS.cluster, sealRecord(JSON.stringify(identity)), { sync: true });
  }

  async #countStart(): Promise<{ uuid: string; starts: number }> {
    const record = await this.#db.get(KEYS.host);
    const before =
      record === undefined
        ? { uuid: randomUUID(), starts: 0 }
        : openJson(record, HostRecord, "the host's identity");
    // On disk before anybody uses it: two lives of one agent must never share a session number.
    const now = { uuid: before.uuid, starts: before.starts + 1 };
    await this.#db.put(KEYS.host, sealRecord(JSON.stringify(now)), { sync: true });
    return now;
  }
}
