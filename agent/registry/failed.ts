import type { Duty, Look } from "./duties.ts";
import type { Log } from "#agent/ports/log.ts";
import type { OwnHealth } from "#agent/ports/membership.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Command } from "#shared/registry/command.ts";
import { SETTINGS_DEFAULT, type Member } from "#shared/registry/state.ts";

/** How long a failed member must be there again before the mark goes: one that comes and goes is not well. Milliseconds. */
const BACK_MS = 5000;
/** The most that one look counts for: what lies further back, the leader slept through. Milliseconds. */
const STEP_MS_MAX = 1000;
/** A leader that distrusts itself more than this does not judge others (of 8; see shared/membership/health.ts). */
const SCORE_MAX = 2;
/** … nor one whose timers came this late a short while ago. Milliseconds. */
const LOOP_DELAY_MS_MAX = 1000;
/** Marks under way at once: a whole site may be switched off. */
const MARKS_MAX = 16;

interface Deps {
  readonly log: Log;
  readonly submit: (command: Command) => Promise<unknown>;
  readonly health: () => OwnHealth;
  /** Whether a majority answers this leader now. */
  readonly hasQuorum: () => boolean;
}

/**
 * Turns long death into the committed mark `failed`, and takes the mark away when the member is back. Liveness is each agent's
 * own opinion; the mark is one answer for all, on which repair is based.
 *
 * Time counts only while this leader is well and has a majority; a new leader counts anew. So neither a stall of its own
 * nor a partition that it is on the wrong side of is ever taken for somebody else's failure.
 */
export class FailureJudge implements Duty {
  readonly #deps: Deps;
  readonly #absentMs = new Map<MemberId, number>();
  readonly #backMs = new Map<MemberId, number>();
  readonly #marking = new Set<MemberId>();
  #lastLookMs: number | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  look({ state, nowMs, alive }: Look): void {
    const passed = this.#lastLookMs === null ? 0 : Math.min(nowMs - this.#lastLookMs, STEP_MS_MAX);
    this.#lastLookMs = nowMs;
    if (!this.#mayJudge()) return;
    const { failedAfterMs } = state.cluster?.settings ?? SETTINGS_DEFAULT;
    for (const counts of [this.#absentMs, this.#backMs]) {
      for (const peer of counts.keys()) if (!state.members.has(peer)) counts.delete(peer);
    }
    for (const member of state.members.values()) {
      if (member.status !== "active") continue;
      const here = alive.has(member.peer);
      const absent = count(this.#absentMs, member.peer, !here, passed);
      const back = count(this.#backMs, member.peer, here && member.failedAt !== null, passed);
      if (member.failedAt === null && absent >= failedAfterMs) this.#mark(member, true);
      if (member.failedAt !== null && back >= BACK_MS) this.#mark(member, false);
    }
  }

  rest(): void {
    this.#absentMs.clear();
    this.#backMs.clear();
    this.#lastLookMs = null;
  }

  #mayJudge(): boolean {
    const { score, loopDelayMs } = this.#deps.health();
    return score <= SCORE_MAX && loopDelayMs <= LOOP_DELAY_MS_MAX && this.#deps.hasQuorum();
  }

  #mark({ peer, name }: Member, failed: boolean): void {
    const { log, submit } = this.#deps;
    if (this.#marking.has(peer) || this.#marking.size >= MARKS_MAX) return;
    this.#marking.add(peer);
    log.warn({ peer, member: name, failed }, failed ? "a member has failed" : "a failed member is back");
    void submit({ type: "member.set_failed", peer, failed })
      .catch((error: unknown) =>
        log.warn({ peer, failed, err: error }, "the mark could not be committed yet"),
      )
      .finally(() => this.#marking.delete(peer));
  }
}

/** Adds the time that passed while the condition holds, starts over when it does not; how long it has held. */
function count(counts: Map<MemberId, number>, peer: MemberId, holds: boolean, passed: number): number {
  if (!holds) {
    counts.delete(peer);
    return 0;
  }
  const before = counts.get(peer);
  const held = before === undefined ? 0 : before + passed;
  counts.set(peer, held);
  return before === undefined ? 0 : held;
}
