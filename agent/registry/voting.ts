import type { LeaderDuties } from "./duties.ts";
import type { HandOver } from "./hand-over.ts";
import type { Leadership } from "./submit.ts";
import type { VoterKeeper } from "./voters.ts";
import { METHOD, admit, check } from "./wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Voting } from "#agent/ports/registry.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Longest a hand-over may take at the leader. A transfer lapses after an election timeout, and an election takes as long. Milliseconds. */
const HAND_OVER_MS_MAX = 5000;
/** Longest taking a vote may take at the leader: a newcomer may have to be caught up first. Milliseconds. */
const VOTE_OUT_MS_MAX = 12_000;
/** Beyond that: how long the leader's answer may travel. Milliseconds. */
const ANSWER_MS = 2000;
/** How long a leader is looked for. Milliseconds. */
const SEEK_MS_MAX = 3000;
const SEEK_AGAIN_MS = 100;
/** Leaders that one wish is brought to, should leadership change meanwhile. */
const TRIES_MAX = 3;

interface Deps {
  readonly transport: Pick<Transport, "self" | "request">;
  readonly clock: Clock;
  readonly leadership: () => Leadership;
  readonly missing: () => readonly MemberId[];
  readonly handOver: HandOver;
  readonly keeper: VoterKeeper;
  readonly duties: LeaderDuties;
}

/** What the leader did; null when the agent that was asked does not lead. */
type Done = { readonly leader: MemberId } | null;

/** An administrator's wishes about who leads and who votes: brought to the leader, wherever it is, and done there. */
export class VotingDesk implements Voting {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async lead(to: MemberId | null): Promise<MemberId> {
    const { leader } = await this.#ask(METHOD.lead, { to }, HAND_OVER_MS_MAX, () => this.#lead(to));
    return leader;
  }

  async voteOut(peer: MemberId): Promise<void> {
    await this.#ask(METHOD.voteOut, { peer }, VOTE_OUT_MS_MAX, () => this.#voteOut(peer));
  }

  /** Another agent brings a wish. Any member may: who may wish is checked where the wish is made. */
  async serveLead(body: Wire): Promise<Wire> {
    const { to } = admit(check.leadRequest, body, METHOD.lead);
    return this.#lead(to);
  }

  async serveVoteOut(body: Wire): Promise<Wire> {
    const { peer } = admit(check.voteOutRequest, body, METHOD.voteOut);
    return this.#voteOut(peer);
  }

  async #lead(to: MemberId | null): Promise<Done> {
    const { handOver, leadership, transport } = this.#deps;
    if (leadership().leader !== transport.self) return null;
    const leader = await handOver.to(to, HAND_OVER_MS_MAX);
    return leader === null ? null : { leader };
  }

  async #voteOut(peer: MemberId): Promise<Done> {
    const { keeper, duties, transport } = this.#deps;
    const outcome = await keeper.voteOut(peer, duties.view(), VOTE_OUT_MS_MAX);
    return outcome === "done" ? { leader: transport.self } : null;
  }

  async #ask(
    method: string,
    body: Wire,
    timeoutMs: number,
    here: () => Promise<Done>,
  ): Promise<{ readonly leader: MemberId }> {
    const { transport } = this.#deps;
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const leader = await this.#leader();
      if (leader === null) break;
      const done =
        leader === transport.self ? await here() : await this.#askThere(leader, method, body, timeoutMs);
      if (done !== null) return done;
      await this.#deps.clock.sleep(SEEK_AGAIN_MS);
    }
    throw new AppError("quorum_lost", {
      leader: this.#deps.leadership().leader,
      missing: this.#deps.missing(),
    });
  }

  async #askThere(leader: MemberId, method: string, body: Wire, timeoutMs: number): Promise<Done> {
    const { transport } = this.#deps;
    try {
      const answer = await transport.request(leader, "control", method, body, {
        timeoutMs: timeoutMs + ANSWER_MS,
      });
      return admit(check.votingAnswer, answer, method);
    } catch (error) {
      if (isKind(error, "peer_unreachable") || isKind(error, "not_in_cluster")) return null;
      throw error;
    }
  }

  /** Who leads; waits a moment for an election. */
  async #leader(): Promise<MemberId | null> {
    const { clock, leadership } = this.#deps;
    const endMs = clock.monotonicMs() + SEEK_MS_MAX;
    while (leadership().leader === null && clock.monotonicMs() < endMs) await clock.sleep(SEEK_AGAIN_MS);
    return leadership().leader;
  }
}
