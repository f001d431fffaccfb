import type { StateMachine } from "./apply.ts";
import { BrokenJoins } from "./broken-joins.ts";
import { LeaderDuties } from "./duties.ts";
import { FailureJudge } from "./failed.ts";
import { HandOver } from "./hand-over.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Standing } from "./standing.ts";
import { VoterKeeper } from "./voters.ts";
import { VotingDesk } from "./voting.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { OwnHealth } from "#agent/ports/membership.ts";
import type { Transport } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { Command } from "#shared/registry/command.ts";
import { nameOf } from "#shared/registry/queries/members.ts";

/** What a leader does for its cluster, and what may be wished of it: on every agent, for each may come to lead. */
export interface LeaderSide {
  readonly duties: LeaderDuties;
  readonly handOver: HandOver;
  readonly voting: VotingDesk;
}

interface Deps {
  readonly loop: ConsensusLoop;
  readonly machine: StateMachine;
  readonly standing: Standing;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly membership: { isAlive(peer: MemberId): boolean; self(): OwnHealth };
  /** Commits a command of the agents' own. */
  readonly submit: (command: Command) => Promise<unknown>;
}

/** Wires it together; see LeaderDuties.onTurn for when it works. */
export function leaderSide(
  deps: Deps,
  options: { readonly deadVoterMs: number; readonly joiningMs: number },
): LeaderSide {
  const { loop, machine, standing, transport, clock, log, membership, submit } = deps;
  const { self } = transport;
  const keeper = new VoterKeeper({ loop, clock, log }, { ...options, self });
  const joins = new BrokenJoins({ log, submit }, { ...options, self });
  const judge = new FailureJudge({
    log,
    submit,
    health: () => membership.self(),
    hasQuorum: () => standing.status().quorum,
  });
  const isAlive = (peer: MemberId): boolean => membership.isAlive(peer);
  const duties = new LeaderDuties(
    { loop, machine, clock, isAlive, duties: [keeper, joins, judge] },
    { self },
  );
  const leadership = (): ReturnType<Standing["leadership"]> => standing.leadership();
  const handOver = new HandOver({
    loop,
    clock,
    self,
    leadership,
    nameOf: (peer) => nameOf(machine.state, peer),
  });
  const missing = (): readonly MemberId[] => standing.missing();
  const voting = new VotingDesk({ transport, clock, leadership, missing, handOver, keeper, duties });
  return { duties, handOver, voting };
}
