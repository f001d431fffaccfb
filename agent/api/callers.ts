import type { Socket } from "node:net";

import type { FastifyRequest } from "fastify";
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** All addresses whose first `prefixLength` bits are those of `address`. */
export interface Network {
  readonly address: string;
  readonly prefixLength: number;
}

/** A network, parsed. An IPv4-mapped IPv6 network is kept as the IPv4 network it means. */
type Block = readonly [base: Address, bits: number];

/** Where a request came from. `unknown`: the connection is gone already; nothing is granted to it. */
export type Caller =
  | { readonly kind: "unix" }
  | {
      readonly kind: "tcp";
      readonly address: Address;
      /** See sourceOf. */
      readonly source: string;
    }
  | { readonly kind: "unknown" };

/**
 * Who is at the other end of a connection, found out at its first request. The unix socket's are marked by their listener:
 * a missing remote address is no proof, for a closed TCP socket has none either.
 */
const callers = new WeakMap<Socket, Caller>();
const UNIX: Caller = { kind: "unix" };
const UNKNOWN: Caller = { kind: "unknown" };

/** To be called by the listener of the unix socket for each connection, before its first request. */
export function markUnixConnection(socket: Socket): void {
  callers.set(socket, UNIX);
}

export function callerOf(request: FastifyRequest): Caller {
  const { socket } = request.raw;
  const known = callers.get(socket);
  if (known !== undefined) return known;
  const text = socket.remoteAddress;
  if (text === undefined || !ipaddr.isValid(text)) return UNKNOWN;
  const address = ipaddr.process(text);
  const caller: Caller = { kind: "tcp", address, source: sourceOfAddress(address) };
  callers.set(socket, caller);
  return caller;
}

/** Whether the caller is on this host: the unix socket, or a loopback address (127.0.0.0/8, ::1). */
export function isLocal(caller: Caller): boolean {
  return caller.kind === "unix" || (caller.kind === "tcp" && caller.address.range() === "loopback");
}

/** Throws when the network's address is none. */
export function toBlock({ address, prefixLength }: Network): Block {
  const base = ipaddr.parse(address);
  if (base instanceof ipaddr.IPv6 && base.isIPv4MappedAddress() && prefixLength >= 96) {
    return [base.toIPv4Address(), prefixLength - 96];
  }
  return [base, prefixLength];
}

/** Whether a TCP caller's address is in one of the blocks. */
export function isWithin(caller: Caller, blocks: readonly Block[]): boolean {
  if (caller.kind !== "tcp") return false;
  const { address } = caller;
  return blocks.some(([base, bits]) => {
    if (address instanceof ipaddr.IPv4) return base instanceof ipaddr.IPv4 && address.match(base, bits);
    return base instanceof ipaddr.IPv6 && address.match(base, bits);
  });
}

/**
 * The name under which one caller's failures are counted: the IPv4 address, or the /64 of an IPv6 address, which is
 * what one subscriber has at least (RFC 6177).
 */
export function sourceOf(caller: Caller): string {
  return caller.kind === "tcp" ? caller.source : caller.kind;
}

function sourceOfAddress(address: Address): string {
  if (address instanceof ipaddr.IPv4) return address.toString();
  return `${address.parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(":")}::/64`;
}
