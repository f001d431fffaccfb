import { METHOD, admit, check, toWire } from "./wire.ts";
import type { Log } from "#agent/ports/log.ts";
import type { StoreDisk } from "#agent/ports/store.ts";
import type { Transport } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Part of a small disk that is kept free instead of the configured reserve, which could be all of it. */
const RESERVE_SHARE = 0.05;
/** How long a voter may take to say whether it has room. */
const ASK_MS = 1000;
/** How long handing over to one that has may take. */
const HAND_OVER_MS = 2000;

/** The leader's side of a participation, as far as room matters. */
export interface Leading {
  readonly leads: boolean;
  /** The other voters. */
  rivals(): readonly MemberId[];
  handOver(timeoutMs: number, among: ReadonlySet<MemberId>): Promise<void>;
}

interface Deps {
  readonly disk: Pick<StoreDisk, "path" | "space">;
  readonly transport: Pick<Transport, "self" | "request">;
  readonly log: Log;
}

/**
 * Whether the disk has room. A leader whose disk falls below the reserve hands over to a voter with room; where there is
 * none, it refuses new commands, so that what is left serves to end what was begun. Followers go on until a write fails.
 */
export class DiskRoom {
  readonly #deps: Deps;
  readonly #reserveBytes: number;
  #free = Number.POSITIVE_INFINITY;
  #needed = 0;
  #noHeir = false;
  #moving = false;
  #looking = false;

  constructor(deps: Deps, options: { readonly reserveBytes: number }) {
    this.#deps = deps;
    this.#reserveBytes = options.reserveBytes;
  }

  get enough(): boolean {
    return this.#free >= this.#needed;
  }

  /** Whether this agent, if it leads, takes no new commands. */
  get refuses(): boolean {
    return !this.enough && this.#noHeir;
  }

  /** What callers are told; `host` is how they call this one. */
  error(host: string): AppError<"disk_full"> {
    const { disk } = this.#deps;
    const free_bytes = Number.isFinite(this.#free) ? this.#free : 0;
    return new AppError("disk_full", { host, path: disk.path, free_bytes, needed_bytes: this.#needed });
  }

  /** Asks the file system. An answer that fails changes nothing: writes will tell. */
  async look(): Promise<void> {
    const { disk, log } = this.#deps;
    if (this.#looking) return; // A file system that hangs.
    this.#looking = true;
    const before = this.enough;
    try {
      const { freeBytes, totalBytes } = await disk.space();
      this.#free = freeBytes;
      this.#needed = Math.min(this.#reserveBytes, Math.floor(totalBytes * RESERVE_SHARE));
    } catch (error) {
      log.debug({ path: disk.path, err: error }, "the file system did not say how much is free");
    } finally {
      this.#looking = false;
    }
    if (this.enough) this.#noHeir = false;
    if (this.enough === before) return;
    const facts = { path: disk.path, free_bytes: this.#free, needed_bytes: this.#needed };
    if (this.enough) log.info(facts, "the disk has room again");
    else log.error(facts, "the disk is almost full; make room before writes fail");
  }

  /** Looks for a voter with room and makes it the leader. Does nothing while the last attempt is under way. */
  async moveAway(part: Leading): Promise<void> {
    if (this.#moving) return;
    this.#moving = true;
    try {
      const rivals = part.rivals();
      const roomy = await Promise.all(rivals.map((peer) => this.#ask(peer)));
      const heirs = new Set(rivals.filter((_, i) => roomy[i] === true));
      if (heirs.size > 0) await part.handOver(HAND_OVER_MS, heirs);
      this.#noHeir = part.leads;
    } finally {
      this.#moving = false;
    }
  }

  /** An agent that does not know the question, or does not answer, is no heir. */
  async #ask(peer: MemberId): Promise<boolean> {
    try {
      const body = await this.#deps.transport.request(peer, "control", METHOD.room, toWire({}), {
        timeoutMs: ASK_MS,
      });
      return admit(check.roomAnswer, body, METHOD.room).room;
    } catch (error) {
      this.#deps.log.debug({ peer, err: error }, "a voter did not say whether its disk has room");
      return false;
    }
  }
}
