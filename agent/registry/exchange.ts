import { StoreDamaged, type ClusterIdentity, type Stores } from "#agent/ports/store.ts";

/**
 * What puts other stores under a participation: a recovery, and opening them anew after a failed write. One at a time, and never one
 * after the other's time, for whoever asked for the second was told that it failed.
 */
export class Exchange {
  readonly #stores: Pick<Stores, "identity">;
  #underWay = false;
  #overtaken = false;

  constructor(deps: { readonly stores: Pick<Stores, "identity"> }) {
    this.#stores = deps.stores;
  }

  /** A recovery that was told as failed is on the disk all the same. */
  get overtaken(): boolean {
    return this.#overtaken;
  }

  /** Rejects with what `busy` says while another one is under way. */
  async alone<T>(work: () => Promise<T>, busy: () => Error): Promise<T> {
    if (this.#underWay) throw busy();
    this.#underWay = true;
    try {
      return await work();
    } finally {
      this.#underWay = false;
    }
  }

  /**
   * For stores that were opened anew: what they hold must be this cluster still. A recovery whose write failed may have reached the
   * disk, and whoever goes on from there must begin as after a start. Throws StoreDamaged.
   */
  async check(cluster: ClusterIdentity | null): Promise<void> {
    const stored = await this.#stores.identity.cluster();
    if (stored?.incarnation === cluster?.incarnation && stored?.lineage === cluster?.lineage) return;
    this.#overtaken = true;
    throw new StoreDamaged("a recovery that failed is on the disk all the same", "restart this agent");
  }
}
