import type { Watched } from "./disk-watch.ts";
import type { HandOver } from "./hand-over.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Standing } from "./standing.ts";
import type { Log } from "#agent/ports/log.ts";
import type { RegistryStatus } from "#agent/ports/registry.ts";
import type { WriteFailed } from "#agent/ports/store.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** How long a leader whose disk hangs tries to hand over before it falls silent. Milliseconds. */
const STEP_ASIDE_MS = 1000;

interface Deps {
  readonly loop: Pick<
    ConsensusLoop,
    "status" | "ended" | "silent" | "waitsMs" | "savedAtMs" | "failure" | "hold" | "fail"
  >;
  readonly handOver: Pick<HandOver, "away">;
  readonly standing: Pick<Standing, "status">;
  readonly log: Log;
  readonly self: MemberId;
}

/** A participation as the watch over the disk sees and directs it. */
export class DiskSide implements Watched {
  readonly #deps: Deps;
  #steppingAside = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get leads(): boolean {
    const { loop } = this.#deps;
    return loop.status.role === "leader" && !loop.ended && !loop.silent;
  }

  get waitsMs(): number {
    return this.#deps.loop.waitsMs;
  }

  get savedAtMs(): number {
    return this.#deps.loop.savedAtMs;
  }

  get failure(): WriteFailed | null {
    return this.#deps.loop.failure;
  }

  status(): RegistryStatus {
    return this.#deps.standing.status();
  }

  rivals(): readonly MemberId[] {
    return this.#deps.loop.status.config.voters.filter((peer) => peer !== this.#deps.self);
  }

  handOver(timeoutMs: number, among: ReadonlySet<MemberId>): Promise<void> {
    return this.#deps.handOver.away(timeoutMs, among);
  }

  fail(error: Error): void {
    this.#deps.loop.fail(error);
  }

  stepAside(until: Promise<unknown>): void {
    if (this.#steppingAside) return;
    this.#steppingAside = true;
    this.#deps.log.error({}, "the disk hangs; this agent leads no more");
    void this.#stepAside(until).finally(() => {
      this.#steppingAside = false;
    });
  }

  async #stepAside(until: Promise<unknown>): Promise<void> {
    await this.#deps.handOver.away(STEP_ASIDE_MS);
    if (this.leads) this.#deps.loop.hold(until);
    await until;
  }
}
