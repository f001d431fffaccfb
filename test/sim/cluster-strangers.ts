import type { SimNet } from "./cluster-net.ts";
import type { SimTransport } from "./cluster-transport.ts";
import type { StrangerChannel, Wire } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { JOIN_CONVERSATION_MS_MAX } from "#shared/lib/limits.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** How often each side looks whether the other is still there. Milliseconds. */
const WATCH_MS = 250;

type Handler = (channel: StrangerChannel) => Promise<void>;

/** One side of a conversation. */
interface End {
  readonly transport: SimTransport;
  readonly unread: Wire[];
  /** Whether this side knows that nothing more comes. */
  over: boolean;
  wake: () => void;
}

/** The join protocol between processes that are not of one cluster: in order, whole or cut. */
export class Strangers {
  readonly #net: SimNet;
  readonly #handlers = new Map<SimTransport, Handler>();

  constructor(deps: { readonly net: SimNet }) {
    this.#net = deps.net;
  }

  listen(transport: SimTransport, handler: Handler): void {
    this.#handlers.set(transport, handler);
  }

  open(from: SimTransport, peer: MemberId, signal: AbortSignal): Promise<StrangerChannel> {
    return new Promise((resolve, reject) => {
      const unreachable = (): void => reject(new AppError("peer_unreachable", { peer }));
      signal.addEventListener("abort", unreachable, { once: true });
      if (from.life.dies("join")) return;
      const there = this.#net.travel(from.self, peer);
      const back = this.#net.travel(peer, from.self);
      from.life.after((there ?? 500) + (back ?? 500), () => {
        const to = this.#net.node(peer);
        const handler = to === null ? undefined : this.#handlers.get(to);
        if (to === null || handler === undefined || there === null || back === null) {
          unreachable();
          return;
        }
        const conversation = new Conversation(this.#net, from, to);
        resolve(conversation.channel(0));
        conversation.watch();
        to.life.enter(() => conversation.serve(handler));
      });
    });
  }
}

class Conversation {
  readonly #net: SimNet;
  readonly #ends: readonly [End, End];
  #cut = false;

  constructor(net: SimNet, joiner: SimTransport, sponsor: SimTransport) {
    this.#net = net;
    const end = (transport: SimTransport): End => ({
      transport,
      unread: [],
      over: false,
      wake: () => undefined,
    });
    this.#ends = [end(joiner), end(sponsor)];
  }

  serve(handler: Handler): void {
    const { life } = this.#ends[1].transport;
    life.after(JOIN_CONVERSATION_MS_MAX, () => this.#close(1));
    void handler(this.channel(1))
      .catch(() => undefined) // A handler's defect is its own side's business.
      .finally(() => this.#close(1));
  }

  /** A process that ends closes its connections; often the other side sees it. */
  watch(): void {
    for (const [side, own] of this.#ends.entries()) {
      const other = this.#ends[1 - side] as End;
      const look = (): void => {
        if (own.over) return;
        if (other.transport.life.alive || !this.#net.notices()) own.transport.life.after(WATCH_MS, look);
        else this.#end(own);
      };
      own.transport.life.after(WATCH_MS, look);
    }
  }

  #end(side: End): void {
    side.over = true;
    const { wake } = side;
    side.wake = () => undefined;
    wake();
  }

  channel(side: 0 | 1): StrangerChannel {
    const own = this.#ends[side];
    const other = this.#ends[1 - side] as End;
    const { self, life } = own.transport;
    const remote = other.transport.self;
    return {
      remote,
      send: (body) =>
        new Promise((resolve, reject) => {
          if (life.dies("join")) return;
          if (own.over) {
            reject(new AppError("peer_unreachable", { peer: remote }));
            return;
          }
          this.#pass(side, (there) => there.unread.push(JSON.parse(JSON.stringify(body)) as Wire));
          life.after(1, () => resolve());
        }),
      receive: ({ timeoutMs, signal }) =>
        new Promise((resolve, reject) => {
          const stop = (): void => reject(new AppError("peer_timeout", { peer: remote }));
          const look = (): void => {
            if (life.dies("join")) return;
            const next = own.unread.shift();
            if (next !== undefined) {
              this.#net.onArrival(remote, self, "join", JSON.stringify(next));
              resolve(next);
            } else if (own.over) reject(new AppError("peer_unreachable", { peer: remote }));
            else own.wake = look;
          };
          signal?.addEventListener("abort", stop, { once: true });
          life.after(timeoutMs, stop);
          look();
        }),
      [Symbol.asyncDispose]: () => {
        this.#close(side);
        return Promise.resolve();
      },
    };
  }

  #close(side: 0 | 1): void {
    const own = this.#ends[side];
    if (own.over) return;
    this.#end(own);
    this.#pass(side, (there) => {
      there.over = true;
    });
  }

  /** What one side does to the other, some time later; a message that gets lost takes the rest of the stream with it. */
  #pass(side: 0 | 1, act: (there: End) => void): void {
    const here = this.#ends[side];
    const there = this.#ends[1 - side] as End;
    const ms = this.#cut ? null : this.#net.travel(here.transport.self, there.transport.self);
    if (ms === null) {
      this.#cut = true;
      return;
    }
    there.transport.life.after(ms, () => {
      act(there);
      const { wake } = there;
      there.wake = () => undefined;
      wake();
    });
  }
}
