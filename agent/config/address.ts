import { isIP, isIPv4 } from "node:net";

import type { ApiListener } from "#agent/ports/listen.ts";

/** An IP address and a port; port 0 lets the system choose. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** A network: all addresses whose first `prefixLength` bits are those of `address`. */
export interface Network {
  readonly family: "ipv4" | "ipv6";
  readonly address: string;
  readonly prefixLength: number;
}

/** Longest path of a unix socket on Linux: `sun_path` holds 108 bytes, the last one being zero (unix(7)). */
const UNIX_PATH_BYTES_MAX = 107;

/** `10.0.0.1:9444` or `[fe80::1]:9444`; null when it is anything else. Names are refused: they may change under us. */
export function parseSocketAddress(text: string): SocketAddress | null {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (found === null) return null;
  const [, inBrackets, bare, digits] = found;
  const address = inBrackets ?? bare ?? "";
  const family = inBrackets === undefined ? 4 : 6;
  const port = Number(digits);
  return isIP(address) === family && port <= 65_535 ? { address, port } : null;
}

/** `NAME:PORT` or `ADDR:PORT`, for what is looked up at each use; null when it is anything else. */
export function parsePlace(text: string): { readonly host: string; readonly port: number } | null {
  const socket = parseSocketAddress(text);
  if (socket !== null) return socket.port === 0 ? null : { host: socket.address, port: socket.port };
  // Without any letter it would be a mistyped address.
  const found = /^(?=[^:]*[A-Za-z])([A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?):(\d{1,5})$/.exec(text);
  const [, host = "", digits = "0"] = found ?? [];
  const port = Number(digits);
  return port > 0 && port <= 65_535 ? { host, port } : null;
}

/** `https://ADDR:PORT`, `http://ADDR:PORT` or `unix:PATH`; else the rule that is broken. */
export function parseApiListener(text: string): ApiListener | string {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (!path.startsWith("/")) return `${text} needs an absolute path: unix:/run/muster/muster.sock`;
    if (Buffer.byteLength(path) > UNIX_PATH_BYTES_MAX) {
      return `${text} is too long for a unix socket: at most ${UNIX_PATH_BYTES_MAX} bytes`;
    }
    return { type: "unix", path };
  }
  const found = /^(https?):\/\/([^/]+)\/?$/.exec(text);
  const where = found === null ? null : parseSocketAddress(found[2] ?? "");
  if (where === null) {
    return `${text} is none of https://ADDR:PORT, http://ADDR:PORT (ADDR an IP address) and unix:PATH`;
  }
  return { type: "tcp", scheme: found?.[1] === "http" ? "http" : "https", ...where };
}

/** `10.0.0.0/8`, or a single address; null when it is anything else. */
export function parseNetwork(text: string): Network | null {
  const found = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const address = found?.[1] ?? "";
  if (isIP(address) === 0) return null;
  const bits = isIPv4(address) ? 32 : 128;
  const prefixLength = found?.[2] === undefined ? bits : Number(found[2]);
  if (prefixLength > bits) return null;
  return { family: bits === 32 ? "ipv4" : "ipv6", address, prefixLength };
}

/** The address in the form of a URL's host: IPv6 in brackets. */
export function hostInUrl(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** Whether two listeners would ask the system for the same socket. A wildcard takes every address of the host. */
export function collide(a: SocketAddress, b: SocketAddress): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  return a.address === b.address || isWildcard(a.address) || isWildcard(b.address);
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || /^[0:]+$/.test(address);
}
