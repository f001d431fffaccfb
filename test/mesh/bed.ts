import { generateKeyPair } from "@libp2p/crypto/keys";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { SystemClock } from "#agent/clock/system-clock.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { MeshIdentity } from "#agent/mesh/identity.ts";
import { Mesh } from "#agent/mesh/mesh.ts";
import type { PeerAddresses, PeerEvent } from "#agent/ports/transport.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

export const CLUSTER = { clusterId: "test-cluster", incarnation: 1 } as const;

export async function newIdentity(): Promise<MeshIdentity> {
  const privateKey = await generateKeyPair("Ed25519");
  return { peerId: peerIdFromPrivateKey(privateKey).toString(), privateKey };
}

/** Two identities of which the first has the smaller peer id: it judges the pair. */
export async function orderedIdentities(): Promise<readonly [MeshIdentity, MeshIdentity]> {
  const [one, two] = [await newIdentity(), await newIdentity()];
  return one.peerId < two.peerId ? [one, two] : [two, one];
}

/** A mesh on loopback with what it said and what it saw. */
export interface Node {
  readonly mesh: Mesh;
  readonly log: RecordingLog;
  readonly events: PeerEvent[];
}

/** Real meshes on 127.0.0.x in this process; all are closed with the bed. */
export class Bed implements AsyncDisposable {
  readonly nodes: Node[] = [];

  async add(
    options: {
      readonly identity?: MeshIdentity | undefined;
      readonly listen?: string;
      readonly clock?: Clock;
      readonly seeds?: readonly { readonly host: string; readonly port: number }[];
    } = {},
  ): Promise<Node> {
    const log = new RecordingLog();
    const mesh = new Mesh(
      { log, clock: options.clock ?? new SystemClock(), identity: options.identity ?? (await newIdentity()) },
      {
        listen: [options.listen ?? `127.0.0.${this.nodes.length + 1}:0`],
        seeds: options.seeds ?? [],
        software: "test",
      },
    );
    const node: Node = { mesh, log, events: [] };
    mesh.onPeer((event) => node.events.push(event));
    await mesh.start();
    this.nodes.push(node);
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map(({ mesh }) => mesh.close()));
  }
}

export function addressOf(mesh: Mesh): PeerAddresses {
  return { peer: mesh.self, meshAddrs: mesh.listenAddrs() };
}

/** Makes them all members of one cluster, in one turn: everyone dials everyone at once. */
export function unite(nodes: readonly Node[]): void {
  const members = nodes.map(({ mesh }) => addressOf(mesh));
  for (const { mesh } of nodes) mesh.setCluster(CLUSTER);
  for (const { mesh } of nodes) mesh.setMembers(members);
}

/** Waits until something holds. For what has no event to wait for; the test's own deadline ends it. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

export async function untilMeshed(nodes: readonly Node[]): Promise<void> {
  await until(() => nodes.every(({ mesh }) => mesh.connected().length === nodes.length - 1));
}

/** TCP connections that the kernel knows as accepted by these meshes. */
export async function acceptedConnections(nodes: readonly Node[]): Promise<number> {
  const ports = new Set(
    nodes.flatMap(({ mesh }) => mesh.listenAddrs().map((address) => Number(address.split("/")[4]))),
  );
  const lines = (await readFile("/proc/net/tcp", "utf8")).split("\n").slice(1);
  const ESTABLISHED = "01";
  return lines.filter((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    return state === ESTABLISHED && ports.has(Number.parseInt(local.split(":")[1] ?? "", 16));
  }).length;
}
