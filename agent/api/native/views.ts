import type { Queries } from "#agent/api/ports.ts";
import type { HostView } from "#agent/ports/membership.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** What is known of a host. Of itself this agent knows the newest, published or not. */
export function viewOf(queries: Queries, peer: MemberId): HostView {
  const view = queries.membership.view(peer);
  if (peer !== queries.agent.peer) return view;
  const { name, apiUrls, meshAddrs } = queries.agent;
  return {
    ...view,
    report: { peer, name, facts: queries.inventory.current(), apiUrls, meshAddrs },
    liveness: "alive",
    lastSeenMsAgo: 0,
  };
}
