import type { PeerAddresses, StrangerChannel, StrangerTransport, Wire } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Given in place of a message: the line is cut. */
export const CUT = Symbol("cut");

/** A message on its way, for tests that look at it, change it or cut the line. */
export interface Said {
  readonly from: MemberId;
  readonly to: MemberId;
  /** 0 for the first message of a conversation, whoever speaks. */
  readonly count: number;
  readonly body: Wire;
}

type Handler = (channel: StrangerChannel) => Promise<void>;

/** All join conversations between agents in one process. */
export class FakeStrangers {
  readonly handlers = new Map<MemberId, Handler>();
  /** Conversations that sponsors are still busy with. */
  readonly busy = new Set<Promise<void>>();
  /** What arrives in place of what was said; CUT closes the channel on both sides instead. */
  meddle: (said: Said) => Wire | typeof CUT = ({ body }) => body;

  transportOf(self: MemberId, listening: readonly string[]): StrangerTransport {
    return {
      openJoin: async ({ peer }, signal) => {
        if (signal.aborted) throw new AppError("peer_unreachable", { peer });
        return this.#open(self, peer);
      },
      onJoin: (handler) => void this.handlers.set(self, handler),
      listenAddrs: () => listening,
    };
  }

  /** A conversation that `from` begins with `to`. */
  #open(from: MemberId, to: MemberId): StrangerChannel {
    const handler = this.handlers.get(to);
    if (handler === undefined) throw new AppError("peer_unreachable", { peer: to });
    const line = new Line(from, to, (said) => this.meddle(said));
    const asked = handler(line.endOf(to))
      .catch(() => undefined) // A handler's defect is its own side's business.
      .finally(() => line.close());
    this.busy.add(asked);
    void asked.finally(() => this.busy.delete(asked));
    return line.endOf(from);
  }
}

/** Two ends, each with what it has not read yet. */
class Line {
  readonly #ends: Record<MemberId, { readonly unread: Wire[]; wake: () => void }>;
  readonly #pair: readonly [MemberId, MemberId];
  readonly #meddle: (said: Said) => Wire | typeof CUT;
  #closed = false;
  #count = 0;

  constructor(a: MemberId, b: MemberId, meddle: (said: Said) => Wire | typeof CUT) {
    this.#pair = [a, b];
    this.#meddle = meddle;
    this.#ends = { [a]: { unread: [], wake: () => undefined }, [b]: { unread: [], wake: () => undefined } };
  }

  endOf(self: MemberId): StrangerChannel {
    const remote = this.#pair[0] === self ? this.#pair[1] : this.#pair[0];
    return {
      remote,
      send: async (body) => this.#say(self, remote, body),
      receive: ({ timeoutMs, signal }) => {
        const late = AbortSignal.timeout(timeoutMs);
        return this.#hear(self, remote, signal === undefined ? late : AbortSignal.any([late, signal]));
      },
      [Symbol.asyncDispose]: async () => this.close(),
    };
  }

  close(): void {
    this.#closed = true;
    for (const end of Object.values(this.#ends)) end.wake();
  }

  #say(from: MemberId, to: MemberId, body: Wire): void {
    if (this.#closed) throw new AppError("peer_unreachable", { peer: to });
    const copy = JSON.parse(JSON.stringify(body)) as Wire;
    const arrives = this.#meddle({ from, to, count: this.#count, body: copy });
    this.#count += 1;
    if (arrives === CUT) {
      this.close();
      return;
    }
    this.#ends[to]?.unread.push(arrives);
    this.#ends[to]?.wake();
  }

  async #hear(self: MemberId, remote: MemberId, signal: AbortSignal): Promise<Wire> {
    const end = this.#ends[self];
    for (;;) {
      const next = end?.unread.shift();
      if (next !== undefined) return next;
      if (this.#closed || end === undefined) throw new AppError("peer_unreachable", { peer: remote });
      if (signal.aborted) throw new AppError("peer_timeout", { peer: remote });
      await new Promise<void>((resolve) => {
        end.wake = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }
}

/** Where an agent is found, as its API would tell. */
export function addressesOf(peer: MemberId): PeerAddresses {
  return { peer, meshAddrs: [`/dns4/${peer}/tcp/9444`] };
}
