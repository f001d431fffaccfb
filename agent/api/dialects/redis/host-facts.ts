import { Type, type Static } from "typebox";

import type { AgentInfo, Queries } from "#agent/api/ports.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { HostAddress, HostFacts, StoragePath } from "#shared/model/hardware.ts";

const AvailableAddress = Type.Object({
  address: Type.String(),
  format: Type.Enum(["ipv4", "ipv6"]),
  if_name: Type.String(),
  private: Type.Boolean(),
});

/** What a node object and `local_node_info` both tell of the host. Sizes in bytes, uptime in seconds; what is not known is left out. */
export const HOST_FIELDS = {
  architecture: Type.Optional(Type.String()),
  cores: Type.Optional(Type.Integer()),
  total_memory: Type.Optional(Type.Number()),
  uptime: Type.Optional(Type.Integer()),
  os_version: Type.Optional(Type.String()),
  os_family: Type.Optional(Type.String()),
  os_name: Type.Optional(Type.String()),
  os_semantic_version: Type.Optional(Type.String()),
  persistent_storage_path: Type.Optional(Type.String()),
  persistent_storage_size: Type.Optional(Type.Number()),
  ephemeral_storage_path: Type.Optional(Type.String()),
  ephemeral_storage_size: Type.Optional(Type.Number()),
  bigredis_storage_path: Type.Optional(Type.String()),
  /** Always empty: there are no databases here. */
  supported_database_versions: Type.Array(Type.Unknown()),
};

/** Seed 003, `local_node_info`. */
export const LocalNodeInfo = Type.Object({
  /** Absent before this node is in a cluster. */
  uid: Type.Optional(Type.Integer()),
  software_version: Type.String(),
  short_hostname: Type.String(),
  ...HOST_FIELDS,
  bridge_interfaces: Type.Array(Type.String()),
  /** The seed's name and the shipped product's name for the same list; clients read either. */
  available_addrs: Type.Array(AvailableAddress),
  available_addresses: Type.Array(AvailableAddress),
});

/** Seed 003, `local_node_info`: this host as its own agent sees it. */
export function toLocalNodeInfo(
  agent: AgentInfo,
  uid: number | null,
  facts: HostFacts,
): Static<typeof LocalNodeInfo> {
  const { addresses, bridge_interfaces } = facts.static;
  const available = addresses.map(toAvailableAddress);
  return {
    ...(uid === null ? {} : { uid }),
    software_version: agent.softwareVersion,
    short_hostname: agent.name.split(".")[0] ?? agent.name,
    ...toHostFields(facts),
    bridge_interfaces,
    available_addrs: available,
    available_addresses: available,
  };
}

/** HOST_FIELDS of a host; of one that was not heard of, nothing but the last. */
export function toHostFields(facts: HostFacts | null) {
  const { cpu, os, memory_total } = facts?.static ?? {};
  const uptime = facts?.live.uptime_s;
  const [persistent, ephemeral, bigstore] = (["persistent", "ephemeral", "bigstore"] as const).map((kind) =>
    folder(facts, kind),
  );
  const known = present({
    architecture: cpu?.architecture,
    cores: cpu?.cores,
    total_memory: memory_total,
    uptime: uptime === undefined ? undefined : Math.floor(uptime),
    os_version: os?.version,
    os_family: os?.family,
    os_name: os?.name,
    os_semantic_version: os?.semantic_version,
    persistent_storage_path: persistent?.path,
    persistent_storage_size: persistent?.size,
    ephemeral_storage_path: ephemeral?.path,
    ephemeral_storage_size: ephemeral?.size,
    bigredis_storage_path: bigstore?.path,
  });
  return { ...known, supported_database_versions: [] };
}

function folder(facts: HostFacts | null, kind: StoragePath["kind"]): StoragePath | undefined {
  return facts?.live.storage.find((path) => path.kind === kind);
}

/** What is known of a host: of itself this agent knows the newest, published or not. */
export function factsOf({ agent, inventory, membership }: Queries, peer: MemberId): HostFacts | null {
  if (peer === agent.peer) return inventory.current();
  return membership.view(peer).report?.facts ?? null;
}

function toAvailableAddress({ address, format, if_name, private: inner }: HostAddress) {
  return { address, format, if_name, private: inner };
}

type Present<T> = { [K in keyof T]?: NonNullable<T[K]> };

/** The record without what is null or undefined: the seed's clients test for presence. */
function present<T extends object>(record: T): Present<T> {
  const entries = Object.entries(record).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(entries) as Present<T>;
}
