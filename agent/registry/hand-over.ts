import type { ConsensusLoop } from "./loop.ts";
import type { Leadership } from "./submit.ts";
import type { Clock } from "#agent/ports/clock.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** How often it is looked whether somebody else leads. Milliseconds. */
const LOOK_MS = 20;
/** How long is waited for an heir that does not seem fit: who answers is counted anew with every election timeout. Milliseconds. */
const FIT_MS = 1500;
/** An heir that is further behind than this would keep writes waiting. Entries. */
const LAG_MAX = 1000;

interface Deps {
  readonly loop: Pick<ConsensusLoop, "do" | "status" | "ended">;
  readonly clock: Clock;
  readonly self: MemberId;
  readonly leadership: () => Leadership;
  /** The name of a member's host. */
  readonly nameOf: (peer: MemberId) => string;
}

/** The leader's side of handing leadership over (dissertation §3.10). */
export class HandOver {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * For one that stops or cannot write. Resolves when it does not lead (any more), nobody could take over, or the time is up.
   * `among`: who comes into question; any voter when left out.
   */
  async away(timeoutMs: number, among?: ReadonlySet<MemberId>): Promise<void> {
    await this.#transfer(() => this.heir(among), timeoutMs);
  }

  /** For one that had better not lead; does not wait. */
  begin(): void {
    const { loop } = this.#deps;
    const heir = this.heir();
    const { role, transferee } = loop.status;
    if (loop.ended || role !== "leader" || heir === null || transferee !== null) return;
    loop.do((core) => void core.transferTo(heir));
  }

  /**
   * On demand, to this voter or to the best one. Answers who leads then; null when this agent does not lead (any more) and
   * does not know who does. Rejects with change_refused.
   */
  async to(wanted: MemberId | null, timeoutMs: number): Promise<MemberId | null> {
    const { loop, clock, self, leadership } = this.#deps;
    if (loop.status.role !== "leader" || loop.ended || wanted === self) return leadership().leader;
    const heir = await this.#choose(wanted);
    const endMs = clock.monotonicMs() + timeoutMs;
    await this.#transfer(() => heir, timeoutMs);
    if (loop.status.role === "leader") throw this.#refused(heir, "it did not take over in time");
    while (leadership().leader === null && clock.monotonicMs() < endMs) await clock.sleep(LOOK_MS);
    const { leader } = leadership();
    if (leader !== null && wanted !== null && leader !== wanted) {
      throw this.#refused(wanted, `${this.#deps.nameOf(leader)} was elected instead`);
    }
    return leader;
  }

  /** The voter that is furthest and answers. */
  heir(among?: ReadonlySet<MemberId>): MemberId | null {
    const { config, progress } = this.#deps.loop.status;
    let best: { readonly peer: MemberId; readonly match: number } | null = null;
    for (const peer of config.voters) {
      const known = progress.get(peer);
      if (among?.has(peer) === false || known?.active !== true || known.match <= (best?.match ?? -1))
        continue;
      best = { peer, match: known.match };
    }
    return best?.peer ?? null;
  }

  /** The wanted one, or the best. Rejects with change_refused when it is not fit after a while. */
  async #choose(wanted: MemberId | null): Promise<MemberId> {
    const { clock } = this.#deps;
    const endMs = clock.monotonicMs() + FIT_MS;
    for (;;) {
      const heir = wanted ?? this.heir();
      const reason = heir === null ? "no other voter answers" : this.#unfit(heir);
      if (heir !== null && reason === null) return heir;
      if (clock.monotonicMs() >= endMs) throw this.#refused(heir, reason ?? "");
      await clock.sleep(LOOK_MS);
    }
  }

  #unfit(heir: MemberId): string | null {
    const { config, progress, lastIndex } = this.#deps.loop.status;
    if (!config.voters.includes(heir)) return "it does not vote, and only a voter can lead";
    const known = progress.get(heir);
    if (known?.active !== true) return "it does not answer";
    const behind = lastIndex - known.match;
    return behind > LAG_MAX ? `it is ${behind} entries behind` : null;
  }

  async #transfer(choose: () => MemberId | null, timeoutMs: number): Promise<void> {
    const { loop, clock } = this.#deps;
    const endMs = clock.monotonicMs() + timeoutMs;
    let asked: MemberId | null = null;
    while (!loop.ended && loop.status.role === "leader" && clock.monotonicMs() < endMs) {
      const heir = choose();
      if (heir === null) return;
      // What was asked for lapses after an election timeout; then it is asked for again.
      if (heir !== asked || loop.status.transferee === null) loop.do((core) => void core.transferTo(heir));
      asked = heir;
      await clock.sleep(LOOK_MS);
    }
  }

  #refused(heir: MemberId | null, reason: string): AppError {
    const to = heir === null ? "" : ` to ${this.#deps.nameOf(heir)}`;
    return new AppError("change_refused", { what: `hand leadership over${to}`, reason });
  }
}
