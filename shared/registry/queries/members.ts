import type { Member, RegistryState } from "#shared/registry/state.ts";

/** All members, oldest first. */
export function membersByUid(state: Readonly<RegistryState>): Member[] {
  return [...state.members.values()].toSorted((a, b) => a.uid - b.uid);
}
