import type { MemberId } from "#shared/lib/ids.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";
import { byText } from "#shared/lib/order.ts";
import type { HostFacts } from "#shared/model/hardware.ts";
import type { CommandOf } from "#shared/registry/command.ts";
import type { Member } from "#shared/registry/state.ts";

/** What a host knows of itself and the cluster keeps in its member record. */
export interface OwnFacts {
  readonly peer: MemberId;
  readonly meshAddrs: readonly string[];
  readonly apiUrls: readonly string[];
  readonly softwareVersion: string;
  /** Main memory, and size of the file system under the bigstore. Bytes; absent when they are not known now. */
  readonly memoryBytes?: number;
  readonly flashBytes?: number;
  /** Where its unix socket is, where that is a folder for the whole host. A joiner must have the same one. */
  readonly socketDirectory?: string;
}

/**
 * Sizes that differ by less than this share are the same: kernels keep a little more or less for themselves after an update, and
 * file systems that share a pool report another size after every write.
 */
const SIZE_NOISE = 1 / 64;

/** What a host's facts say of its sizes. */
export function sizesOf({
  static: { memory_total },
  live,
}: HostFacts): Pick<OwnFacts, "memoryBytes" | "flashBytes"> {
  const flash = live.storage.find(({ kind }) => kind === "bigstore")?.size ?? null;
  return {
    memoryBytes: Math.floor(memory_total),
    ...(flash === null ? {} : { flashBytes: Math.floor(flash) }),
  };
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
    record.software_version === own.softwareVersion &&
    sameSize(record.memory_bytes, own.memoryBytes) &&
    sameSize(record.flash_bytes, own.flashBytes) &&
    record.socket_directory === own.socketDirectory;
  if (!same) {
    return {
      type: "member.update",
      peer: own.peer,
      mesh_addrs: meshAddrs,
      api_urls: [...own.apiUrls],
      software_version: own.softwareVersion,
      ...(own.memoryBytes === undefined ? {} : { memory_bytes: own.memoryBytes }),
      ...(own.flashBytes === undefined ? {} : { flash_bytes: own.flashBytes }),
      ...(record.socket_directory === own.socketDirectory
        ? {}
        : { socket_directory: own.socketDirectory ?? "" }),
    };
  }
  return record.status === "joining" ? { type: "member.activate", peer: own.peer } : null;
}

/** What is not known now is no reason to say anything. */
function sameSize(recorded: number | undefined, own: number | undefined): boolean {
  if (own === undefined) return true;
  return recorded !== undefined && Math.abs(recorded - own) <= recorded * SIZE_NOISE;
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.toSorted(byText).join("\n") === b.toSorted(byText).join("\n");
}
