import type { Queries } from "#agent/api/ports.ts";
import type { Member } from "#shared/registry/state.ts";

/** Finds a member by name, peer id, uuid or uid, in this order. */
export function findMember({ registry }: Queries, text: string): Member | undefined {
  const byPeer = registry.members.get(text);
  const members = [...registry.members.values()];
  return (
    members.find(({ name }) => name === text) ??
    byPeer ??
    members.find(({ uuid }) => uuid === text) ??
    members.find(({ uid }) => String(uid) === text)
  );
}
