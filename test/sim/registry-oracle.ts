import type { Prng } from "#shared/lib/prng.ts";
import type { Command } from "#shared/registry/command.ts";
import type { RegistryState } from "#shared/registry/state.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

/** What a command must be answered: the value, or the kind of the refusal. */
export type Expected = { readonly value: object } | { readonly refused: string };

interface Host {
  readonly peer: string;
  readonly uuid: string;
  readonly name: string;
  readonly uid: number;
  readonly status: string;
  readonly failed: boolean;
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
  uids = 0;
  zoneIds = 0;

  // oxlint-disable-next-line complexity -- one case per command, side by side
  expect(command: Command): Expected {
    switch (command.type) {
      case "cluster.create": {
        if (this.created || this.hosts.length > 0) return no("cluster_exists");
        this.created = true;
        this.pool = 10;
        this.uids += 1;
        this.hosts.push({ ...hostOf(command.member), uid: this.uids, status: "active", failed: false });
        return say({ uid: this.uids });
      }
      case "member.add": {
        const host = hostOf(command.member);
        const [known] = this.hosts.filter(({ peer }) => peer === host.peer);
        const others = this.hosts.filter(({ peer }) => peer !== host.peer);
        if (this.removed.includes(host.peer)) return no("member_removed");
        if (others.some(({ name, uuid }) => name === host.name || uuid === host.uuid))
          return no("member_name_exists");
        if (known === undefined) this.uids += 1;
        const uid = known?.uid ?? this.uids;
        this.hosts = [...others, { ...host, uid, status: "joining", failed: false }];
        return say({ uid });
      }
      case "member.activate":
      case "member.update":
      case "member.set_failed":
      case "member.remove": {
        const [known] = this.hosts.filter(({ peer }) => peer === command.peer);
        if (this.removed.includes(command.peer)) return no("member_removed");
        if (known === undefined) return no("member_not_found");
        const others = this.hosts.filter((host) => host !== known);
        if (command.type === "member.update") return say();
        if (command.type === "member.activate") {
          const failed = known.status === "active" && known.failed;
          this.hosts = [...others, { ...known, status: "active", failed }];
          return say();
        }
        if (command.type === "member.set_failed") {
          const failed = known.status === "active" && command.failed;
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
        this.pool = command.candidate_pool_size ?? this.pool;
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
      default:
        throw new Error(`the oracle knows nothing of ${command.type} yet`);
    }
  }

  /** The same facts as `factsOf` takes from a state. */
  facts(): object {
    return facts({
      pool: this.pool,
      hosts: this.hosts,
      removed: this.removed,
      zones: this.zones,
      rows: this.rows,
      distances: this.distances,
      nodes: this.nodes,
    });
  }

  hasZone(id: number): boolean {
    return this.zones.some((zone) => zone.id === id);
  }
}

/** What the oracle knows of, out of a state, as sorted lines. */
export function factsOf(state: RegistryState): object {
  return facts({
    pool: state.cluster?.settings.candidatePoolSize ?? null,
    hosts: [...state.members.values()].map((member) => ({ ...member, failed: member.failedAt !== null })),
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

function facts(
  of: Pick<RegistryOracle, "pool" | "hosts" | "removed" | "zones" | "rows" | "distances" | "nodes">,
): object {
  return {
    pool: of.pool,
    hosts: of.hosts
      .map(({ peer, uuid, name, uid, status, failed }) => [peer, uuid, name, uid, status, failed].join())
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

function hostOf({
  peer,
  uuid,
  name,
}: {
  peer: string;
  uuid: string;
  name: string;
}): Omit<Host, "uid" | "status" | "failed"> {
  return { peer, uuid, name };
}

/** Any command, out of pools so small that names meet, zones fill, and refusals are as frequent as successes. */
export function randomCommand(prng: Prng): Command {
  const n = (): number => 1 + prng.below(5);
  const zone = (): number => prng.below(7);
  const name = `zone ${n()}`;
  const uuid = `uuid-${n()}`;
  const peer = `peer-${n()}`;
  // Mostly a host's own name and uuid; at times another's, as on a copied disk.
  const own = n();
  const member = prng.chance(0.8) ? makeMember(own) : makeMember(own, { uuid, name: `tnt${n()}.public.i` });
  const command: () => Command = prng.pick<() => Command>([
    () => makeCluster(member),
    () => ({ type: "member.add", member }),
    () => ({ type: "member.add", member }),
    () => ({ type: "member.activate", peer }),
    () => ({ type: "member.update", peer, software_version: String(n()) }),
    () => (prng.chance(0.3) ? { type: "member.remove", peer } : { type: "member.activate", peer }),
    () => ({ type: "member.set_failed", peer, failed: prng.chance(0.6) }),
    () => ({ type: "cluster.configure", candidate_pool_size: n() }),
    () => ({ type: "zone.create", name }),
    () => ({ type: "zone.create", name }),
    () => ({ type: "zone.rename", id: zone(), name }),
    () => ({ type: "zone.delete", id: zone() }),
    () => ({ type: "zones.set_weights", weights: randomWeights(prng) }),
    () => ({ type: "node.register", uuid, zone_id: zone(), uri: `u:${n()}`, cfg: { [`b${n()}`]: 1, a: -0 } }),
    () => ({ type: "node.register", uuid, zone_id: zone(), uri: `u:${n()}`, cfg: {} }),
    () => ({ type: "node.update", uuid, zone_id: zone(), uri: `u:${n()}` }),
    () => ({ type: "node.update", uuid, uri: `u:${n()}` }),
    () => ({ type: "node.unregister", uuid }),
  ]);
  return command();
}

function randomWeights(prng: Prng): Record<string, Record<string, number>> {
  const ids = ["1", "2", "3", "4"].filter(() => prng.chance(0.5));
  const row = (): Record<string, number> =>
    Object.fromEntries(ids.filter(() => prng.chance(0.4)).map((id) => [id, prng.below(3)]));
  return Object.fromEntries(ids.map((id) => [id, row()]));
}
