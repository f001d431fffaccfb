import { isIPv6 } from "node:net";

/** Where to ask: a host name or address, and a port. */
export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads one entry of `cluster.nodes`: `10.0.0.1`, `10.0.0.1:9443`, `host.example`, `host.example:9443`, `fe80::1`, `[2001:db8::1]`,
 * `[2001:db8::1]:9443`. Throws an Error that says what is wrong.
 */
export function parseNode(text: string, defaultPort: number): NodeAddress {
  if (isIPv6(text)) return { host: text, port: defaultPort };
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:[\]/@\s]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) throw new Error("is neither an address nor a name, with or without a port");
  if (bracketed !== undefined && !isIPv6(bracketed)) throw new Error("has no IPv6 address in its brackets");
  const number = port === undefined ? defaultPort : Number(port);
  if (number < 1 || number > 65_535) throw new Error("has a port outside 1 to 65535");
  return { host, port: number };
}
