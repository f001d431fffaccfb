import type { Life } from "./cluster-life.ts";
import type { Schedule } from "./cluster-schedule.ts";
import { WriteFailed, type StoreDisk, type Stores } from "#agent/ports/store.ts";
import type { Prng } from "#shared/lib/prng.ts";
import {
  copyOf,
  emptyContent,
  heldIn,
  writers,
  type Change,
  type Content,
} from "#test/support/store-content.ts";

/** How the disk is now. */
export interface DiskWeather {
  /** Longest time of a write. Milliseconds. */
  readonly delayMsMax: number;
  /** How likely a write fails; what reached the disk is then unknown. */
  readonly failure: number;
  /** No room: every write fails. */
  readonly full: boolean;
}

export const GOOD_DISK: DiskWeather = { delayMsMax: 2, failure: 0, full: false };

const SIZE_BYTES = 1e9;

/**
 * A disk that outlives its processes. Batches are atomic and take effect in order; a synced one makes itself and all before
 * it durable. A crash of the process keeps some prefix of what was under way; a power cut also loses what was never
 * synced, but for some prefix.
 */
export class SimDisk {
  weather: DiskWeather = GOOD_DISK;
  readonly #schedule: Schedule;
  readonly #prng: Prng;
  readonly #uuid: string;
  #durable = emptyContent();
  #seen = emptyContent();
  /** Visible, not synced. */
  #unsynced: Change[] = [];
  /** On their way. */
  #underWay: Change[] = [];
  #busyUntilMs = 0;

  constructor(
    deps: { readonly schedule: Schedule; readonly prng: Prng },
    options: { readonly uuid: string },
  ) {
    this.#schedule = deps.schedule;
    this.#prng = deps.prng;
    this.#uuid = options.uuid;
  }

  /** What a reader would find now. */
  get content(): Readonly<Content> {
    return this.#seen;
  }

  /** Nothing is written before this much time has passed. */
  stall(ms: number): void {
    this.#busyUntilMs = Math.max(this.#busyUntilMs, this.#schedule.nowMs + ms);
  }

  crash(powerCut: boolean): void {
    const sure = powerCut ? [] : this.#unsynced;
    const unsure = powerCut ? [...this.#unsynced, ...this.#underWay] : this.#underWay;
    const kept = [...sure, ...unsure.slice(0, this.#prng.below(unsure.length + 1))];
    for (const change of kept) change(this.#durable);
    this.#seen = copyOf(this.#durable);
    this.#unsynced = [];
    this.#underWay = [];
    this.#busyUntilMs = 0;
  }

  /** The disk as one process opens it. */
  open(life: Life): Stores & { readonly disk: StoreDisk } {
    let host: Promise<{ uuid: string; starts: number }> | null = null;
    /** As with the real one, nobody knows what is there after a failed write, so that no other is taken. */
    let failure: WriteFailed | null = null;
    const read = <T>(get: (content: Content) => T): Promise<T> =>
      new Promise((resolve) => {
        if (!life.dies("disk")) life.after(1, () => resolve(get(this.#seen)));
      });
    const write = async (sync: boolean, change: Change): Promise<void> => {
      if (failure !== null) throw failure;
      try {
        await this.#write(life, sync, change);
      } catch (error) {
        if (error instanceof WriteFailed) failure = error;
        throw error;
      }
    };
    const countStart = async (): Promise<{ uuid: string; starts: number }> => {
      const before = await read((content) => content.host);
      const now = { uuid: this.#uuid, starts: (before?.starts ?? 0) + 1 };
      await write(true, (content) => void (content.host = now));
      return now;
    };
    const { log, save, recover, forgetCluster } = writers(write);
    return {
      log: {
        ...log,
        load: () => read(({ hardState, entries }) => ({ hardState, entries: [...entries], cut: 0 })),
      },
      snapshots: { load: () => read((content) => content.snapshot), save },
      identity: {
        host: () => (host ??= countStart()),
        peer: () => read((content) => content.peer),
        savePeer: (peer) => write(true, (content) => void (content.peer = peer)),
        cluster: () => read((content) => content.cluster),
        saveCluster: (identity) => write(true, (content) => void (content.cluster = identity)),
      },
      bootstrap: {
        load: () => read((content) => content.bootstrap),
        save: (state) => write(true, (content) => void (content.bootstrap = state)),
      },
      recover,
      held: () => read(heldIn),
      forgetCluster,
      disk: {
        path: "/simulated",
        get failure() {
          return failure;
        },
        space: () =>
          read(() => ({ totalBytes: SIZE_BYTES, freeBytes: this.weather.full ? 0 : SIZE_BYTES / 2 })),
        probe: () => this.#write(life, true, () => undefined),
        scrub: () => read(() => null),
        reopen: async () => {
          await this.#write(life, true, () => undefined);
          failure = null;
        },
      },
    };
  }

  #write(life: Life, sync: boolean, change: Change): Promise<void> {
    const { delayMsMax, failure, full } = this.weather;
    return new Promise((resolve, reject) => {
      if (life.dies("disk")) return;
      const fails = full || this.#prng.chance(failure);
      // A write that fails may have reached the disk all the same.
      const effect = fails && this.#prng.chance(0.5) ? (): void => undefined : change;
      this.#underWay.push(effect);
      const { nowMs } = this.#schedule;
      this.#busyUntilMs = Math.max(this.#busyUntilMs, nowMs) + this.#prng.between(1, delayMsMax);
      this.#schedule.after(this.#busyUntilMs - nowMs, () => {
        if (!life.alive) return;
        this.#underWay.shift();
        try {
          effect(this.#seen);
        } catch (error) {
          life.enter(() => reject(error));
          return;
        }
        this.#unsynced.push(effect);
        if (sync && !fails) {
          for (const each of this.#unsynced.splice(0)) each(this.#durable);
        }
        if (life.dies("disk")) return;
        life.enter(() => {
          if (fails) reject(new WriteFailed(new Error(full ? "ENOSPC" : "EIO"), { full }));
          else resolve();
        });
      });
    });
  }
}
