import type { StateMachine } from "./apply.ts";
import type { Freshness } from "./freshness.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Snapshotter } from "./snapshotter.ts";
import { fetchSnapshot, type Fetched, type Packing } from "./transfer.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Stores } from "#agent/ports/store.ts";
import type { Transport } from "#agent/ports/transport.ts";
import type { SnapshotMeta } from "#shared/consensus/messages.ts";
import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";

interface Deps {
  readonly transport: Pick<Transport, "request">;
  readonly stores: Pick<Stores, "snapshots">;
  readonly log: Log;
  readonly loop: Pick<ConsensusLoop, "do" | "ended" | "status">;
  readonly machine: StateMachine;
  readonly snapshotter: Snapshotter;
  readonly freshness: Freshness;
  readonly packing?: Packing | undefined;
}

/** Snapshots from others: fetched beside the loop, one at a time, and installed in a turn of it. */
export class SnapshotIntake {
  readonly #deps: Deps;
  readonly #stopped = new AbortController();
  #fetching: Promise<void> | null = null;
  /** What the core was told of and has not asked to install yet. */
  #fetched: Fetched | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The leader offers a snapshot, because it has forgotten what this log lacks. It offers again when this fails. */
  offered(from: MemberId, meta: SnapshotMeta): void {
    if (meta.index <= this.#deps.loop.status.commit) return;
    this.fetch(from).catch((error: unknown) => {
      if (this.#stopped.signal.aborted) return;
      this.#deps.log.warn({ peer: from, err: error }, "could not fetch a snapshot");
    });
  }

  /** Fetches the newest snapshot of a peer and gives it to the core. Joins a fetch that is under way, from whomever. */
  fetch(from: MemberId): Promise<void> {
    this.#fetching ??= this.#fetch(from).finally(() => {
      this.#fetching = null;
    });
    return this.#fetching;
  }

  /** In a turn: makes the fetched snapshot durable and puts it in the state's place. */
  async install(meta: SnapshotMeta): Promise<void> {
    const { snapshotter, stores, machine, freshness, log } = this.#deps;
    const fetched = this.#fetched;
    assert(fetched?.meta.index === meta.index, "a snapshot is fetched before it is installed");
    this.#fetched = null;
    await snapshotter.idle();
    await stores.snapshots.save(meta, fetched.body);
    machine.replace(fetched.state);
    snapshotter.installed(fetched.body.length);
    freshness.appliedTo(meta.index);
    log.info({ index: meta.index, bytes: fetched.body.length }, "installed a snapshot");
  }

  stop(reason: Error): void {
    this.#stopped.abort(reason);
  }

  async #fetch(from: MemberId): Promise<void> {
    const { transport, loop, packing } = this.#deps;
    const fetched = await fetchSnapshot(transport, from, this.#stopped.signal, packing);
    await new Promise<void>((resolve, reject) => {
      if (loop.ended) reject(new Error("consensus has stopped on this agent"));
      loop.do((core) => {
        if (core.installSnapshot(fetched.meta)) this.#fetched = fetched;
        resolve();
      });
    });
  }
}
