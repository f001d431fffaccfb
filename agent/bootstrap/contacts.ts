import type { PeerAddresses } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import type { Member, RegistryState } from "#shared/registry/state.ts";

/** Whom a newcomer should turn to: this agent first, then the voters, then the others; those that count as failed last. */
export function contactsIn(
  state: Readonly<RegistryState>,
  {
    self,
    voters,
    without,
  }: { readonly self: MemberId; readonly voters: readonly MemberId[]; readonly without?: MemberId },
): PeerAddresses[] {
  const rank = ({ peer, failedAt }: Member): number =>
    peer === self ? 0 : failedAt !== null ? 3 : voters.includes(peer) ? 1 : 2;
  return membersByUid(state)
    .filter(({ peer }) => peer !== without)
    .toSorted((a, b) => rank(a) - rank(b))
    .map(({ peer, mesh_addrs }) => ({ peer, meshAddrs: [...mesh_addrs] }));
}
