import { RaftCore } from "#shared/consensus/core.ts";
import type { Entry, Message, VoterConfig } from "#shared/consensus/messages.ts";
import type { Consensus, Ready, ReadState } from "#shared/consensus/ready.ts";

// A bench to put one core on: start it with any log, hand it messages, look at what it sends.

export const ELECTION_TICKS = 10;

export interface Setup {
  readonly id?: string;
  readonly voters?: readonly string[];
  readonly outgoing?: readonly string[];
  readonly learners?: readonly string[];
  /** Terms of the entries after the snapshot, which ends at index 1 and term 1. */
  readonly log?: readonly number[];
  readonly term?: number;
  readonly vote?: string | null;
  readonly commit?: number;
  readonly appendBytesMax?: number;
  /** Draws election timeouts; without it each one is exactly `ELECTION_TICKS`. */
  readonly random?: () => number;
}

export function entry(index: number, term: number, data = `${index}/${term}`): Entry {
  return { index, term, kind: "command", data };
}

export function configEntry(index: number, term: number, config: Partial<VoterConfig>): Entry {
  const data = JSON.stringify({ voters: [], outgoing: [], learners: [], ...config });
  return { index, term, kind: "config", data };
}

/** Member `a` of `a`, `b` and `c` unless told otherwise. */
export function makeCore(setup: Setup = {}): Consensus {
  const { voters = ["a", "b", "c"], outgoing = [], learners = [], log = [], vote = null } = setup;
  const config = { voters: [...voters], outgoing: [...outgoing], learners: [...learners] };
  const entries = log.map((term, i) => entry(i + 2, term));
  const term = setup.term ?? log.at(-1) ?? 1;
  return new RaftCore(
    {
      id: setup.id ?? "a",
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      random: setup.random ?? (() => 0),
      ...(setup.appendBytesMax === undefined ? {} : { appendBytesMax: setup.appendBytesMax }),
    },
    {
      hardState: { term, vote, commit: setup.commit ?? 1 },
      snapshot: { index: 1, term: 1, config },
      entries,
      applied: 1,
    },
  );
}

export interface Drained {
  readonly sent: readonly Message[];
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadState[];
  readonly readies: readonly Ready[];
}

/** Saves and applies everything the core asks for. */
export function drain(core: Consensus): Drained {
  const readies: Ready[] = [];
  while (core.hasReady()) {
    const ready = core.ready();
    core.advance(ready);
    readies.push(ready);
  }
  return {
    sent: readies.flatMap(({ sendNow, sendAfter }) => [...sendNow, ...sendAfter]),
    committed: readies.flatMap(({ committed }) => committed),
    reads: readies.flatMap(({ reads }) => reads),
    readies,
  };
}

/** The messages of one type among those sent. */
export function sentOf<T extends Message["type"]>(
  drained: Drained,
  type: T,
): Extract<Message, { type: T }>[] {
  return drained.sent.filter((message): message is Extract<Message, { type: T }> => message.type === type);
}

export function ticks(core: Consensus, count: number): void {
  for (let i = 0; i < count; i += 1) core.tick();
}

/** Makes the member win an election with the votes of the given others. Everything it sends is thrown away. */
export function elect(core: Consensus, voters: readonly string[] = ["b"]): void {
  const { id, term } = core.status();
  ticks(core, ELECTION_TICKS);
  drain(core);
  for (const from of voters) {
    core.step({ type: "pre_vote_answer", from, to: id, term, granted: true, asked: term + 1 });
  }
  drain(core);
  for (const from of voters) core.step({ type: "vote_answer", from, to: id, term: term + 1, granted: true });
  drain(core);
}

/** A follower says that its log agrees up to an index. */
export function acknowledge(core: Consensus, from: string, index: number): void {
  const { id, term } = core.status();
  core.step({ type: "append_answer", from, to: id, term, ok: true, index, hintTerm: 0 });
}
