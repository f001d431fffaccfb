import type { Clock } from "#agent/ports/clock.ts";
import type { Membership } from "#agent/ports/membership.ts";
import type { ClusterRuntime, HeldCopy, Registry } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { PeerAddresses, Transport } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** The registry's driver as its owner sees it: see agent/registry/replica.ts. */
interface OwnedRegistry extends Registry {
  found(cluster: ClusterIdentity): Promise<void>;
  follow(cluster: ClusterIdentity): Promise<void>;
  resume(cluster: ClusterIdentity): Promise<void>;
  copy(): Promise<HeldCopy | null>;
  recover(cluster: ClusterIdentity, state: RegistryState, onDurable: () => void): Promise<void>;
  stop(): Promise<void>;
  forget(): Promise<void>;
}

/**
 * How long a member that was removed is still talked to, so that it can hear of it. One that is removed because nobody
 * trusts it any more is cut off no later than this. Milliseconds.
 */
const LINGER_MS = 2000;

interface Deps {
  readonly registry: OwnedRegistry;
  readonly clock: Clock;
  readonly transport: Pick<Transport, "self" | "setCluster" | "setMembers">;
  readonly membership: Pick<Membership, "view" | "onChange"> & {
    setMembers(members: readonly { peer: MemberId; name: string }[]): void;
  };
}

/**
 * This agent's part in a cluster: keeps the mesh, the membership and the registry of one mind about which cluster it is and
 * who belongs to it. Members come from the registry; until that is here, from the contacts that were given on joining.
 *
 * Where members are is told by two: the registry, and each host's own report. A report spreads without a majority, so whoever
 * reaches one member finds all others, even if every address has changed and nothing can be committed yet.
 */
export class Cluster implements ClusterRuntime, Disposable {
  readonly #deps: Deps;
  readonly #watches: readonly Disposable[];
  #identity: ClusterIdentity | null = null;
  /** What the mesh was told last. */
  #known: ReadonlyMap<MemberId, PeerAddresses> = new Map();
  /** Who was removed a moment ago. */
  readonly #lingering = new Map<MemberId, PeerAddresses>();

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#watches = [
      deps.registry.onChange((changes) => {
        if (changes.some(({ topic }) => topic === "members")) this.#tellMembers();
      }),
      deps.registry.onReset(() => this.#tellMembers()),
      deps.membership.onChange((peer) => {
        const known = this.#known.get(peer)?.meshAddrs;
        if (known !== undefined && this.#reported(peer).some((address) => !known.includes(address))) {
          this.#tellMembers();
        }
      }),
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

  copy(): Promise<HeldCopy | null> {
    return this.#deps.registry.copy();
  }

  /** The new incarnation is spoken for only when it is on the disk: who hears of it leaves the old one for good. */
  async recover(cluster: ClusterIdentity, state: RegistryState): Promise<void> {
    await this.#deps.registry.recover(cluster, state, () => this.#enter(cluster));
  }

  /** Takes no further part; what the disk holds stays. */
  async stop(): Promise<void> {
    await this.#deps.registry.stop();
  }

  async forget(): Promise<void> {
    this.#identity = null;
    this.#known = new Map();
    this.#lingering.clear();
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
    const { clusterId, incarnation, lineage } = cluster;
    this.#deps.transport.setCluster({
      clusterId,
      incarnation,
      ...(lineage === undefined ? {} : { lineage }),
    });
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
    for (const { peer, mesh_addrs } of members) {
      known.set(peer, { peer, meshAddrs: [...new Set([...this.#reported(peer), ...mesh_addrs])] });
    }
    known.delete(transport.self);
    for (const [peer, addresses] of this.#known) {
      if (!known.has(peer) && registry.state.tombstones.has(peer)) void this.#linger(peer, addresses);
    }
    this.#known = known;
    transport.setMembers([...known.values(), ...this.#lingering.values()]);
    membership.setMembers(members.map(({ peer, name }) => ({ peer, name })));
  }

  async #linger(peer: MemberId, addresses: PeerAddresses): Promise<void> {
    this.#lingering.set(peer, addresses);
    await this.#deps.clock.sleep(LINGER_MS);
    if (this.#lingering.get(peer) !== addresses) return;
    this.#lingering.delete(peer);
    this.#deps.transport.setMembers([...this.#known.values(), ...this.#lingering.values()]);
  }

  /** Where a host says that it is, as far as that was heard here. */
  #reported(peer: MemberId): readonly string[] {
    return this.#deps.membership.view(peer).report?.meshAddrs ?? [];
  }
}
