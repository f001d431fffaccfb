import type { Log } from "#agent/ports/log.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Search } from "./finder.ts";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { Type } from "typebox";
import { Compile } from "typebox/compile";

/** Administratively scoped (RFC 2365, section 6.1): routers do not pass it on. */
const GROUP = "239.255.94.44";
/** The port of the mesh by default; this is the UDP side of it, whatever port the mesh itself listens on. */
const PORT = 9444;
/** To hosts on the same wire only. */
const HOPS = 1;
const BYTES_MAX = 512;

const telling = Compile(
  Type.Object({
    muster: Type.Literal(1),
    peer: Type.String({ minLength: 1, maxLength: 128 }),
    /** Where its mesh listens, at the address that the datagram comes from. */
    port: Type.Integer({ minimum: 1, maximum: 65_535 }),
  }),
);

/** An IPv4 address at which this agent's mesh listens. */
export interface Place {
  readonly address: string;
  readonly port: number;
}

interface Deps {
  readonly log: Log;
  readonly self: MemberId;
  /** Where it listens now; loopback left out. */
  readonly places: () => readonly Place[];
  /** This peer is said to be at this address. Nothing is proven. */
  readonly heard: (peer: MemberId, address: string) => void;
}

/**
 * Calls out "I am here" to everybody on the same wire, and listens to others doing so. A peer id and its place are no secrets
 * (the API tells them to joiners), and what is heard grants nothing: it is one more address to dial, where the handshake
 * proves who is there. A host without multicast finds nobody this way, and that is all.
 */
export class Beacon implements Search {
  readonly #deps: Deps;
  #ear: Socket | null = null;
  /** Addresses whose interfaces the ear listens on. */
  readonly #joined = new Set<string>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async look(): Promise<void> {
    const places = this.#deps.places();
    if (places.length === 0) return;
    await this.#listen(places);
    for (const place of places) await this.#tell(place);
  }

  rest(): void {
    this.#ear?.close();
    this.#ear = null;
    this.#joined.clear();
  }

  async #listen(places: readonly Place[]): Promise<void> {
    const ear = this.#ear ?? (await this.#open());
    for (const { address } of places) {
      if (this.#joined.has(address)) continue;
      this.#joined.add(address);
      try {
        ear.addMembership(GROUP, address);
      } catch (error) {
        this.#deps.log.debug({ address, err: error }, "no multicast on this interface");
      }
    }
  }

  async #open(): Promise<Socket> {
    // Several agents of one machine may listen; bound to the group, it hears nothing that was sent to this host alone.
    const ear = createSocket({ type: "udp4", reuseAddr: true });
    ear.on("message", (bytes, from) => this.#hear(bytes, from));
    ear.bind({ address: GROUP, port: PORT });
    try {
      await once(ear, "listening");
    } catch (error) {
      ear.close();
      throw error;
    }
    ear.on("error", (error) => this.#deps.log.debug({ err: error }, "beacon"));
    ear.unref();
    this.#ear = ear;
    return ear;
  }

  async #tell({ address, port }: Place): Promise<void> {
    const mouth = createSocket("udp4");
    try {
      mouth.bind({ address, port: 0 });
      await once(mouth, "listening");
      mouth.setMulticastInterface(address);
      mouth.setMulticastTTL(HOPS);
      const bytes = Buffer.from(JSON.stringify({ muster: 1, peer: this.#deps.self, port }));
      await new Promise<void>((resolve, reject) => {
        mouth.send(bytes, PORT, GROUP, (error) => (error === null ? resolve() : reject(error)));
      });
    } catch (error) {
      this.#deps.log.debug({ address, err: error }, "the beacon could not call out");
    } finally {
      mouth.close();
    }
  }

  #hear(bytes: Buffer, from: RemoteInfo): void {
    if (bytes.length > BYTES_MAX) return;
    let said: unknown;
    try {
      said = JSON.parse(bytes.toString("utf8"));
    } catch {
      return;
    }
    if (!telling.Check(said) || said.peer === this.#deps.self) return;
    this.#deps.heard(said.peer, `/ip4/${from.address}/tcp/${said.port}`);
  }
}
