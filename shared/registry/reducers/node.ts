import type { Refusal } from "#shared/errors/kinds.ts";
import { NODES_MAX, NODE_CFG_BYTES_MAX } from "#shared/lib/limits.ts";
import { canonicalJson } from "#shared/lib/order.ts";
import { instanceName } from "#shared/registry/queries/nodes.ts";
import { done, refuse, type Reducer, type Touched } from "#shared/registry/reducers/outcome.ts";
import type { Member, RegisteredNode, RegistryState } from "#shared/registry/state.ts";

type Cfg = RegisteredNode["cfg"];

/** Registers a detected node: every agent is one (seed 000). Hostname and name are those of its member. */
export const registerNode: Reducer<"node.register"> = (state, command) => {
  const { uuid, uri, user, repl_user, zone_id } = command;
  const member = memberOfUuid(state, uuid);
  if (member === undefined) return refuse("node_not_discovered", { node: uuid });
  if (state.nodes.has(uuid)) return refuse("node_already_registered", { node: uuid });
  if (!state.zones.has(zone_id)) return refuse("zone_not_found", { zone: String(zone_id) });
  if (state.nodes.size >= NODES_MAX) return refuse("limit_reached", { what: "nodes", limit: NODES_MAX });
  const cfg = plain(command.cfg);
  if (cfg === null) return { ok: false, refusal: CFG_TOO_LARGE };
  state.nodes.set(uuid, {
    uuid,
    zoneId: zone_id,
    uri,
    ...(user === undefined ? {} : { user }),
    ...(repl_user === undefined ? {} : { replUser: repl_user }),
    cfg,
    hostname: member.name,
    name: instanceName(member.name),
  });
  return done([set(uuid)]);
};

/** Replaces what is passed; `cfg` as a whole. */
export const updateNode: Reducer<"node.update"> = (state, command) => {
  const { uuid, uri, user, repl_user, zone_id } = command;
  const known = state.nodes.get(uuid);
  if (known === undefined) return refuse("node_not_registered", { node: uuid });
  if (zone_id !== undefined && !state.zones.has(zone_id)) {
    return refuse("zone_not_found", { zone: String(zone_id) });
  }
  const cfg = command.cfg === undefined ? known.cfg : plain(command.cfg);
  if (cfg === null) return { ok: false, refusal: CFG_TOO_LARGE };
  state.nodes.set(uuid, {
    ...known,
    zoneId: zone_id ?? known.zoneId,
    uri: uri ?? known.uri,
    ...(user === undefined ? {} : { user }),
    ...(repl_user === undefined ? {} : { replUser: repl_user }),
    cfg,
  });
  return done([set(uuid)]);
};

/** The node is detected again, as long as its host is a member. */
export const unregisterNode: Reducer<"node.unregister"> = (state, { uuid }) => {
  if (!state.nodes.delete(uuid)) return refuse("node_not_registered", { node: uuid });
  return done([{ topic: "nodes", op: "delete", id: uuid }]);
};

const CFG_TOO_LARGE: Refusal = {
  kind: "too_large",
  facts: { what: "cfg", limit_bytes: NODE_CFG_BYTES_MAX },
};

/**
 * The cfg as it reads after a trip through its canonical text, or null if that is too large. So an agent that applied the
 * command and one that installed a snapshot answer with the same bytes (order of keys, -0, numbers beyond a double).
 */
function plain(cfg: Cfg): Cfg | null {
  const text = canonicalJson(cfg);
  if (new TextEncoder().encode(text).byteLength > NODE_CFG_BYTES_MAX) return null;
  return JSON.parse(text) as Cfg;
}

function memberOfUuid(state: RegistryState, uuid: string): Member | undefined {
  for (const member of state.members.values()) if (member.uuid === uuid) return member;
  return undefined;
}

function set(uuid: string): Touched {
  return { topic: "nodes", op: "set", id: uuid };
}
