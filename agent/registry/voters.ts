import type { StateMachine } from "./apply.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { CoreStatus } from "#shared/consensus/ready.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { planVoters } from "#shared/placement/voters.ts";
import type { Command } from "#shared/registry/command.ts";
import { SETTINGS_DEFAULT } from "#shared/registry/state.ts";

/** How often the leader looks whether something is to be done. */
const LOOK_MS = 200;

interface Deps {
  readonly loop: Pick<ConsensusLoop, "do" | "status">;
  readonly machine: StateMachine;
  readonly clock: Clock;
  readonly log: Log;
  readonly isAlive: (peer: MemberId) => boolean;
  readonly submit: (command: Command) => Promise<unknown>;
}

/** The leader's duty: the right members vote, and joins that broke off leave nothing behind. */
export class VoterKeeper {
  readonly #deps: Deps;
  readonly #self: MemberId;
  readonly #deadVoterMs: number;
  readonly #joiningMs: number;
  /** Since when a voter has not answered, by this leader's own observation. */
  readonly #silentSince = new Map<MemberId, number>();
  #nextLookMs = 0;
  #removing = false;

  constructor(
    deps: Deps,
    options: { readonly self: MemberId; readonly deadVoterMs: number; readonly joiningMs: number },
  ) {
    this.#deps = deps;
    this.#self = options.self;
    this.#deadVoterMs = options.deadVoterMs;
    this.#joiningMs = options.joiningMs;
  }

  onTurn(): void {
    const { loop, clock, machine } = this.#deps;
    const now = clock.monotonicMs();
    if (loop.status.role !== "leader") {
      this.#silentSince.clear();
      return;
    }
    if (now < this.#nextLookMs || machine.halted !== null) return;
    this.#nextLookMs = now + LOOK_MS;
    this.#look(loop.status, now);
    this.#removeBrokenJoin();
  }

  #look(status: CoreStatus, now: number): void {
    const { loop, machine, log } = this.#deps;
    const members = [...machine.state.members.values()];
    const alive = new Set(members.map(({ peer }) => peer).filter((peer) => this.#answers(peer, status)));
    const plan = planVoters({
      self: this.#self,
      members,
      config: status.config,
      alive,
      dead: this.#dead(status, alive, now),
      leaving: new Set(),
      poolSize: (machine.state.cluster?.settings ?? SETTINGS_DEFAULT).candidatePoolSize,
      progress: status.progress,
      lastIndex: status.lastIndex,
    });
    if (plan === null) return;
    loop.do((core) => {
      const result = core.changeConfig(plan);
      if (result.ok) log.info({ ...plan, index: result.index }, "the leader changes who votes");
      else log.debug({ ...plan, reason: result.reason }, "the voters cannot be changed now");
    });
  }

  #answers(peer: MemberId, status: CoreStatus): boolean {
    return peer === this.#self || status.progress.get(peer)?.active === true || this.#deps.isAlive(peer);
  }

  #dead({ config }: CoreStatus, alive: ReadonlySet<MemberId>, now: number): ReadonlySet<MemberId> {
    for (const peer of this.#silentSince.keys()) {
      if (alive.has(peer) || !config.voters.includes(peer)) this.#silentSince.delete(peer);
    }
    const dead = new Set<MemberId>();
    for (const peer of config.voters) {
      if (alive.has(peer)) continue;
      const since = this.#silentSince.get(peer) ?? now;
      this.#silentSince.set(peer, since);
      if (now - since > this.#deadVoterMs) dead.add(peer);
    }
    return dead;
  }

  /** One at a time; the next look sees what is left. */
  #removeBrokenJoin(): void {
    const { machine, clock, log, submit } = this.#deps;
    if (this.#removing) return;
    const oldest = clock.now() - this.#joiningMs;
    for (const { peer, status, addedAt } of machine.state.members.values()) {
      if (status !== "joining" || addedAt > oldest || peer === this.#self) continue;
      this.#removing = true;
      log.info({ peer }, "removing a member whose join broke off");
      void submit({ type: "member.remove", peer })
        .catch((error: unknown) => log.warn({ peer, err: error }, "could not remove a broken join"))
        .finally(() => {
          this.#removing = false;
        });
      return;
    }
  }
}
