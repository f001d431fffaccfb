import type { Libp2p } from "libp2p";
import type { MeshIdentity } from "./identity.ts";
import { noise, type NoiseComponents } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { createLibp2p } from "libp2p";
import { MEMBERS_MAX } from "#shared/lib/limits.ts";
import { inOnePiece } from "./fewer-packets.ts";

const DAY_MS = 86_400_000;

/** Two per pair while both sides dial at once, and some for strangers. */
const CONNECTIONS_MAX = 2 * MEMBERS_MAX + 256;
/** Streams one peer may have open on a connection: control, bulk, join, and those still being negotiated. */
const STREAMS_MAX = 8;
/** Longest for one address of a peer, so that a dead one does not keep the next waiting. Milliseconds. */
const ADDRESS_DIAL_MS_MAX = 3000;
/** Longest from an accepted socket to a known peer id, and for naming a stream's protocol. Milliseconds. */
const UPGRADE_MS_MAX = 5000;

/**
 * libp2p as the mesh needs it, not started. What is set here are the defaults that would close, limit or delay what a mesh
 * of long-lived streams behind few addresses does; membership alone judges who is alive, so nothing else may hang up.
 */
export async function createNode(options: {
  readonly identity: MeshIdentity;
  /** Multiaddrs to listen on. */
  readonly listen: readonly string[];
  /** Asked once the peer id of a caller is proven; true cuts it off. */
  readonly refuses: (peer: string) => boolean;
}): Promise<Libp2p> {
  return createLibp2p({
    start: false,
    privateKey: options.identity.privateKey,
    addresses: { listen: [...options.listen] },
    transports: [tcp({ inboundSocketInactivityTimeout: DAY_MS, outboundSocketInactivityTimeout: DAY_MS })],
    connectionEncrypters: [(components: NoiseComponents) => inOnePiece(noise()(components))],
    streamMuxers: [
      yamux({
        maxInboundStreams: STREAMS_MAX,
        maxOutboundStreams: STREAMS_MAX,
        streamOptions: { inactivityTimeout: DAY_MS },
      }),
    ],
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: CONNECTIONS_MAX,
      // All agents of a site may come from one address at once: behind NAT, or after a power cut.
      inboundConnectionThreshold: Number.POSITIVE_INFINITY,
      maxIncomingPendingConnections: 500,
      maxParallelDials: 128,
      maxDialQueueLength: CONNECTIONS_MAX,
      addressDialTimeout: ADDRESS_DIAL_MS_MAX,
      inboundUpgradeTimeout: UPGRADE_MS_MAX,
      inboundStreamProtocolNegotiationTimeout: UPGRADE_MS_MAX,
      outboundStreamProtocolNegotiationTimeout: UPGRADE_MS_MAX,
      // The mesh dials its members by itself, for life; libp2p's own attempts give up.
      reconnectRetries: 0,
      // The caller has put the addresses in order.
      addressSorter: () => 0,
    },
    connectionGater: {
      denyDialMultiaddr: () => false,
      denyInboundEncryptedConnection: (peer) => options.refuses(peer.toString()),
    },
  });
}
