import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type, type Static } from "typebox";

import type { Queries } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { rackRule } from "#shared/bootstrap/check.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import type { Member } from "#shared/registry/state.ts";

import type { RedisDeps } from "./deps.ts";
import { NotAcceptable } from "./errors.ts";
import { READ_NODES, WRITE } from "./gates.ts";
import { factsOf, HOST_FIELDS, toHostFields } from "./host-facts.ts";
import { isIpAddress } from "./ip-address.ts";
import { livenessOf, NODE_STATUS } from "./liveness.ts";
import { given } from "./translate.ts";

/** What a node says when it was never told otherwise: the vendor's defaults. */
const SERVERS_DEFAULT = 100;
/** In the vendor's words: no limit. */
const UNLIMITED = -1;

/** A node object as shipped versions have it, as far as it is true here. Sizes in bytes. */
export const NodeView = Type.Object({
  uid: Type.Integer(),
  status: NODE_STATUS,
  addr: Type.String(),
  external_addr: Type.Array(Type.String()),
  accept_servers: Type.Boolean(),
  rack_id: Type.String(),
  second_rack_id: Type.String(),
  software_version: Type.String(),
  use_internal_ipv6: Type.Boolean(),
  bigstore_enabled: Type.Boolean(),
  bigstore_driver: Type.Optional(Type.String()),
  max_listeners: Type.Integer(),
  max_redis_servers: Type.Integer(),
  max_redis_forks: Type.Integer(),
  max_slave_full_syncs: Type.Integer(),
  ...HOST_FIELDS,
  // There are no databases here, so there are no shards of any.
  shard_count: Type.Integer(),
  ram_shard_count: Type.Integer(),
  flash_shard_count: Type.Integer(),
  shard_list: Type.Array(Type.Integer()),
});

export const NodePath = Type.Object({ uid: Type.String() });

const Address = Type.String({ minLength: 1, maxLength: 256 });
const Places = Type.Integer({ minimum: 0, maximum: 65_535 });

/** What an administrator may change of a node; other fields of a node object may stand beside and are ignored. */
const NodeBody = Type.Partial(
  Type.Object({
    addr: Address,
    external_addr: Type.Array(Address, { maxItems: HOST_ADDRESSES_MAX }),
    accept_servers: Type.Boolean(),
    max_listeners: Places,
    max_redis_servers: Places,
    rack_id: Type.String({ maxLength: 4096 }),
    second_rack_id: Type.String({ maxLength: 4096 }),
    recovery_path: Type.String({ maxLength: 4096 }),
  }),
);

/** The cluster's members as nodes. */
export const nodeRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (app, { commands, queries }) => {
  const all = { response: { 200: Type.Array(NodeView) } };
  app.get("/v1/nodes", { schema: all, config: READ_NODES }, async () =>
    membersByUid(queries.registry).map((member) => toNode(queries, member)),
  );

  const one = { params: NodePath, response: { 200: NodeView } };
  app.get("/v1/nodes/:uid", { schema: one, config: READ_NODES }, async ({ params }) =>
    toNode(queries, memberOf(queries, params.uid)),
  );

  const change = { ...one, body: NodeBody };
  app.put("/v1/nodes/:uid", { schema: change, config: WRITE }, async (request) => {
    const { uid } = request.params;
    const { addr, external_addr, accept_servers, max_listeners, max_redis_servers, ...racks } = request.body;
    const member = memberOf(queries, uid);
    const { rack_id, second_rack_id } = given({
      rack_id: racks.rack_id,
      second_rack_id: racks.second_rack_id,
    });
    checkAddresses({ addr: addr === undefined ? [] : [addr], external_addr: external_addr ?? [] });
    checkRack("rack_id", rack_id);
    checkRack("second_rack_id", second_rack_id);
    if (addr !== undefined && addr !== member.addr && livenessOf(queries, member) !== "down") {
      const rule = `cannot be changed while node ${uid} is online; it is told by the node when it joins`;
      throw new NotAcceptable("node_not_offline", { field: "addr", rule });
    }
    const changes = given({
      addr,
      external_addrs: external_addr,
      accept_servers,
      max_listeners,
      max_redis_servers,
      rack_id,
      second_rack_id,
    });
    const command = { type: "member.configure", peer: member.peer, ...changes } as const;
    await commands.submit(command, writeContext(request));
    return toNode(queries, memberOf(queries, uid));
  });
};

/** The member with this uid. Throws member_not_found, which is `node_not_found` on the wire. */
export function memberOf({ registry }: Queries, uid: string): Member {
  const found = [...registry.members.values()].find((member) => String(member.uid) === uid);
  if (found === undefined) throw new AppError("member_not_found", { peer: `node ${uid}` });
  return found;
}

function checkAddresses(fields: Readonly<Record<string, readonly string[]>>): void {
  for (const [field, addresses] of Object.entries(fields)) {
    if (addresses.every(isIpAddress)) continue;
    throw new AppError("bad_request", { field, rule: "must be an IPv4 or IPv6 address, without a port" });
  }
}

function checkRack(field: string, rack: string | undefined): void {
  const rule = rack === undefined ? null : rackRule(rack);
  if (rule !== null) throw new AppError("bad_request", { field, rule });
}

function toNode(queries: Queries, member: Member): Static<typeof NodeView> {
  const host = toHostFields(factsOf(queries, member.peer));
  return {
    uid: member.uid,
    status: livenessOf(queries, member),
    addr: member.addr,
    external_addr: member.external_addrs,
    accept_servers: member.accept_servers ?? true,
    rack_id: member.rack_id ?? "",
    second_rack_id: member.second_rack_id ?? "",
    software_version: member.software_version,
    use_internal_ipv6: member.use_internal_ipv6 ?? false,
    bigstore_enabled: member.bigstore_enabled ?? false,
    ...given({ bigstore_driver: member.bigstore_driver, total_memory: member.memory_bytes }),
    max_listeners: member.max_listeners ?? SERVERS_DEFAULT,
    max_redis_servers: member.max_redis_servers ?? SERVERS_DEFAULT,
    max_redis_forks: UNLIMITED,
    max_slave_full_syncs: UNLIMITED,
    ...host,
    shard_count: 0,
    ram_shard_count: 0,
    flash_shard_count: 0,
    shard_list: [],
  };
}
