import type { Connection } from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import type { Log } from "#agent/ports/log.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Search } from "./finder.ts";
import { multiaddr } from "@multiformats/multiaddr";
import { lookup } from "node:dns/promises";

/** Addresses of one name that are tried. */
const ADDRESSES_MAX = 4;
/** Longest for one address to answer and prove who it is. Milliseconds. */
const ANSWER_MS_MAX = 5000;

/** A place where some member may be: a name or an IP address, and a port. */
export interface Seed {
  readonly host: string;
  readonly port: number;
}

interface Deps {
  readonly log: Log;
  /** Opens a connection, to whomever is there. */
  readonly dial: (address: Multiaddr, signal: AbortSignal) => Promise<Connection>;
  /** This peer proved to be at this address. */
  readonly found: (peer: MemberId, address: string) => void;
}

/**
 * Asks who is at places that an operator has named; names are resolved at each look, so a record in DNS that follows a host
 * is enough. The handshake proves the peer id, and nothing else is asked: a stranger is hung up on.
 */
export class Seeds implements Search {
  readonly #deps: Deps;
  readonly #seeds: readonly Seed[];

  constructor(deps: Deps, options: { readonly seeds: readonly Seed[] }) {
    this.#deps = deps;
    this.#seeds = options.seeds;
  }

  /** One after the other: each resolution takes one of the few threads that the disk needs, too. */
  async look(): Promise<void> {
    for (const seed of this.#seeds) {
      for (const address of await this.#resolve(seed)) await this.#ask(address);
    }
  }

  rest(): void {
    // Nothing stays open between two looks.
  }

  async #resolve({ host, port }: Seed): Promise<readonly string[]> {
    try {
      const found = await lookup(host, { all: true });
      return found
        .slice(0, ADDRESSES_MAX)
        .map(({ address, family }) => `/ip${family === 6 ? 6 : 4}/${address}/tcp/${port}`);
    } catch (error) {
      this.#deps.log.debug({ host, err: error }, "a mesh seed's name has no address");
      return [];
    }
  }

  async #ask(address: string): Promise<void> {
    try {
      const connection = await this.#deps.dial(multiaddr(address), AbortSignal.timeout(ANSWER_MS_MAX));
      const peer = connection.remotePeer.toString();
      connection.abort(new Error("only asked who is there"));
      this.#deps.found(peer, address);
    } catch (error) {
      this.#deps.log.debug({ address, err: error }, "nobody answers at a mesh seed");
    }
  }
}
