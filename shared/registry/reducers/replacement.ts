import { instanceName } from "#shared/registry/queries/nodes.ts";
import type { Touched } from "#shared/registry/reducers/outcome.ts";
import type { Member, RegistryState } from "#shared/registry/state.ts";

/**
 * Clears a member's place for another peer: its peer id is removed for good, and what was registered of its host becomes the
 * new host's. The caller puts the new record in, with the same uid.
 */
export function clearPlace(
  state: RegistryState,
  place: Member,
  to: { readonly uuid: string; readonly name: string },
  index: number,
): Touched[] {
  state.members.delete(place.peer);
  state.tombstones.set(place.peer, index);
  return [{ topic: "members", op: "delete", id: place.peer }, ...moveRegistration(state, place.uuid, to)];
}

/** Same zone, uri and configuration, under the new host's uuid and name. A registration that it has already stays as it is. */
function moveRegistration(
  state: RegistryState,
  from: string,
  { uuid, name }: { readonly uuid: string; readonly name: string },
): Touched[] {
  const node = state.nodes.get(from);
  if (node === undefined || (from !== uuid && state.nodes.has(uuid))) return [];
  state.nodes.delete(from);
  state.nodes.set(uuid, { ...node, uuid, hostname: name, name: instanceName(name) });
  const gone: Touched[] = from === uuid ? [] : [{ topic: "nodes", op: "delete", id: from }];
  return [...gone, { topic: "nodes", op: "set", id: uuid }];
}
