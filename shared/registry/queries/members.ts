import type { MemberId } from "#shared/lib/ids.ts";
import type { Member, RegistryState } from "#shared/registry/state.ts";

/** All members, oldest first. */
export function membersByUid(state: Readonly<RegistryState>): Member[] {
  return [...state.members.values()].toSorted((a, b) => a.uid - b.uid);
}

/** What people call a peer's host; its id where the registry does not know it (yet, or any more). */
export function nameOf({ members }: Pick<RegistryState, "members">, peer: MemberId): string {
  return members.get(peer)?.name ?? peer;
}

/**
 * Whether a member keeps its uid and what is registered for it when it is lost: it has once taken part, or took the place of one
 * that had. A first join that breaks off leaves nothing.
 */
export function hasPlace({ status, tookOverAt }: Member): boolean {
  return status === "active" || tookOverAt !== undefined;
}
