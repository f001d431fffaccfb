import { byText } from "#shared/lib/order.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** Rack ids are compared without case: seed 003's documentation of rack-zone awareness. */
export function isSameRack(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/** Every rack that a member is in, once, in the order of their texts. */
export function rackIds(state: Readonly<RegistryState>): readonly string[] {
  const ids = [...state.members.values()].flatMap(({ rack_id }) => (rack_id === null ? [] : [rack_id]));
  return [...new Set(ids)].toSorted(byText);
}

/** The rack as members spell it already; as given when it is a new one. */
export function spellingInUse(state: Readonly<RegistryState>, rackId: string): string {
  return rackIds(state).find((known) => isSameRack(known, rackId)) ?? rackId;
}
