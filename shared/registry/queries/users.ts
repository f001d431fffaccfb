import type { RegistryState, User } from "#shared/registry/state.ts";

/** All users, oldest first: who was first is the same on all agents, for as long as it exists. */
export function usersByUid({ users }: Pick<RegistryState, "users">): User[] {
  return [...users.values()].toSorted((a, b) => a.uid - b.uid);
}
