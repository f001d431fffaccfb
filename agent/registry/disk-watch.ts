import type { DiskRoom, Leading } from "./disk-room.ts";
import { DISK_STALL_MS } from "./loop.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { RegistryStatus } from "#agent/ports/registry.ts";
import { WriteFailed, type StoreDamaged, type StoreDisk } from "#agent/ports/store.ts";

/** How often it is looked at. The free space costs some microseconds. */
const LOOK_MS = 1000;
/** How often the room on the disk is looked at where it matters least: with plenty of it, under somebody else's lead. Milliseconds. */
const CALM_MS = 5000;
/**
 * How often a leader that writes nothing tries its disk. With the stall's 3 s, the hand-over and an election it moves within 10 s.
 * One block overwritten in place: 43,200 a day, 180 MB, a thousandth of what a small flash disk is made for.
 */
const CANARY_MS = 2000;
/** How often what lies at rest is read back by a piece: 12 pieces a minute, some milliseconds each, 0.1 % of a core. */
const SCRUB_MS = 5000;
/** Longest the disk may hang, or committed entries wait to be applied, before the agent had better be restarted. */
const UNHEALTHY_MS = 60_000;

/** A participation, as far as its disk matters. */
export interface Watched extends Leading {
  /** How long its turn has waited for the disk; 0 when it does not. Milliseconds. */
  readonly waitsMs: number;
  /** The write that ended it; null while it goes on, and when something else did. */
  readonly failure: WriteFailed | null;
  /** When its last synced write ended. Monotonic. */
  readonly savedAtMs: number;
  status(): Pick<RegistryStatus, "applied" | "commit" | "halted">;
  /** Gives leadership away, or falls silent until the promise settles. */
  stepAside(until: Promise<unknown>): void;
  fail(error: Error): void;
}

interface Deps {
  readonly disk: StoreDisk;
  readonly room: DiskRoom;
  readonly clock: Clock;
  readonly log: Log;
  readonly part: () => Watched | null;
  /** What lies on the disk is not what was written. */
  readonly onDamage: (damage: StoreDamaged) => void;
  /** Opens the stores anew and goes on where a failed write ended consensus. Rejects when it is too early. */
  readonly mend: () => Promise<void>;
}

/** Keeps an eye on the disk, so that nobody leads who cannot write, and all goes on by itself once the disk is well again. */
export class DiskWatch implements AsyncDisposable {
  readonly #deps: Deps;
  #timer: Disposable | null = null;
  #probe: { readonly sinceMs: number; readonly ended: Promise<void> } | null = null;
  #probedAtMs = -Infinity;
  #scrubAtMs: number;
  #calmUntilMs = 0;
  #scrubbing: Promise<void> | null = null;
  #damaged = false;
  #mending: Promise<void> | null = null;
  /** Applied index of a state that is behind what is committed, and since when it has not moved. */
  #behind: { readonly applied: number; readonly sinceMs: number } | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#scrubAtMs = deps.clock.monotonicMs() + SCRUB_MS;
  }

  start(): void {
    void this.#deps.room.look();
    this.#timer = this.#deps.clock.every(LOOK_MS, () => this.#look());
  }

  /** False when a restart may help: the disk has hung for long, or what is committed is not applied. Fit for a watchdog. */
  healthy(): boolean {
    const now = this.#deps.clock.monotonicMs();
    const since = [this.#probe?.sinceMs ?? now, this.#behind?.sinceMs ?? now];
    const waits = this.#deps.part()?.waitsMs ?? 0;
    return waits < UNHEALTHY_MS && since.every((ms) => now - ms < UNHEALTHY_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
    await Promise.all([this.#scrubbing, this.#mending]);
  }

  #look(): void {
    const { room, clock, part } = this.#deps;
    const now = clock.monotonicMs();
    const watched = part();
    if (watched?.leads === true || !room.enough || now >= this.#calmUntilMs) {
      this.#calmUntilMs = now + CALM_MS;
      void room.look();
    }
    if (watched?.leads === true && !room.enough) void room.moveAway(watched);
    this.#feelPulse(watched, now);
    this.#followApply(watched, now);
    this.#scrub(now);
    this.#mend();
  }

  /** A leader whose disk hangs must not remain, even when nobody asks it to write. */
  #feelPulse(part: Watched | null, now: number): void {
    const { disk } = this.#deps;
    if (this.#probe !== null) {
      if (now - this.#probe.sinceMs >= DISK_STALL_MS && part?.leads === true) {
        part.stepAside(this.#probe.ended);
      }
      return;
    }
    if (part?.leads !== true || part.waitsMs > 0 || disk.failure !== null) return;
    if (now - Math.max(this.#probedAtMs, part.savedAtMs) < CANARY_MS) return;
    this.#probedAtMs = now;
    const ended = disk
      .probe()
      .catch((error: unknown) => {
        if (this.#deps.part() === part && error instanceof WriteFailed) part.fail(error);
      })
      .finally(() => {
        this.#probe = null;
      });
    this.#probe = { sinceMs: now, ended };
  }

  #followApply(part: Watched | null, now: number): void {
    const { commit, applied, halted } = part?.status() ?? { commit: 0, applied: 0, halted: null };
    // What is halted says so itself, and would halt again.
    if (commit <= applied || halted !== null) this.#behind = null;
    else if (this.#behind?.applied !== applied) this.#behind = { applied, sinceMs: now };
  }

  #scrub(now: number): void {
    const { disk } = this.#deps;
    if (now < this.#scrubAtMs || this.#scrubbing !== null || this.#damaged || disk.failure !== null) return;
    this.#scrubAtMs = now + SCRUB_MS;
    this.#scrubbing = this.#readBack().finally(() => {
      this.#scrubbing = null;
    });
  }

  async #readBack(): Promise<void> {
    const { disk, onDamage, log } = this.#deps;
    try {
      const damage = await disk.scrub();
      if (damage === null || this.#timer === null) return;
      this.#damaged = true;
      onDamage(damage);
    } catch (error) {
      log.warn({ err: error }, "what lies on the disk could not be read back");
    }
  }

  #mend(): void {
    const { disk, room, log, mend } = this.#deps;
    const failure = disk.failure ?? this.#deps.part()?.failure ?? null;
    if (failure === null || this.#mending !== null || (failure.full && !room.enough)) return;
    this.#mending = mend()
      .catch((error: unknown) => log.debug({ err: error }, "the disk does not take writes yet"))
      .finally(() => {
        this.#mending = null;
      });
  }
}
