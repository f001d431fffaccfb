import { randomUUID } from "node:crypto";

import { Compile } from "typebox/compile";
import { Type, type Static } from "typebox";

import type { CountedWrites } from "./counted-writes.ts";
import { KEYS } from "./keys.ts";
import { openJson, sealRecord } from "./record.ts";
import type { Database, Step, View } from "./database.ts";
import type { ClusterIdentity, IdentityStore } from "#agent/ports/store.ts";
import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";

const Host = Type.Object({
  uuid: Type.String({ minLength: 36, maxLength: 36 }),
  starts: Type.Integer({ minimum: 1 }),
  /** Absent in what earlier versions wrote; filled in on the next start. */
  peer: Type.Optional(Type.String({ minLength: 1 })),
});
type Host = Static<typeof Host>;
const HostRecord = Compile(Host);

const ClusterRecord = Compile(
  Type.Object({
    clusterId: Type.String({ minLength: 1 }),
    incarnation: Type.Integer({ minimum: 1 }),
    lineage: Type.Optional(Type.String({ minLength: 1 })),
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
  readonly #writes: CountedWrites;
  #host: Promise<Host> | null = null;

  constructor(deps: { readonly db: Database; readonly writes: CountedWrites }) {
    this.#db = deps.db;
    this.#writes = deps.writes;
  }

  /** Counts once per opening of the database, however often it is asked. */
  async host(): Promise<{ uuid: string; starts: number }> {
    this.#host ??= this.#countStart();
    const { uuid, starts } = await this.#host;
    return { uuid, starts };
  }

  async peer(): Promise<MemberId | null> {
    return (await this.#readHost())?.peer ?? null;
  }

  async savePeer(peer: MemberId, inPlaceOf: MemberId | null = null): Promise<void> {
    await this.host();
    const host = await this.#readHost();
    const mayTake = host?.peer === undefined || host.peer === peer || host.peer === inPlaceOf;
    assert(host !== null && mayTake, "a store never changes hands");
    await this.#writeHost({ ...host, peer });
  }

  cluster(): Promise<ClusterIdentity | null> {
    return this.clusterAt({});
  }

  async clusterAt(view: View): Promise<ClusterIdentity | null> {
    const record = await this.#db.get(KEYS.cluster, view);
    return record === undefined ? null : openJson(record, ClusterRecord, "the cluster's identity");
  }

  async saveCluster(identity: ClusterIdentity): Promise<void> {
    await this.#writes.aside([clusterStep(identity)], { sync: true });
  }

  async #countStart(): Promise<Host> {
    const before = (await this.#readHost()) ?? { uuid: randomUUID(), starts: 0 };
    // On disk before anybody uses it: two lives of one agent must never share a session number.
    const now = { ...before, starts: before.starts + 1 };
    await this.#writeHost(now);
    return now;
  }

  async #readHost(): Promise<Host | null> {
    const record = await this.#db.get(KEYS.host);
    return record === undefined ? null : openJson(record, HostRecord, "the host's identity");
  }

  async #writeHost(host: Host): Promise<void> {
    const value = sealRecord(JSON.stringify(host));
    await this.#writes.aside([{ type: "put", key: KEYS.host, value }], { sync: true });
  }
}

export function clusterStep(identity: ClusterIdentity): Step {
  return { type: "put", key: KEYS.cluster, value: sealRecord(JSON.stringify(identity)) };
}
