import type { RegistryState, Zone } from "#shared/registry/state.ts";

/** All zones in the order of their ids. */
export function zonesById(state: Readonly<RegistryState>): Zone[] {
  return [...state.zones.values()].toSorted((a, b) => a.id - b.id);
}
