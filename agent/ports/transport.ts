import type { MemberId } from "#shared/lib/ids.ts";

/** JSON as it crosses the mesh. Handlers check it against a schema before they use it. */
export type Wire =
  | null
  | boolean
  | number
  | string
  | readonly Wire[]
  | { readonly [key: string]: Wire | undefined };

/**
 * `control`: small and urgent (SWIM, votes, heartbeats, small appends, proposals). `bulk`: large (log ranges, snapshots,
 * facts). Each class is one long-lived stream per peer, so that bulk never delays control.
 */
export type StreamClass = "control" | "bulk";

/** Whom to dial, and where. Addresses are multiaddrs without the /p2p part (`/ip4/10.0.0.1/tcp/9444`). */
export interface PeerAddresses {
  readonly peer: MemberId;
  readonly meshAddrs: readonly string[];
}

/** What a peer said of itself when its stream opened. */
export interface Hello {
  readonly clusterId: string;
  readonly incarnation: number;
  /** See ClusterIdentity.lineage. */
  readonly lineage?: string;
  readonly protocol: number;
  readonly software: string;
  /** Its wall clock when it spoke, and our clock when we heard it. Milliseconds since the epoch. */
  readonly clockMs: number;
  readonly heardAtMs: number;
  readonly meshAddrs: readonly string[];
}

export type PeerEvent =
  | { readonly type: "up"; readonly peer: MemberId; readonly hello: Hello }
  /** The connection is gone. A hint, no verdict: only membership decides who is dead. */
  | { readonly type: "down"; readonly peer: MemberId; readonly reason: string }
  /** A member said hello from a later incarnation of this cluster: it was recovered without this host. */
  | { readonly type: "outlived"; readonly peer: MemberId; readonly incarnation: number };

/** The mesh among members. */
export interface Transport {
  readonly self: MemberId;
  /** Sends one message without answer. False: it was dropped (no connection, or the buffer is full); protocols repeat by themselves. */
  send(to: MemberId, stream: StreamClass, topic: string, body: Wire): boolean;
  /** One handler per topic; registering twice is a defect. Handlers do not throw for bad input; they drop and log it. */
  onMessage(topic: string, handler: (from: MemberId, body: Wire) => void): void;
  /**
   * Asks and waits for the answer. Rejects with AppError: peer_unreachable (not sent), peer_timeout (sent, no answer),
   * peer_refused (no such method), or the very AppError that the peer's handler threw.
   */
  request(
    to: MemberId,
    stream: StreamClass,
    method: string,
    body: Wire,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Wire>;
  /** One handler per method. An AppError crosses the wire as itself; anything else becomes internal_error with an incident id. */
  onRequest(
    method: string,
    handler: (from: MemberId, body: Wire, signal: AbortSignal) => Promise<Wire>,
  ): void;
  /** Members with a working control stream now. */
  connected(): readonly MemberId[];
  onPeer(listener: (event: PeerEvent) => void): Disposable;
  /** Who belongs to the cluster: all of them are dialled for life, nobody else gets past the join protocol. */
  setMembers(members: readonly PeerAddresses[]): void;
  /** Before a cluster: null. Streams of another cluster or incarnation are refused on hello. */
  setCluster(
    cluster: { readonly clusterId: string; readonly incarnation: number; readonly lineage?: string } | null,
  ): void;
}

/** A conversation with an agent that is not (yet) a member: encrypted, both peer ids proven, nothing else trusted. */
export interface StrangerChannel extends AsyncDisposable {
  /** The other side's proven peer id. */
  readonly remote: MemberId;
  /** Rejects with peer_unreachable when the channel is closed. */
  send(body: Wire): Promise<void>;
  /** The next message; rejects with peer_timeout or peer_unreachable. */
  receive(options: { readonly timeoutMs: number; readonly signal?: AbortSignal }): Promise<Wire>;
}

/** The one protocol that strangers reach. */
export interface StrangerTransport {
  /** Dials one of the addresses and opens the join protocol; the peer id must match. Rejects with peer_unreachable. */
  openJoin(target: PeerAddresses, signal: AbortSignal): Promise<StrangerChannel>;
  /** The handler owns the conversation; the channel is closed when it returns or throws, or after JOIN_CONVERSATION_MS_MAX. */
  onJoin(handler: (channel: StrangerChannel) => Promise<void>): void;
  /** Addresses under which this agent's mesh listens now, wildcard resolved to the host's real addresses. */
  listenAddrs(): readonly string[];
}
