import type { ClusterRuntime, Registry } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { PeerAddresses, Transport } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** The registry's driver as its owner sees it: see agent/registry/replica.ts. */
interface OwnedRegistry extends Registry {
  found(cluster: ClusterIdentity): Promise<void>;
  follow(cluster: ClusterIdentity): Promise<void>;
  resume(cluster: ClusterIdentity): Promise<void>;
  forget(): Promise<void>;
}

interface Deps {
  readonly registry: OwnedRegistry;
  readonly transport: Pick<Transport, "self" | "setCluster" | "setMembers">;
  readonly membership: { setMembers(members: readonly { peer: MemberId; name: string }[]): void };
}

/**
 * This agent's part in a cluster: keeps the mesh, the membership and the registry of one mind about which cluster it is and
 * who belongs to it. Members come from the registry; until that is here, from the contacts that were given on joining.
 */
export class Cluster implements ClusterRuntime, Disposable {
  readonly #deps: Deps;
  readonly #watches: readonly Disposable[];
  #identity: ClusterIdentity | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#watches = [
      deps.registry.onChange((changes) => {
        if (changes.some(({ topic }) => topic === "members")) this.#tellMembers();
      }),
      deps.registry.onReset(() => this.#tellMembers()),
    ];
  }

  get registry(): Registry {
    return this.#deps.registry;
  }

  /** Which cluster this agent is in; null before it is in one. */
  get identity(): ClusterIdentity | null {
    return this.#identity;
  }

  async found(cluster: ClusterIdentity): Promise<void> {
    this.#enter(cluster);
    await this.#deps.registry.found(cluster);
  }

  async follow(cluster: ClusterIdentity): Promise<void> {
    this.#enter(cluster);
    await this.#deps.registry.follow(cluster);
  }

  /** Goes on with what the disk holds, after a restart. Rejects with StoreDamaged. */
  async resume(cluster: ClusterIdentity): Promise<void> {
    this.#enter(cluster);
    await this.#deps.registry.resume(cluster);
    this.#tellMembers();
  }

  async forget(): Promise<void> {
    this.#identity = null;
    await this.#deps.registry.forget();
    this.#deps.transport.setCluster(null);
    this.#deps.transport.setMembers([]);
    this.#deps.membership.setMembers([]);
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  #enter(cluster: ClusterIdentity): void {
    this.#identity = cluster;
    this.#deps.transport.setCluster({ clusterId: cluster.clusterId, incarnation: cluster.incarnation });
    this.#tellMembers();
  }

  #tellMembers(): void {
    const identity = this.#identity;
    if (identity === null) return;
    const { registry, transport, membership } = this.#deps;
    const members = [...registry.state.members.values()];
    const known = new Map<MemberId, PeerAddresses>();
    if (!registry.state.members.has(transport.self)) {
      for (const contact of identity.contacts) known.set(contact.peer, contact);
    }
    for (const { peer, mesh_addrs } of members) known.set(peer, { peer, meshAddrs: mesh_addrs });
    known.delete(transport.self);
    transport.setMembers([...known.values()]);
    membership.setMembers(members.map(({ peer, name }) => ({ peer, name })));
  }
}
