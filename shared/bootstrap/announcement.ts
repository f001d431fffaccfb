import type { MemberId } from "#shared/lib/ids.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";
import { byText } from "#shared/lib/order.ts";
import type { CommandOf } from "#shared/registry/command.ts";
import type { Member } from "#shared/registry/state.ts";

/** What a host knows of itself and the cluster keeps in its member record. */
export interface OwnFacts {
  readonly peer: MemberId;
  readonly meshAddrs: readonly string[];
  readonly apiUrls: readonly string[];
  readonly softwareVersion: string;
}

/**
 * The next command that makes a host's record true; null when it is. Without a record there is nothing to say: the registry
 * here is not that far yet, or the host was taken out. The order of addresses is no difference.
 */
export function announcement(
  record: Member | undefined,
  own: OwnFacts,
): CommandOf<"member.activate" | "member.update"> | null {
  if (record === undefined) return null;
  const meshAddrs = own.meshAddrs.slice(0, HOST_ADDRESSES_MAX);
  const same =
    sameSet(record.mesh_addrs, meshAddrs) &&
    sameSet(record.api_urls, own.apiUrls) &&
    record.software_version === own.softwareVersion;
  if (!same) {
    return {
      type: "member.update",
      peer: own.peer,
      mesh_addrs: meshAddrs,
      api_urls: [...own.apiUrls],
      software_version: own.softwareVersion,
    };
  }
  return record.status === "joining" ? { type: "member.activate", peer: own.peer } : null;
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.toSorted(byText).join("\n") === b.toSorted(byText).join("\n");
}
