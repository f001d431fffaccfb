import { Announcer } from "#agent/bootstrap/announce.ts";
import type { Contact } from "#agent/bootstrap/contact.ts";
import { Copies } from "#agent/bootstrap/copies.ts";
import { Departure } from "#agent/bootstrap/departure.ts";
import type { BootstrapDeps } from "#agent/bootstrap/deps.ts";
import { BootstrapDriver } from "#agent/bootstrap/driver.ts";
import { Sponsor } from "#agent/bootstrap/sponsor.ts";
import { Cluster } from "#agent/cluster.ts";
import { MembershipDriver } from "#agent/membership/driver.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { JoinProofs, Passwords, Scram } from "#agent/ports/credentials.ts";
import type { Inventory } from "#agent/ports/inventory.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Stores } from "#agent/ports/store.ts";
import type { StrangerTransport, Transport } from "#agent/ports/transport.ts";
import type { ReplicaOptions } from "#agent/registry/options.ts";
import type { ReplicaDeps } from "#agent/registry/participant.ts";
import { Replica } from "#agent/registry/replica.ts";
import { sizesOf, type OwnFacts } from "#shared/bootstrap/announcement.ts";
import { isMember, isUnderWay } from "#shared/bootstrap/machine.ts";

/** What a host is a member over: ports only, so that a simulation builds the same member as the agent does. */
export interface MemberDeps extends Pick<ReplicaDeps, "createCore" | "packing"> {
  readonly transport: Transport & StrangerTransport;
  readonly stores: Stores;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** The log of one part of the agent. */
  readonly part: (name: string) => Log;
}

/** Membership and registry, and what keeps both of one mind with the mesh. */
export interface Group {
  readonly membership: MembershipDriver;
  readonly replica: Replica;
  readonly cluster: Cluster;
}

/** Who this host says it is, now. */
export interface MemberSelf extends OwnFacts {
  readonly uuid: string;
  readonly name: string;
}

/** The host among others, in no cluster until something enters one. Nothing is started yet. */
export function buildGroup(
  deps: MemberDeps,
  options: { readonly starts: number; readonly raft: Partial<ReplicaOptions> },
): Group {
  const { part, ...shared } = deps;
  const { transport, clock } = deps;
  const { starts } = options;
  const membership = new MembershipDriver({ ...shared, log: part("membership") }, { starts });
  const replica = new Replica(
    { ...shared, log: part("registry"), membership, session: starts },
    options.raft,
  );
  return { membership, replica, cluster: new Cluster({ registry: replica, transport, membership, clock }) };
}

/** The way into a cluster: this host's own bootstrap, and the door for other hosts. The door is open when this returns. */
export function buildBootstrap(
  deps: MemberDeps & {
    readonly inventory: Inventory;
    readonly passwords: Passwords;
    readonly scram: Scram;
    readonly proofs: JoinProofs;
    readonly self: MemberSelf;
  } & Pick<BootstrapDeps, "backups" | "checkFolder" | "newClusterId" | "socketDirectory">,
  { replica, cluster, membership }: Group,
  options: { readonly contact?: Contact; readonly clockLimitMs?: number } = {},
): BootstrapDriver {
  const { stores, transport, scram, proofs, clock, packing, part, self } = deps;
  const bootstrap = new BootstrapDriver(
    {
      ...deps,
      store: stores.bootstrap,
      identity: stores.identity,
      runtime: cluster,
      log: part("bootstrap"),
      host: self,
      apiUrls: () => self.apiUrls,
    },
    options,
  );
  const copies = new Copies({
    self: transport.self,
    runtime: cluster,
    identity: stores.identity,
    scram,
    clock,
    log: part("sponsor"),
    isMember: () => isMember(bootstrap.state),
    isRecovering: () => isUnderWay(bootstrap.state),
    ...(packing === undefined ? {} : { packing }),
  });
  const sponsor = new Sponsor(
    {
      self: transport.self,
      transport,
      registry: replica,
      identity: stores.identity,
      scram,
      proofs,
      clock,
      log: part("sponsor"),
      isMember: () => bootstrap.state.name === "completed",
      isAlive: (peer) => membership.isAlive(peer),
      answerCopy: (channel, question) => copies.answer(channel, question),
    },
    options,
  );
  sponsor.start();
  return bootstrap;
}

/** What a former life agreed to goes on. Rejects with StoreDamaged. */
export async function comeBack(
  { stores }: Pick<MemberDeps, "stores">,
  { cluster }: Group,
  bootstrap: BootstrapDriver,
): Promise<void> {
  const state = await bootstrap.resume();
  const joined = await stores.identity.cluster();
  if (state.name === "completed" && joined !== null) await cluster.resume(joined);
}

/** The ways out of the cluster. Nothing is watched before speakForItself starts it. */
export function buildDeparture(
  { transport, stores, clock, part }: MemberDeps,
  { membership, replica, cluster }: Group,
  bootstrap: BootstrapDriver,
): Departure {
  return new Departure({
    self: transport.self,
    transport,
    registry: replica,
    participation: cluster,
    voting: replica,
    identity: stores.identity,
    membership,
    bootstrap,
    clock,
    log: part("bootstrap"),
  });
}

/** Keeps others informed of this host: its facts by gossip, its record by the registry, and hears of its own removal. */
export function speakForItself(
  deps: MemberDeps & {
    readonly inventory: Inventory;
    readonly self: MemberSelf;
    /** The one that the API knows; one of its own when left out. */
    readonly departure?: Departure;
  } & Pick<BootstrapDeps, "socketDirectory">,
  group: Group,
  bootstrap: BootstrapDriver,
): AsyncDisposable {
  const { clock, part, inventory, self, departure = buildDeparture(deps, group, bootstrap) } = deps;
  const { membership, replica } = group;
  const log = part("bootstrap");
  const sockets = deps.socketDirectory === undefined ? {} : { socketDirectory: deps.socketDirectory };
  const stack = new AsyncDisposableStack();
  const announcer = stack.use(
    new Announcer({
      registry: replica,
      clock,
      log,
      own: () =>
        bootstrap.state.name === "completed"
          ? { ...self, ...sizesOf(inventory.current()), ...sockets }
          : null,
    }),
  );
  announcer.start();
  const publish = (): void => {
    const { peer, name, apiUrls, meshAddrs } = self;
    membership.publish({ peer, name, facts: inventory.current(), apiUrls, meshAddrs });
  };
  publish();
  stack.use(
    inventory.onChange(() => {
      publish();
      announcer.check();
    }),
  );
  stack.use(bootstrap.onChange(() => announcer.check()));
  stack.use(departure).start();
  return stack;
}
