import { byText } from "#shared/lib/order.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import type { RegisteredNode, RegistryState } from "#shared/registry/state.ts";

/** A node that could be registered. */
export interface DetectedNode {
  readonly uuid: string;
  readonly hostname: string;
  readonly name: string;
}

/** Every agent is one detected node until its uuid is registered, and again once it is unregistered (seed 000). Oldest first. */
export function detectedNodes(state: Readonly<RegistryState>): DetectedNode[] {
  return membersByUid(state)
    .filter(({ uuid }) => !state.nodes.has(uuid))
    .map(({ uuid, name }) => ({ uuid, hostname: name, name: instanceName(name) }));
}

/** All registered nodes in the order of their uuids. */
export function nodesByUuid(state: Readonly<RegistryState>): RegisteredNode[] {
  return [...state.nodes.values()].toSorted((a, b) => byText(a.uuid, b.uuid));
}

/** The instance's short name: the first label of its hostname (seed 000: `tnt2` on `tnt2.public.i`). An address stays whole. */
export function instanceName(hostname: string): string {
  const label = hostname.split(".", 1)[0] ?? "";
  return label === "" || /^\d+$/.test(label) ? hostname : label;
}
