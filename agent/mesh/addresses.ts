import type { Multiaddr } from "@multiformats/multiaddr";
import { multiaddr } from "@multiformats/multiaddr";
import { BlockList, isIP } from "node:net";
import { AppError } from "#shared/errors/app-error.ts";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

const MESH_ADDRESS = /^\/(ip4|ip6)\/([^/]+)\/tcp\/(\d{1,5})$/;

/** `ADDR:PORT` (IPv6 in brackets) as a multiaddr. Throws config_error. */
export function listenMultiaddr(text: string): string {
  const colon = text.lastIndexOf(":");
  const [host, port] = [text.slice(0, colon), text.slice(colon + 1)];
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  const family = isIP(bare);
  const bracketed = bare !== host;
  if (family === 0 || bracketed !== (family === 6) || !/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new AppError("config_error", { field: "mesh_listen", rule: `${text} is not ADDR:PORT` });
  }
  return `/ip${family}/${bare}/tcp/${port}`;
}

/** A peer's mesh address as something to dial; null if it is not of the form `/ip4/…/tcp/…` or `/ip6/…/tcp/…`. */
export function dialMultiaddr(text: string, peer: string): Multiaddr | null {
  const match = MESH_ADDRESS.exec(text);
  if (match === null || isIP(match[2] ?? "") === 0) return null;
  try {
    return multiaddr(`${text}/p2p/${peer}`);
  } catch {
    return null;
  }
}

/**
 * Where others can reach a listener: of what a wildcard stands for, everything but loopback, unless there is nothing else.
 * `bound` are the multiaddrs it was told to listen on, `actual` those it has (without /p2p).
 */
export function reachableAddrs(bound: readonly string[], actual: readonly string[]): readonly string[] {
  const hosts = new Set(bound.map(hostOf));
  const all = [...new Set(actual)];
  const outside = all.filter((address) => hosts.has(hostOf(address)) || !isLoopback(hostOf(address)));
  return outside.length > 0 ? outside : all;
}

/** Of multiaddrs (with or without /p2p) those on IPv4 that other hosts can reach, as address and port. */
export function ipv4Places(
  actual: readonly string[],
): readonly { readonly address: string; readonly port: number }[] {
  return actual.flatMap((text) => {
    const [, family, address = "", port] = MESH_ADDRESS.exec(text.replace(/\/p2p\/.*$/, "")) ?? [];
    return family === "ip4" && !isLoopback(address) ? [{ address, port: Number(port) }] : [];
  });
}

function hostOf(address: string): string {
  return MESH_ADDRESS.exec(address)?.[2] ?? "";
}

function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 4 ? "ipv4" : "ipv6");
}
