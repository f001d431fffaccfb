import type { NetworkInterfaceInfo } from "node:os";

import ipaddr from "ipaddr.js";

import type { Machine } from "#agent/inventory/machine.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";
import { byText } from "#shared/lib/order.ts";
import type { HostAddress } from "#shared/model/hardware.ts";

/** What /sys/class/net knows of one interface. */
export interface Link {
  readonly mac: string | null;
  readonly speedMbps: number | null;
  readonly bridge: boolean;
}

export interface Network {
  readonly addresses: readonly HostAddress[];
  readonly bridges: readonly string[];
}

/**
 * The addresses under which others may reach this host: all of each interface, link-local ones left out, loopback only
 * when there is nothing else. Ordered by interface and address, so that equal facts compare equal.
 */
export function hostAddresses(
  found: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
  links: ReadonlyMap<string, Link>,
): readonly HostAddress[] {
  const usual: HostAddress[] = [];
  const loopback: HostAddress[] = [];
  for (const [name, infos] of Object.entries(found)) {
    const device = deviceOf(name);
    for (const info of infos ?? []) {
      const text = info.address.split("%", 1)[0] ?? "";
      if (!ipaddr.isValid(text)) continue;
      const parsed = ipaddr.parse(text);
      const range = parsed.range();
      if (range === "linkLocal") continue;
      const link = links.get(device);
      const address: HostAddress = {
        address: parsed.toString(),
        format: parsed.kind(),
        if_name: device,
        private: range === "private" || range === "uniqueLocal",
        prefix_length: prefixLength(info, parsed.kind()),
        mac: link?.mac ?? realMac(info.mac),
        speed_mbps: link?.speedMbps ?? null,
        bridge: link?.bridge ?? false,
      };
      (range === "loopback" ? loopback : usual).push(address);
    }
  }
  const kept = usual.length === 0 ? loopback : usual;
  return kept
    .toSorted(
      (a, b) => byText(a.if_name, b.if_name) || byText(a.format, b.format) || byText(a.address, b.address),
    )
    .slice(0, HOST_ADDRESSES_MAX);
}

/** Addresses from the system, the rest from /sys: it knows speed, bridges and interfaces that are down. */
export async function readNetwork(machine: Machine): Promise<Network> {
  const names = (await machine.names("/sys/class/net")).toSorted(byText);
  const links = new Map<string, Link>();
  for (const name of names) {
    const folder = `/sys/class/net/${name}`;
    const speed = Number((await machine.text(`${folder}/speed`)) ?? Number.NaN);
    links.set(name, {
      mac: realMac((await machine.text(`${folder}/address`)) ?? ""),
      speedMbps: speed > 0 ? speed : null, // −1: the driver does not know.
      bridge: await machine.exists(`${folder}/bridge`),
    });
  }
  return {
    addresses: hostAddresses(machine.addresses(), links),
    bridges: names.filter((name) => links.get(name)?.bridge === true).slice(0, HOST_ADDRESSES_MAX),
  };
}

/** An alias such as `eth0:1` is a label on the device before the colon. */
function deviceOf(name: string): string {
  return name.split(":", 1)[0] ?? name;
}

function prefixLength(info: NetworkInterfaceInfo, kind: "ipv4" | "ipv6"): number {
  const given = Number(info.cidr?.split("/")[1] ?? Number.NaN);
  if (Number.isInteger(given)) return given;
  return (
    (ipaddr.isValid(info.netmask) ? ipaddr.parse(info.netmask).prefixLengthFromSubnetMask() : null) ??
    (kind === "ipv4" ? 32 : 128)
  );
}

/** Interfaces without hardware (tunnels, loopback) have no address or one of zeros. */
function realMac(text: string): string | null {
  return /^[0-9a-f]{2}(:[0-9a-f]{2})+$/i.test(text) && !/^[0:]+$/.test(text) ? text.toLowerCase() : null;
}
