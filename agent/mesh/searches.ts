import type { Libp2p } from "libp2p";
import type { Log } from "#agent/ports/log.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Search } from "./finder.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { ipv4Places } from "./addresses.ts";
import { Beacon } from "./beacon.ts";
import { Seeds, type Seed } from "./seeds.ts";

export interface SearchOptions {
  /** Where to ask for members that are not where they were. */
  readonly seeds?: readonly Seed[];
  /** Whether to call out to hosts on the same wire as long as members are missing. */
  readonly beacon?: boolean;
}

interface Deps {
  readonly log: Log;
  readonly self: MemberId;
  /** Null before it is started, and once it stops. */
  readonly node: () => Libp2p | null;
  /** This peer may be at this address. */
  readonly hint: (peer: MemberId, address: string) => void;
}

/** The ways in which a mesh that is configured so looks for members. */
export function searchesOf({ log, self, node, hint }: Deps, options: SearchOptions): readonly Search[] {
  const { seeds = [], beacon = false } = options;
  const searches: Search[] = [];
  if (seeds.length > 0) {
    const dial: ConstructorParameters<typeof Seeds>[0]["dial"] = async (address, signal) => {
      const running = node();
      if (running === null) throw new AppError("peer_unreachable", { peer: address.toString() });
      return running.dial(address, { force: true, signal });
    };
    searches.push(new Seeds({ log, dial, found: hint }, { seeds }));
  }
  if (beacon) {
    const places = (): ReturnType<typeof ipv4Places> =>
      ipv4Places((node()?.getMultiaddrs() ?? []).map((address) => address.toString()));
    searches.push(new Beacon({ log, self, places, heard: hint }));
  }
  return searches;
}
