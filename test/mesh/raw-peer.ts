import type { Connection, Stream } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p, type Libp2p } from "libp2p";

import { FrameDecoder } from "#agent/mesh/frames.ts";
import type { MeshIdentity } from "#agent/mesh/identity.ts";
import type { Mesh } from "#agent/mesh/mesh.ts";
import { CLUSTER, newIdentity, until } from "./bed.ts";

/** An agent that speaks libp2p but keeps to no rule of ours: for bytes that a Mesh would never send. */
export class RawPeer implements AsyncDisposable {
  readonly id: string;
  readonly #node: Libp2p;

  private constructor(node: Libp2p) {
    this.#node = node;
    this.id = node.peerId.toString();
  }

  static async start(identity?: MeshIdentity): Promise<RawPeer> {
    const { privateKey } = identity ?? (await newIdentity());
    return new RawPeer(
      await createLibp2p({
        privateKey,
        transports: [tcp()],
        connectionEncrypters: [noise()],
        streamMuxers: [yamux({ maxOutboundStreams: 5000 })],
        connectionMonitor: { enabled: false },
      }),
    );
  }

  async call(mesh: Mesh): Promise<Connection> {
    return this.#node.dial(multiaddr(`${mesh.listenAddrs()[0]}/p2p/${mesh.self}`), { force: true });
  }

  /** Calls as a member and goes through the whole handshake. */
  async link(mesh: Mesh): Promise<{ connection: Connection; control: RawStream; bulk: RawStream }> {
    const connection = await this.call(mesh);
    const control = new RawStream(await connection.newStream("/muster/control/1"));
    const bulk = new RawStream(await connection.newStream("/muster/bulk/1"));
    control.sendJson({ hello: this.hello() });
    await until(() => control.received.some((frame) => "hello" in (frame as object)));
    control.sendJson({ go: 1 });
    await until(() => mesh.connected().includes(this.id));
    return { connection, control, bulk };
  }

  hello(): Record<string, unknown> {
    return {
      cluster_id: CLUSTER.clusterId,
      incarnation: CLUSTER.incarnation,
      protocol: 1,
      software: "raw",
      clock_ms: 0,
      mesh_addrs: [],
      boot: "raw-1",
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node.stop();
  }
}

/** A stream with frames written by hand. */
export class RawStream {
  readonly stream: Stream;
  readonly received: unknown[] = [];
  /** All bytes that came, heartbeats included. */
  bytes = 0;
  ended = false;

  constructor(stream: Stream) {
    this.stream = stream;
    const decoder = new FrameDecoder(
      { onValue: (value) => this.received.push(value) },
      { bytesMax: 2 ** 30 },
    );
    stream.addEventListener("message", ({ data }) => {
      this.bytes += data.byteLength;
      decoder.push(data);
    });
    stream.addEventListener("close", () => {
      this.ended = true;
    });
  }

  sendJson(value: unknown): void {
    this.stream.send(frameOf(JSON.stringify(value)));
  }
}

export function frameOf(body: string, claimedLength = Buffer.byteLength(body)): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(claimedLength);
  return Buffer.concat([header, Buffer.from(body)]);
}
