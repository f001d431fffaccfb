import ipaddr from "ipaddr.js";

import type { HostAddress } from "#shared/model/hardware.ts";
import type { Candidate } from "#shared/bootstrap/address.ts";

// Addresses are compared parsed: one address has many texts, and `::1` is part of many that are not loopback.

/** The address in its one canonical form (RFC 5952; a mapped IPv4 address as IPv4); null when it is none. */
export function canonicalAddress(text: string): string | null {
  return ipaddr.isValid(text) && !isShorthand(text) ? ipaddr.process(text).toString() : null;
}

/** The address in a multiaddr: `/ip4/10.0.0.1/tcp/9444` → `10.0.0.1`; null when it begins with a name. */
export function addressOfMultiaddr(multiaddr: string): string | null {
  const [, protocol, value] = multiaddr.split("/");
  if (value === undefined || (protocol !== "ip4" && protocol !== "ip6")) return null;
  return canonicalAddress(value);
}

/** What the inventory knows of the host's addresses. */
export function hostCandidates(addresses: readonly HostAddress[]): readonly Candidate[] {
  return addresses.flatMap((one) => {
    const candidate = candidateOf(one.address);
    return candidate === null ? [] : [{ ...candidate, private: one.private, bridge: one.bridge }];
  });
}

/** Where the mesh listens. */
export function meshCandidates(multiaddrs: readonly string[]): readonly Candidate[] {
  return multiaddrs.flatMap((multiaddr) => {
    const address = addressOfMultiaddr(multiaddr);
    const candidate = address === null ? null : candidateOf(address);
    return candidate === null ? [] : [candidate];
  });
}

function candidateOf(text: string): Candidate | null {
  const canonical = canonicalAddress(text);
  if (canonical === null) return null;
  const parsed = ipaddr.parse(canonical);
  const range = parsed.range();
  return {
    text: canonical,
    family: parsed.kind(),
    loopback: range === "loopback",
    private: range === "private" || range === "uniqueLocal",
    bridge: false,
  };
}

/** ipaddr.js also takes `1`, `10.1` and `0x7f.1` for IPv4 addresses; nobody means those. */
function isShorthand(text: string): boolean {
  return !text.includes(":") && !ipaddr.IPv4.isValidFourPartDecimal(text);
}
