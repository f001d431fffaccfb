import type { Bootstrap } from "#agent/ports/bootstrap.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Registry } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { Transport } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** This host's part in its cluster, as far as it can be ended. */
export interface Participation {
  /** Which cluster; null outside of one. */
  readonly identity: ClusterIdentity | null;
  /** Takes no further part from this moment on; what the disk holds stays. */
  stop(): Promise<void>;
}

interface Deps {
  readonly transport: Pick<Transport, "onPeer">;
  readonly registry: Registry;
  readonly participation: Participation;
  readonly bootstrap: Pick<Bootstrap, "state"> & { removed(reason: string): Promise<void> };
  readonly log: Log;
}

/**
 * For a member whose cluster was recovered without it. The later incarnation counts, even where those of the earlier one are the
 * majority and have a leader: what they acknowledge is lost, so the first that hears of it stops, and cannot be talked back.
 *
 * Only members by its own registry are believed, for a peer id is proven and nobody else can have recovered the cluster. What
 * was acknowledged between the recovery and this moment is gone; nothing is after it.
 */
export class Fence implements Disposable {
  readonly #deps: Deps;
  #watch: Disposable | null = null;
  /** The incarnation that was believed in; the registry is not there to be asked any more. */
  #believed: number | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.#watch = this.#deps.transport.onPeer((event) => {
      if (event.type === "outlived") void this.outlived(event.peer, event.incarnation);
    });
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
  }

  /** This peer, which has proven its id, speaks for this incarnation of the cluster. Never rejects. */
  async outlived(peer: MemberId, incarnation: number): Promise<void> {
    const { registry, participation, bootstrap, log } = this.#deps;
    const own = participation.identity;
    // A recovery that is under way here is a way out by itself; should it fail, this is heard again.
    if (bootstrap.state.name !== "completed" || own === null || incarnation <= own.incarnation) return;
    if (!registry.state.members.has(peer) && this.#believed !== incarnation) return;
    const first = this.#believed !== incarnation;
    this.#believed = incarnation;
    if (first)
      log.warn({ peer, incarnation, own: own.incarnation }, "the cluster was recovered without this host");
    try {
      await participation.stop();
      await bootstrap.removed(reasonFor(incarnation, own));
    } catch (error) {
      log.error({ err: error }, "fenced, but the disk could not be told; it is tried again");
    }
  }
}

function reasonFor(incarnation: number, { uid }: ClusterIdentity): string {
  return (
    `the cluster was recovered without this host (incarnation ${incarnation}); ` +
    `join it again with node.identity.uid ${uid} to take this host's place in it`
  );
}
