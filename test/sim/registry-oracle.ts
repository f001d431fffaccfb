import { RECOVERY_ID_GAP } from "#shared/lib/limits.ts";
import type { Command, CommandOf, NewMember } from "#shared/registry/command.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** What a command must be answered: the value, or the kind of the refusal. */
export type Expected = { readonly value: object } | { readonly refused: string };

interface Host {
  readonly peer: string;
  readonly uuid: string;
  readonly name: string;
  readonly uid: number;
  readonly status: string;
  readonly failed: boolean;
  /** It keeps its place when it is lost while it joins. */
  readonly settled: boolean;
  readonly rack: string | null;
  readonly ipv6: boolean;
  readonly folder: string | null;
  readonly memory: number | null;
  readonly flash: number;
  readonly listeners: number | null;
}

/** What the oracle asks of a host that comes; the rest is nothing to it. */
type Comer = Pick<NewMember, "peer" | "uuid" | "name"> & Partial<NewMember>;

interface Account {
  readonly uid: number;
  readonly name: string;
  readonly admin: boolean;
}

interface Permit {
  readonly id: string;
  readonly until: number;
  readonly maker: string;
  readonly user: string | null;
}

const say = (value: object = {}): Expected => ({ value });
const no = (refused: string): Expected => ({ refused });

/**
 * The rules of seed 000 and of membership, written down a second time and in another way: plain lists, nothing shared with the
 * reducers. It is asked first and then shown what the reducers made of the same command.
 */
export class RegistryOracle {
  created = false;
  hosts: Host[] = [];
  removed: string[] = [];
  zones: { readonly id: number; readonly name: string }[] = [];
  distances: { readonly from: string; readonly to: string; readonly distance: number }[] = [];
  /** The left-hand sides that were given, with or without distances. */
  rows: string[] = [];
  nodes: { readonly uuid: string; readonly zone: number; readonly uri: string; readonly host: string }[] = [];
  /** Null: no cluster. */
  pool: number | null = null;
  lets: "replace" | "open" = "replace";
  racks = false;
  placement = "sparse";
  license = "";
  suffixes: readonly string[] = [];
  authority = "";
  accounts: Account[] = [];
  permits: Permit[] = [];
  uids = 0;
  zoneIds = 0;
  accountIds = 0;
  now = 0;

  /** The log's time never goes back. */
  passes(at: number): void {
    if (at > this.now) this.now = at;
  }

  // oxlint-disable-next-line complexity -- one case per command, side by side
  expect(command: Command): Expected {
    switch (command.type) {
      case "cluster.create": {
        if (this.created || this.hosts.length > 0) return no("cluster_exists");
        if (command.rack_aware && command.member.rack_id === null) return no("rack_id_required");
        this.created = true;
        this.pool = 10;
        this.racks = command.rack_aware;
        this.uids += 1;
        this.accountIds += 1;
        this.hosts.push({ ...hostOf(command.member), uid: this.uids, status: "active", settled: true });
        const others = this.accounts.filter(({ name }) => name !== command.admin.name);
        this.accounts = [...others, { uid: this.accountIds, name: command.admin.name, admin: true }];
        return say({ uid: this.uids });
      }
      case "member.add":
        return this.#admits(command);
      case "member.activate":
      case "member.update":
      case "member.configure":
      case "member.set_failed":
      case "member.remove": {
        const [known] = this.hosts.filter(({ peer }) => peer === command.peer);
        if (this.removed.includes(command.peer)) return no("member_removed");
        if (known === undefined) return no("member_not_found");
        const others = this.hosts.filter((host) => host !== known);
        if (command.type === "member.update") {
          const { memory_bytes: memory = known.memory, flash_bytes: flash = known.flash } = command;
          this.hosts = [...others, { ...known, memory, flash }];
          return say();
        }
        if (command.type === "member.configure") {
          const { rack_id, max_listeners: listeners = known.listeners } = command;
          const taken = known.rack !== null && rack_id !== undefined && !alike(known.rack, rack_id);
          if (taken) return no("member_has_rack");
          const rack = known.rack ?? (rack_id === undefined ? null : this.#spelt(rack_id));
          this.hosts = [...others, { ...known, rack, listeners }];
          return say();
        }
        if (command.type === "member.activate") {
          const failed = known.status === "active" && known.failed;
          this.hosts = [...others, { ...known, status: "active", settled: true, failed }];
          return say();
        }
        if (command.type === "member.set_failed") {
          const failed = known.settled && command.failed;
          this.hosts = [...others, { ...known, failed }];
          return say();
        }
        if (others.length === 0) return no("bad_request");
        this.hosts = others;
        this.removed.push(command.peer);
        return say();
      }
      case "cluster.configure": {
        if (!this.created) return no("not_in_cluster");
        const { rack_aware: racks = this.racks } = command;
        if (this.racks && !racks) return no("change_refused");
        if (racks && this.hosts.some(({ rack }) => rack === null)) return no("change_refused");
        this.racks = racks;
        this.pool = command.candidate_pool_size ?? this.pool;
        this.lets = command.repair_policy ?? this.lets;
        this.placement = command.policy?.default_shards_placement ?? this.placement;
        this.license = command.license ?? this.license;
        this.suffixes = command.dns_suffixes?.map(({ name }) => name) ?? this.suffixes;
        this.authority = command.trusted_ca ?? this.authority;
        return say();
      }
      case "user.create": {
        if (this.accounts.some(({ name }) => name === command.name)) return no("user_exists");
        this.accountIds += 1;
        const admin = command.role === "admin";
        this.accounts.push({ uid: this.accountIds, name: command.name, admin });
        return say({ uid: this.accountIds });
      }
      case "user.update":
      case "user.delete": {
        const [known] = this.accounts.filter(({ name }) => name === command.name);
        if (known === undefined) return no("user_not_found");
        const others = this.accounts.filter((account) => account !== known);
        const loses = command.type === "user.delete" || command.role === "viewer";
        if (loses && known.admin && !others.some(({ admin }) => admin)) return no("change_refused");
        this.accounts = others;
        if (command.type === "user.delete" || (loses && known.admin)) {
          this.permits = this.permits.filter(({ maker, user }) => maker !== known.name || user !== null);
        }
        if (command.type === "user.delete") return say();
        const admin = command.role === undefined ? known.admin : command.role === "admin";
        this.accounts.push({ ...known, admin });
        return say({ uid: known.uid });
      }
      case "token.create": {
        if (this.permits.some(({ id }) => id === command.id)) return no("bad_request");
        const until = this.now + command.ttl_ms;
        this.permits.push({ id: command.id, until, maker: command.created_by, user: null });
        return say({ expires_at: until });
      }
      case "token.revoke": {
        if (!this.permits.some(({ id }) => id === command.id)) return no("token_not_found");
        this.permits = this.permits.filter(({ id }) => id !== command.id);
        return say();
      }
      case "zone.create": {
        if (this.zones.some(({ name }) => name === command.name)) return no("zone_exists");
        this.zoneIds += 1;
        this.zones.push({ id: this.zoneIds, name: command.name });
        return say({ id: this.zoneIds });
      }
      case "zone.rename": {
        if (!this.hasZone(command.id)) return no("zone_not_found");
        const others = this.zones.filter(({ id }) => id !== command.id);
        if (others.some(({ name }) => name === command.name)) return no("zone_exists");
        this.zones = [...others, { id: command.id, name: command.name }];
        return say();
      }
      case "zone.delete": {
        if (!this.hasZone(command.id)) return no("zone_not_found");
        if (this.nodes.some(({ zone }) => zone === command.id)) return no("zone_in_use");
        const gone = String(command.id);
        this.zones = this.zones.filter(({ id }) => id !== command.id);
        this.rows = this.rows.filter((row) => row !== gone);
        this.distances = this.distances.filter(({ from, to }) => from !== gone && to !== gone);
        return say();
      }
      case "zones.set_weights": {
        const cells = Object.entries(command.weights).flatMap(([from, row]) =>
          Object.entries(row).map(([to, distance]) => ({ from, to, distance })),
        );
        const rows = Object.keys(command.weights);
        const ids = [...rows, ...cells.map(({ to }) => to)];
        if (!ids.every((id) => this.zones.some((zone) => String(zone.id) === id)))
          return no("zones_weights_error");
        if (cells.some(({ from, to, distance }) => from === to && distance > 0))
          return no("zones_weights_error");
        this.rows = rows;
        this.distances = cells;
        return say();
      }
      case "node.register": {
        const [host] = this.hosts.filter(({ uuid }) => uuid === command.uuid);
        if (host === undefined) return no("node_not_discovered");
        if (this.nodes.some(({ uuid }) => uuid === command.uuid)) return no("node_already_registered");
        if (!this.hasZone(command.zone_id)) return no("zone_not_found");
        this.nodes.push({ uuid: command.uuid, zone: command.zone_id, uri: command.uri, host: host.name });
        return say();
      }
      case "node.update": {
        const [known] = this.nodes.filter(({ uuid }) => uuid === command.uuid);
        if (known === undefined) return no("node_not_registered");
        const zone = command.zone_id ?? known.zone;
        if (!this.hasZone(zone)) return no("zone_not_found");
        const others = this.nodes.filter((node) => node !== known);
        this.nodes = [...others, { ...known, zone, uri: command.uri ?? known.uri }];
        return say();
      }
      case "node.unregister": {
        const others = this.nodes.filter(({ uuid }) => uuid !== command.uuid);
        if (others.length === this.nodes.length) return no("node_not_registered");
        this.nodes = others;
        return say();
      }
    }
  }

  /** A host that comes. In the order in which the refusals are told. */
  #admits(command: CommandOf<"member.add">): Expected {
    const comes = hostOf(command.member);
    if (this.removed.includes(comes.peer)) return no("member_removed");
    const [permit] = this.permits.filter(({ id }) => id === command.token);
    const permitted = permit?.user === null ? this.now < permit.until : permit?.user === comes.peer;
    if (command.token !== undefined && !permitted) return no("access_denied");
    const [known] = this.hosts.filter(({ peer }) => peer === comes.peer);
    const wants = command.want_uid === known?.uid ? undefined : command.want_uid;
    const [lost] = this.hosts.filter(({ uid }) => uid === wants);
    if (wants !== undefined && (known !== undefined || lost?.failed !== true)) return no("config_error");
    const anew = known === undefined && lost === undefined;
    if (anew && this.lets === "replace" && this.hosts.some(({ failed }) => failed))
      return no("repair_required");
    const before = lost ?? known;
    const fit = this.#fits(command.member, comes, before, command.override_rack_id === true);
    if ("refused" in fit) return fit;
    if (lost !== undefined && command.member.memory_bytes !== undefined) {
      if (comes.memory !== null && comes.memory < atLeast(lost.memory ?? 0))
        return no("insufficient_node_memory");
    }
    if (lost !== undefined && comes.flash < atLeast(lost.flash)) return no("insufficient_node_flash");
    if (anew) this.uids += 1;
    const uid = before?.uid ?? this.uids;
    const settled = lost !== undefined || (known?.settled ?? false);
    this.#takes(before, { ...comes, ...fit, uid, status: "joining", settled });
    this.permits = this.permits.map((one) => (one === permit ? { ...one, user: comes.peer } : one));
    return say({ uid });
  }

  /** One host carries on alone from a copy: see shared/registry/recovery.ts. */
  recover({ uid, ...member }: Comer & { readonly uid: number | null }): Expected {
    const comes = hostOf(member);
    if (this.removed.includes(comes.peer)) return no("member_removed");
    const one = (of: (host: Host) => boolean): Host | undefined => this.hosts.find(of);
    const itself = one(({ peer }) => peer === comes.peer);
    const guess = one(({ uuid }) => uuid === comes.uuid) ?? one(({ name }) => name === comes.name);
    const node = itself ?? one((host) => host.uid === (uid ?? guess?.uid ?? 1));
    if (node === undefined || (uid !== null && node.uid !== uid)) return no("config_error");
    const fit = this.#fits(member, comes, node, false);
    if ("refused" in fit) return fit.refused === "member_name_exists" ? no("config_error") : fit;
    this.#takes(node, { ...comes, ...fit, uid: node.uid, status: "active", settled: true });
    const others = this.hosts.filter(({ peer }) => peer !== comes.peer);
    this.removed.push(...others.filter(({ settled }) => !settled).map(({ peer }) => peer));
    this.hosts = [
      ...this.hosts.filter(({ peer }) => peer === comes.peer),
      ...others.filter(({ settled }) => settled).map((host) => ({ ...host, failed: true })),
    ];
    this.permits = this.permits.filter(({ user }) => user !== null);
    this.uids += RECOVERY_ID_GAP;
    this.zoneIds += RECOVERY_ID_GAP;
    this.accountIds += RECOVERY_ID_GAP;
    return say();
  }

  /** What the host's record says beyond its own word; `before`: who it was, or whose place it takes. */
  #fits(
    said: Comer,
    comes: Omit<Host, "uid" | "status" | "settled">,
    before: Host | undefined,
    override: boolean,
  ): { readonly rack: string | null; readonly ipv6: boolean } | { readonly refused: string } {
    const strangers = this.hosts.filter((host) => host.peer !== comes.peer && host !== before);
    if (strangers.some(({ name, uuid }) => name === comes.name || uuid === comes.uuid))
      return { refused: "member_name_exists" };
    const elders = this.hosts
      .filter(({ peer }) => peer !== comes.peer)
      .toSorted((one, other) => one.uid - other.uid);
    const folder = elders.find((elder) => elder.folder !== null)?.folder ?? comes.folder;
    if (comes.folder !== null && comes.folder !== folder) return { refused: "socket_directory_mismatch" };
    const ipv6 = elders[0]?.ipv6 ?? said.use_internal_ipv6 ?? false;
    if (said.use_internal_ipv6 !== undefined && said.use_internal_ipv6 !== ipv6)
      return { refused: "node_config_mismatch" };
    const was = before?.rack ?? null;
    if (was !== null && comes.rack !== null && !override && !alike(was, comes.rack))
      return { refused: "config_error" };
    const rack = comes.rack === null ? was : this.#spelt(comes.rack);
    return this.racks && rack === null ? { refused: "rack_id_required" } : { rack, ipv6 };
  }

  /** Puts a host where another one, itself or nobody was. */
  #takes(before: Host | undefined, host: Host): void {
    this.hosts = [...this.hosts.filter((other) => other !== before), host];
    if (before === undefined || before.peer === host.peer) return;
    this.removed.push(before.peer);
    const own = this.nodes.some(({ uuid }) => uuid === host.uuid && uuid !== before.uuid);
    this.nodes = this.nodes.map((node) =>
      node.uuid === before.uuid && !own ? { ...node, uuid: host.uuid, host: host.name } : node,
    );
  }

  #spelt(rack: string): string {
    return this.hosts.find((host) => host.rack !== null && alike(host.rack, rack))?.rack ?? rack;
  }

  /** The same facts as `factsOf` takes from a state. */
  facts(): object {
    return facts(this);
  }

  hasZone(id: number): boolean {
    return this.zones.some((zone) => zone.id === id);
  }
}

/** What the oracle knows of, out of a state, as sorted lines. */
export function factsOf(state: RegistryState): object {
  const { cluster } = state;
  return facts({
    pool: cluster?.settings.candidatePoolSize ?? null,
    lets: cluster?.settings.repairPolicy ?? "replace",
    racks: cluster?.rackAware ?? false,
    placement: cluster?.policy.default_shards_placement ?? "sparse",
    license: cluster?.license ?? "",
    suffixes: cluster?.dnsSuffixes.map(({ name }) => name) ?? [],
    authority: cluster?.trustedCa ?? "",
    accounts: [...state.users.values()].map(({ uid, name, role }) => ({
      uid,
      name,
      admin: role === "admin",
    })),
    permits: [...state.tokens.values()].map(({ id, expiresAt, createdBy, usedBy }) => ({
      id,
      until: expiresAt,
      maker: createdBy,
      user: usedBy,
    })),
    hosts: [...state.members.values()].map((member) => ({
      ...hostOf(member),
      uid: member.uid,
      status: member.status,
      settled: member.status === "active" || member.tookOverAt !== undefined,
      failed: member.failedAt !== null,
    })),
    removed: [...state.tombstones.keys()],
    zones: [...state.zones.values()],
    rows: Object.keys(state.weights),
    distances: Object.entries(state.weights).flatMap(([from, row]) =>
      Object.entries(row).map(([to, distance]) => ({ from, to, distance })),
    ),
    nodes: [...state.nodes.values()].map(({ uuid, zoneId, uri, hostname }) => ({
      uuid,
      zone: zoneId,
      uri,
      host: hostname,
    })),
  });
}

type Facts = Omit<
  RegistryOracle,
  | "expect"
  | "recover"
  | "facts"
  | "hasZone"
  | "passes"
  | "created"
  | "now"
  | "uids"
  | "zoneIds"
  | "accountIds"
>;

function facts(of: Facts): object {
  return {
    cluster: [of.pool, of.lets, of.racks, of.placement, of.license, of.suffixes, of.authority].join(),
    accounts: of.accounts.map(({ uid, name, admin }) => [uid, name, admin].join()).sort(),
    permits: of.permits.map(({ id, until, user }) => [id, until, user].join()).sort(),
    hosts: of.hosts
      .map((host) => {
        const { peer, uuid, name, uid, status, failed, settled, rack, ipv6, folder, memory, flash } = host;
        const own = [peer, uuid, name, uid, status, failed, settled].join();
        return [own, rack, ipv6, folder, memory, flash, host.listeners].join();
      })
      .sort(),
    removed: of.removed.toSorted(),
    zones: of.zones.map(({ id, name }) => `${id} ${name}`).sort(),
    weights: [
      ...of.rows,
      ...of.distances.map(({ from, to, distance }) => `${from} ${to} ${distance}`),
    ].sort(),
    nodes: of.nodes.map(({ uuid, zone, uri, host }) => [uuid, zone, uri, host].join()).sort(),
  };
}

function hostOf(said: Comer): Omit<Host, "uid" | "status" | "settled"> {
  return {
    peer: said.peer,
    uuid: said.uuid,
    name: said.name,
    failed: false,
    rack: said.rack_id ?? null,
    ipv6: said.use_internal_ipv6 ?? false,
    folder: said.socket_directory ?? null,
    memory: said.memory_bytes ?? null,
    flash: said.flash_bytes ?? 0,
    listeners: said.max_listeners ?? null,
  };
}

const alike = (one: string, other: string): boolean => one.toUpperCase() === other.toUpperCase();

/** A thirty-second part may be missing. */
const atLeast = (bytes: number): number => Math.floor((bytes * 31) / 32);
