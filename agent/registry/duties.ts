import type { StateMachine } from "./apply.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { CoreStatus } from "#shared/consensus/ready.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** How often the leader looks whether something is to be done. Milliseconds. */
const LOOK_MS = 200;

/** What the leader sees when it looks after its cluster. */
export interface Look {
  readonly status: CoreStatus;
  readonly state: Readonly<RegistryState>;
  /** Monotonic. */
  readonly nowMs: number;
  /** Members that answer this leader, itself included. A suspect still counts. */
  readonly alive: ReadonlySet<MemberId>;
}

/** Something that the leader sees to, and nobody else. */
export interface Duty {
  look(look: Look): void;
  /** This agent does not lead (any more): whatever it had observed is worth nothing. */
  rest(status: CoreStatus): void;
}

interface Deps {
  readonly loop: Pick<ConsensusLoop, "status" | "ended">;
  readonly machine: Pick<StateMachine, "state" | "halted">;
  readonly clock: Clock;
  readonly isAlive: (peer: MemberId) => boolean;
  readonly duties: readonly Duty[];
}

/** Has the leader's duties done, a few times a second and only while this agent leads. */
export class LeaderDuties {
  readonly #deps: Deps;
  readonly #self: MemberId;
  #nextLookMs = 0;

  constructor(deps: Deps, options: { readonly self: MemberId }) {
    this.#deps = deps;
    this.#self = options.self;
  }

  /** What is seen now. */
  view(): Look {
    const { loop, machine, clock, isAlive } = this.#deps;
    const { status } = loop;
    const alive = new Set<MemberId>([this.#self]);
    for (const peer of machine.state.members.keys()) {
      if (status.progress.get(peer)?.active === true || isAlive(peer)) alive.add(peer);
    }
    return { status, state: machine.state, nowMs: clock.monotonicMs(), alive };
  }

  onTurn(): void {
    const { loop, machine, clock, duties } = this.#deps;
    if (loop.status.role !== "leader" || loop.ended) {
      for (const duty of duties) duty.rest(loop.status);
      return;
    }
    const now = clock.monotonicMs();
    if (now < this.#nextLookMs || machine.halted !== null) return;
    this.#nextLookMs = now + LOOK_MS;
    const look = this.view();
    for (const duty of duties) duty.look(look);
  }
}
