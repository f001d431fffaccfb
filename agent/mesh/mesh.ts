import type { Connection, Stream } from "@libp2p/interface";
import type { Libp2p } from "libp2p";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type {
  PeerAddresses,
  PeerEvent,
  StrangerChannel,
  StrangerTransport,
  StreamClass,
  Transport,
  Wire,
} from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { MeshIdentity } from "./identity.ts";
import type { PeerDeps } from "./peer.ts";
import type { WireHello } from "./wire.ts";
import { randomInt, randomUUID } from "node:crypto";
import { AppError } from "#shared/errors/app-error.ts";
import { assert } from "#shared/lib/assert.ts";
import { HOST_ADDRESSES_MAX } from "#shared/lib/limits.ts";
import { Prng } from "#shared/lib/prng.ts";
import { MESH_PROTOCOL_VERSION } from "#shared/lib/version.ts";
import { dialMultiaddr, listenMultiaddr, reachableAddrs } from "./addresses.ts";
import { Finder } from "./finder.ts";
import { Handlers } from "./handlers.ts";
import { JoinChannel } from "./join-channel.ts";
import { Lobby } from "./lobby.ts";
import { createNode } from "./node.ts";
import { Peer } from "./peer.ts";
import { searchesOf, type SearchOptions } from "./searches.ts";
import { unreachable } from "./unreachable.ts";
import { BULK_PROTOCOL, CONTROL_PROTOCOL, JOIN_PROTOCOL } from "./wire.ts";

/** Addresses of one peer that a single dial tries. */
const DIAL_ADDRESSES_MAX = 16;
/** Longest for one dial over all addresses, waiting in libp2p's queue included. Milliseconds. */
const DIAL_MS_MAX = 30_000;

const PROTOCOLS = { control: CONTROL_PROTOCOL, bulk: BULK_PROTOCOL } as const satisfies Record<
  StreamClass,
  string
>;

interface MeshDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly identity: MeshIdentity;
}

interface MeshOptions extends SearchOptions {
  /** `ADDR:PORT`, IPv6 in brackets; port 0 takes a free one. */
  readonly listen: readonly string[];
  /** `ADDR:PORT` told to others in place of where it listens; for hosts behind address translation. */
  readonly advertise?: readonly string[];
  /** This agent's software version, for its hello. */
  readonly software: string;
}

/**
 * The mesh over libp2p. One instance lives from the first start through every cluster: before the first, and after being
 * removed, it has no members and only the join protocol is served.
 */
export class Mesh implements Transport, StrangerTransport {
  readonly self: MemberId;
  readonly #deps: MeshDeps;
  readonly #options: MeshOptions;
  readonly #handlers: Handlers;
  readonly #peerDeps: PeerDeps;
  readonly #lobby = new Lobby();
  readonly #peers = new Map<MemberId, Peer>();
  readonly #listeners = new Set<(event: PeerEvent) => void>();
  readonly #boot = randomUUID();
  /** Connections that somebody dialled and uses. */
  readonly #dialled = new WeakSet<Connection>();
  #bound: readonly string[] = [];
  #node: Libp2p | null = null;
  #finder: Finder | null = null;
  #cluster: Parameters<Transport["setCluster"]>[0] = null;
  #joinHandler: ((channel: StrangerChannel) => Promise<void>) | null = null;

  constructor(deps: MeshDeps, options: MeshOptions) {
    this.#deps = deps;
    this.#options = options;
    this.self = deps.identity.peerId;
    this.#handlers = new Handlers({ log: deps.log }, { self: this.self });
    this.#peerDeps = {
      self: this.self,
      clock: deps.clock,
      log: deps.log,
      prng: new Prng(randomInt(2 ** 32)),
      handlers: this.#handlers,
      hello: () => this.#hello(),
      dial: (peer, addresses, signal) => this.#dial(peer, addresses, signal),
      openStream: (connection, kind) => connection.newStream(PROTOCOLS[kind]),
      emit: (event) => this.#emit(event),
    };
  }

  /** Listens. Throws config_error when an address is malformed or cannot be listened on. */
  async start(): Promise<void> {
    assert(this.#node === null, "a mesh is started once");
    this.#bound = this.#options.listen.map(listenMultiaddr);
    const node = await createNode({
      identity: this.#deps.identity,
      listen: this.#bound,
      refuses: (peer) => this.#lobby.isFull && !this.#peers.has(peer),
    });
    node.addEventListener("connection:open", ({ detail }) => this.#connectionOpened(detail));
    node.addEventListener("connection:close", ({ detail }) => this.#connectionClosed(detail));
    await node.handle(
      CONTROL_PROTOCOL,
      (stream, connection) => this.#memberStream("control", stream, connection),
      {
        maxInboundStreams: 1,
        maxOutboundStreams: 1,
      },
    );
    await node.handle(BULK_PROTOCOL, (stream, connection) => this.#memberStream("bulk", stream, connection), {
      maxInboundStreams: 1,
      maxOutboundStreams: 1,
    });
    await node.handle(JOIN_PROTOCOL, (stream, connection) => this.#joinStream(stream, connection), {
      maxInboundStreams: 1,
      maxOutboundStreams: 1,
    });
    try {
      await node.start();
    } catch (error) {
      throw new AppError("config_error", {
        field: "mesh_listen",
        rule: `cannot listen: ${listenCause(error)}`,
      });
    }
    this.#node = node;
    this.#deps.log.info({ peer: this.self, addresses: this.listenAddrs() }, "mesh listens");
    for (const peer of this.#peers.values()) peer.kick();
    this.#finder = this.#lookForMissing();
  }

  /** Says goodbye to all members and stops listening. */
  async close(): Promise<void> {
    const node = this.#node;
    this.#node = null;
    this.#finder?.[Symbol.dispose]();
    for (const peer of this.#peers.values()) peer.close("stopping");
    this.#peers.clear();
    this.#lobby.close();
    await node?.stop();
  }

  send(to: MemberId, stream: StreamClass, topic: string, body: Wire): boolean {
    return this.#peers.get(to)?.link?.send(stream, topic, body) ?? false;
  }

  onMessage(topic: string, handler: (from: MemberId, body: Wire) => void): void {
    this.#handlers.onMessage(topic, handler);
  }

  async request(
    to: MemberId,
    stream: StreamClass,
    method: string,
    body: Wire,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Wire> {
    const link = this.#peers.get(to)?.link ?? null;
    if (link === null) throw new AppError("peer_unreachable", { peer: to });
    return link.request(stream, method, body, options);
  }

  onRequest(
    method: string,
    handler: (from: MemberId, body: Wire, signal: AbortSignal) => Promise<Wire>,
  ): void {
    this.#handlers.onRequest(method, handler);
  }

  connected(): readonly MemberId[] {
    return [...this.#peers.values()].filter(({ link }) => link !== null).map(({ id }) => id);
  }

  onPeer(listener: (event: PeerEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  setMembers(members: readonly PeerAddresses[]): void {
    const wanted = new Map(members.map((member) => [member.peer, member.meshAddrs]));
    wanted.delete(this.self);
    for (const [id, peer] of this.#peers) {
      if (wanted.has(id)) continue;
      this.#peers.delete(id);
      peer.close("not_a_member");
    }
    for (const [id, addresses] of wanted) {
      let peer = this.#peers.get(id);
      if (peer === undefined) {
        peer = new Peer(this.#peerDeps, { id });
        this.#peers.set(id, peer);
      }
      peer.setAddresses(addresses);
    }
  }

  setCluster(cluster: Parameters<Transport["setCluster"]>[0]): void {
    const before = this.#cluster;
    const same =
      cluster?.clusterId === before?.clusterId &&
      cluster?.incarnation === before?.incarnation &&
      cluster?.lineage === before?.lineage;
    if (same) return;
    this.#cluster = cluster;
    for (const peer of this.#peers.values()) peer.restart("cluster_changed");
  }

  async openJoin(target: PeerAddresses, signal: AbortSignal): Promise<StrangerChannel> {
    try {
      const connection = await this.#dial(target.peer, target.meshAddrs, signal);
      try {
        const stream = await connection.newStream(JOIN_PROTOCOL, { signal });
        return new JoinChannel({ connection, stream });
      } catch (error) {
        connection.abort(error instanceof Error ? error : new Error("no join stream"));
        throw error;
      }
    } catch (error) {
      this.#deps.log.info({ peer: target.peer, addresses: target.meshAddrs, err: error }, "join call failed");
      throw unreachable(target.peer, error);
    }
  }

  onJoin(handler: (channel: StrangerChannel) => Promise<void>): void {
    assert(this.#joinHandler === null, "one handler of the join protocol");
    this.#joinHandler = handler;
  }

  listenAddrs(): readonly string[] {
    const advertised = this.#options.advertise ?? [];
    if (advertised.length > 0) return advertised.map(listenMultiaddr);
    const actual = this.#node?.getMultiaddrs() ?? [];
    return reachableAddrs(
      this.#bound,
      actual.map((address) => address.toString().replace(/\/p2p\/.*$/, "")),
    );
  }

  #hello(): WireHello | null {
    if (this.#cluster === null || this.#node === null) return null;
    const { clusterId, incarnation, lineage } = this.#cluster;
    return {
      cluster_id: clusterId,
      incarnation,
      ...(lineage === undefined ? {} : { lineage }),
      protocol: MESH_PROTOCOL_VERSION,
      software: this.#options.software,
      clock_ms: this.#deps.clock.now(),
      mesh_addrs: this.listenAddrs().slice(0, HOST_ADDRESSES_MAX),
      boot: this.#boot,
    };
  }

  /** A connection of its own, never one that something else uses. */
  async #dial(peer: MemberId, addresses: readonly string[], signal: AbortSignal): Promise<Connection> {
    const node = this.#node;
    const targets = addresses
      .map((address) => dialMultiaddr(address, peer))
      .filter((target) => target !== null)
      .slice(0, DIAL_ADDRESSES_MAX);
    if (node === null || targets.length === 0) throw new AppError("peer_unreachable", { peer });
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS_MAX)]);
    for (;;) {
      const connection = await node.dial(targets, { force: true, signal: deadline });
      // To those who dial one peer at the same moment libp2p gives one connection, which the first to end would close for all.
      if (this.#dialled.has(connection)) continue;
      this.#dialled.add(connection);
      return connection;
    }
  }

  #lookForMissing(): Finder {
    const { log, clock } = this.#deps;
    const finder = new Finder(
      {
        log,
        clock,
        prng: this.#peerDeps.prng,
        isAnybodyMissing: () => [...this.#peers.values()].some(({ link }) => link === null),
      },
      {
        searches: searchesOf(
          {
            log,
            self: this.self,
            node: () => this.#node,
            hint: (peer, address) => this.#peers.get(peer)?.hint(address),
          },
          this.#options,
        ),
      },
    );
    finder.start();
    return finder;
  }

  #connectionOpened(connection: Connection): void {
    if (connection.direction !== "inbound") return;
    this.#lobby.enter(connection, !this.#peers.has(connection.remotePeer.toString()));
  }

  #connectionClosed(connection: Connection): void {
    this.#lobby.leave(connection);
    const { remotePeer } = connection;
    if (this.#peers.has(remotePeer.toString())) return;
    // libp2p would remember every stranger that ever called.
    this.#node?.peerStore.delete(remotePeer).catch((error: unknown) => {
      this.#deps.log.debug({ err: error }, "could not forget a stranger");
    });
  }

  #memberStream(kind: StreamClass, stream: Stream, connection: Connection): void {
    const peer = this.#peers.get(connection.remotePeer.toString());
    if (peer === undefined || connection.direction !== "inbound") {
      connection.abort(new Error("not a member"));
      return;
    }
    this.#lobby.leave(connection);
    peer.takeStream(connection, kind, stream);
  }

  async #joinStream(stream: Stream, connection: Connection): Promise<void> {
    const handler = this.#joinHandler;
    if (handler === null) {
      connection.abort(new Error("nobody may join here now"));
      return;
    }
    this.#lobby.converse(connection);
    await using channel = new JoinChannel({ connection, stream });
    try {
      await handler(channel);
    } catch (error) {
      this.#deps.log.info({ peer: channel.remote, err: error }, "join conversation failed");
    }
  }

  #emit(event: PeerEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#deps.log.error({ peer: event.peer, err: error }, "peer listener failed"); // The link is not to blame.
      }
    }
  }
}

/** The system's own words (`listen EADDRINUSE: address already in use 10.0.0.1:9444`) out of libp2p's long ones. */
function listenCause(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /\blisten E[^\n]*/.exec(text)?.[0] ?? text;
}
