import type { Duty, Look } from "./duties.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { VoterConfig } from "#shared/consensus/messages.ts";
import type { CoreStatus } from "#shared/consensus/ready.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { chooseVoters, hasLiveMajority, planVoters, type VoterView } from "#shared/placement/voters.ts";
import { SETTINGS_DEFAULT } from "#shared/registry/state.ts";
import { nameOf } from "#shared/registry/queries/members.ts";

/** How long a newcomer may take to catch up before another one is tried. Milliseconds. */
const CATCH_UP_MS_MAX = 120_000;
/** How long one that did not make it is passed over. Milliseconds. */
const PASSED_OVER_MS = 300_000;
/** How long one that was voted out is given no vote again: until then it should have left. Milliseconds. */
const LEAVING_MS = 30_000;

interface Deps {
  readonly loop: Pick<ConsensusLoop, "do" | "status">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Somebody waits until a member does not vote any more. */
interface VotedOut {
  readonly peer: MemberId;
  readonly settle: (outcome: "done" | "not_leader") => void;
}

/** Sees to it that the right members vote: asks for what shared/placement plans, one change at a time. */
export class VoterKeeper implements Duty {
  readonly #deps: Deps;
  readonly #self: MemberId;
  readonly #deadVoterMs: number;
  /** Since when a voter has not answered, by this leader's own observation. */
  readonly #silentSince = new Map<MemberId, number>();
  /** Since when a newcomer is being caught up, and until when one that was too slow is passed over. */
  readonly #comingSince = new Map<MemberId, number>();
  readonly #passedOverUntil = new Map<MemberId, number>();
  /** Until when these are to have no vote. */
  readonly #leavingUntil = new Map<MemberId, number>();
  #waiting: readonly VotedOut[] = [];

  constructor(deps: Deps, options: { readonly self: MemberId; readonly deadVoterMs: number }) {
    this.#deps = deps;
    this.#self = options.self;
    this.#deadVoterMs = options.deadVoterMs;
  }

  look(look: Look): void {
    const { loop, log } = this.#deps;
    this.#settle(look.status);
    const plan = planVoters(this.#view(look));
    if (plan === null) return;
    loop.do((core) => {
      const result = core.changeConfig(plan);
      if (result.ok) log.info({ ...plan, index: result.index }, "the leader changes who votes");
      else log.debug({ ...plan, reason: result.reason }, "the voters cannot be changed now");
    });
  }

  rest(status: CoreStatus): void {
    this.#silentSince.clear();
    this.#comingSince.clear();
    this.#passedOverUntil.clear();
    this.#leavingUntil.clear();
    if (this.#waiting.length === 0) return;
    // A leader that was voted out itself has stepped down because that is done.
    this.#settle(status);
    for (const { settle } of this.#waiting) settle("not_leader");
    this.#waiting = [];
  }

  /**
   * Takes the vote of a member that is about to be taken out of the cluster. Resolves once that is committed, or when this
   * agent does not lead any more. Rejects with change_refused when those who would vote then have no living majority, and
   * when it could not be done in time; the vote may then be given back.
   */
  async voteOut(peer: MemberId, look: Look, timeoutMs: number): Promise<"done" | "not_leader"> {
    if (look.status.role !== "leader") return "not_leader";
    const what = `take the vote of ${nameOf(look.state, peer)}`;
    this.#leavingUntil.set(peer, look.nowMs + LEAVING_MS);
    const reason = this.#whyNot(look);
    if (reason !== null) {
      this.#leavingUntil.delete(peer);
      throw new AppError("change_refused", { what, reason });
    }
    const { promise, resolve } = Promise.withResolvers<"done" | "not_leader">();
    const waiting: VotedOut = { peer, settle: resolve };
    this.#waiting = [...this.#waiting, waiting];
    const over = new AbortController();
    const late = this.#deps.clock.sleep(timeoutMs, over.signal).then(() => "late" as const);
    late.catch(() => undefined);
    try {
      const outcome = await Promise.race([promise, late]);
      if (outcome !== "late") return outcome;
      this.#leavingUntil.delete(peer);
      throw new AppError("change_refused", { what, reason: `it was not done after ${timeoutMs} ms` });
    } finally {
      over.abort();
      this.#waiting = this.#waiting.filter((other) => other !== waiting);
    }
  }

  #whyNot(look: Look): string | null {
    const { status, alive } = look;
    if (!hasLiveMajority(status.config.voters, alive)) return "too few voters answer to agree on it";
    const next = chooseVoters(this.#view(look));
    if (next.length === 0) return "no other member could vote in its place";
    if (hasLiveMajority(next, alive)) return null;
    return `of those who would vote then (${next.map((one) => nameOf(look.state, one)).join(", ")}) too few answer`;
  }

  #settle({ config, configIndex, commit }: CoreStatus): void {
    if (configIndex > commit) return;
    this.#waiting = this.#waiting.filter(({ peer, settle }) => {
      if (takesPart(config, peer)) return true;
      settle("done");
      return false;
    });
  }

  #view({ status, state, nowMs, alive }: Look): VoterView {
    for (const until of [this.#passedOverUntil, this.#leavingUntil]) {
      for (const [peer, endMs] of until) if (endMs <= nowMs) until.delete(peer);
    }
    this.#passOverSlow(status, nowMs);
    const usable = [...alive].filter(
      (peer) => status.config.voters.includes(peer) || !this.#passedOverUntil.has(peer),
    );
    return {
      self: this.#self,
      members: [...state.members.values()],
      config: status.config,
      alive: new Set(usable),
      dead: this.#dead(status, alive, nowMs),
      leaving: new Set(this.#leavingUntil.keys()),
      poolSize: (state.cluster?.settings ?? SETTINGS_DEFAULT).candidatePoolSize,
      progress: status.progress,
      lastIndex: status.lastIndex,
    };
  }

  #passOverSlow({ config }: CoreStatus, nowMs: number): void {
    for (const peer of this.#comingSince.keys()) {
      if (!config.learners.includes(peer)) this.#comingSince.delete(peer);
    }
    for (const peer of config.learners) {
      const since = this.#comingSince.get(peer) ?? nowMs;
      this.#comingSince.set(peer, since);
      if (nowMs - since <= CATCH_UP_MS_MAX || this.#passedOverUntil.has(peer)) continue;
      this.#passedOverUntil.set(peer, nowMs + PASSED_OVER_MS);
      this.#deps.log.warn({ peer }, "a member does not catch up; another one is to vote");
    }
  }

  #dead({ config }: CoreStatus, alive: ReadonlySet<MemberId>, nowMs: number): ReadonlySet<MemberId> {
    for (const peer of this.#silentSince.keys()) {
      if (alive.has(peer) || !config.voters.includes(peer)) this.#silentSince.delete(peer);
    }
    const dead = new Set<MemberId>();
    for (const peer of config.voters) {
      if (alive.has(peer)) continue;
      const since = this.#silentSince.get(peer) ?? nowMs;
      this.#silentSince.set(peer, since);
      if (nowMs - since > this.#deadVoterMs) dead.add(peer);
    }
    return dead;
  }
}

function takesPart({ voters, outgoing, learners }: VoterConfig, peer: MemberId): boolean {
  return voters.includes(peer) || outgoing.includes(peer) || learners.includes(peer);
}
