import type { Entry, Message, VoterConfig } from "#shared/consensus/messages.ts";
import type { HardState } from "#shared/consensus/ready.ts";

import type { Machine } from "./consensus-disk.ts";

/** What a disk holds for certain, as far as promises depend on it. */
interface Durable {
  readonly hardState: HardState;
  readonly entries: readonly Entry[];
  readonly snapshot: { readonly meta: { readonly index: number } } | null;
}

interface Applied {
  readonly entry: Entry;
  /** Term of the member that handed it out first: it was committed in this term or before. */
  readonly term: number;
  readonly chain: number;
}

/**
 * Knows what must hold, not how it is achieved: nothing here calls the code under test. The properties are those of the
 * dissertation's figure 3.2, watched through what members send, write and apply.
 */
export class ConsensusOracle {
  readonly #leaders = new Map<number, string>();
  readonly #written = new Map<string, string>();
  readonly #applied: Applied[] = [];
  readonly #acknowledged = new Map<number, Entry>();
  /** Who voted for whom: `voter/term`. A candidate's request is its vote for itself. */
  readonly #votes = new Map<string, string>();
  #lastIndex: number;

  constructor(first: Machine) {
    this.#lastIndex = first.index;
    this.#firstChain = first.chain;
    this.#firstIndex = first.index;
  }

  readonly #firstChain: number;
  readonly #firstIndex: number;

  /** Highest index that anybody has applied. */
  get lastApplied(): number {
    return this.#lastIndex;
  }

  /** Highest index that was acknowledged to a client. */
  get lastAcknowledged(): number {
    return Math.max(0, ...this.#acknowledged.keys());
  }

  /** Election safety: at most one leader in a term, and a restart ends its leadership. */
  leads(member: string, start: number, term: number): boolean {
    const who = `${member}, start ${start}`;
    const before = this.#leaders.get(term);
    this.#leaders.set(term, who);
    demand(before === undefined || before === who, `term ${term} has two leaders: ${before} and ${who}`);
    return before === undefined;
  }

  /** A majority of each set of voters has, on its disk, what the leader counts as committed (§3.5, §4.3). */
  commits(
    leader: string,
    entry: Pick<Entry, "index" | "term">,
    config: VoterConfig,
    disks: (id: string) => Durable,
  ): void {
    const holds = (voter: string): boolean => {
      const { entries, snapshot } = disks(voter);
      if ((snapshot?.meta.index ?? 0) >= entry.index) return true;
      return entries[entry.index - (entries[0]?.index ?? 0)]?.term === entry.term;
    };
    demand(hasMajorities(config, holds), `${leader} commits ${at(entry)}, which no majority has on disk`);
  }

  /** A majority of each set of voters voted for the leader in its term. */
  elected(leader: string, term: number, config: VoterConfig): void {
    const voted = (voter: string): boolean => this.#votes.get(`${voter}/${term}`) === leader;
    demand(hasMajorities(config, voted), `${leader} leads term ${term} without a majority of votes`);
  }

  /** Leader completeness: a new leader holds everything committed in earlier terms. */
  leaderHolds(
    member: string,
    term: number,
    firstIndex: number,
    termAt: (index: number) => number | null,
  ): void {
    for (const { entry, term: committedIn } of this.#applied) {
      if (committedIn >= term || entry.index < firstIndex) continue;
      const own = termAt(entry.index);
      demand(
        own === entry.term,
        `leader ${member} of term ${term} has ${own} at ${at(entry)}, which is committed`,
      );
    }
  }

  /** Log matching: the same index and term mean the same entry, and the same entry before it. */
  wrote(member: string, entries: readonly Entry[], termBefore: number | null): void {
    let before = termBefore;
    for (const entry of entries) {
      if (before !== null) {
        const key = `${entry.index}/${entry.term}`;
        const content = `${before}|${entry.kind}|${entry.data}`;
        const known = this.#written.get(key);
        demand(
          known === undefined || known === content,
          `${member} wrote ${content} at ${at(entry)}, not ${known}`,
        );
        this.#written.set(key, content);
      }
      before = entry.term;
    }
  }

  /** State-machine safety: every member applies the same entries in the same order. Gives the machine after the entry. */
  applied(member: string, machine: Machine, entry: Entry, term: number): Machine {
    demand(entry.index === machine.index + 1, `${member} applied ${entry.index} after ${machine.index}`);
    const chain = chained(machine.chain, entry);
    const known = this.#applied[entry.index - this.#firstIndex - 1];
    if (known === undefined) {
      this.#applied.push({ entry, term, chain });
      this.#lastIndex = entry.index;
    } else {
      demand(known.chain === chain, `${member} applied ${show(entry)}, others ${show(known.entry)}`);
    }
    return { index: entry.index, chain };
  }

  /** A snapshot holds exactly what others applied, and the configuration of that moment. */
  snapshot(member: string, machine: Machine, term: number, config: VoterConfig, first: VoterConfig): void {
    const known = this.#applied[machine.index - this.#firstIndex - 1];
    const chain = machine.index === this.#firstIndex ? this.#firstChain : known?.chain;
    demand(chain === machine.chain, `${member} has a snapshot at ${machine.index} that differs`);
    demand(known === undefined || known.entry.term === term, `${member} has a snapshot with a wrong term`);
    const upTo = this.#applied.slice(0, machine.index - this.#firstIndex);
    const change = upTo.findLast(({ entry }) => entry.kind === "config");
    const expected = change?.entry.data ?? JSON.stringify(first);
    demand(
      JSON.stringify(config) === expected,
      `${member} has a snapshot with configuration ${JSON.stringify(config)}`,
    );
  }

  /** A client was told that its command is committed. */
  acknowledged(entry: Entry): void {
    this.#acknowledged.set(entry.index, entry);
  }

  /** No acknowledged command is lost or replaced. */
  acknowledgedAreKept(): void {
    for (const entry of this.#acknowledged.values()) {
      const kept = this.#applied[entry.index - this.#firstIndex - 1]?.entry;
      demand(kept?.term === entry.term && kept.data === entry.data, `acknowledged ${show(entry)} is lost`);
    }
  }

  /** ReadIndex (§6.4): a read sees everything anybody had applied before it began. */
  read(member: string, index: number, appliedBefore: number): void {
    demand(
      index >= appliedBefore,
      `${member} would read at ${index}, but ${appliedBefore} was visible before`,
    );
  }

  /** §3.4: one vote in a term, restarts or not. */
  #votesFor(voter: string, term: number, candidate: string): void {
    const before = this.#votes.get(`${voter}/${term}`);
    demand(
      before === undefined || before === candidate,
      `${voter} votes for ${before} and ${candidate} in term ${term}`,
    );
    this.#votes.set(`${voter}/${term}`, candidate);
  }

  /** What a message promises must be on its sender's disk before it leaves (figure 3.1, "persistent state"). */
  sends(message: Message, durable: Durable): void {
    const { hardState } = durable;
    const { from, to, term } = message;
    if (message.type === "pre_vote" || message.type === "pre_vote_answer") return;
    if (message.type === "vote") this.#votesFor(from, term, from);
    if (message.type === "vote_answer" && message.granted) this.#votesFor(from, term, to);
    demand(
      hardState.term >= term,
      `${from} sent ${message.type} of term ${term} with ${hardState.term} on disk`,
    );
    if (hardState.term > term) return;
    if (message.type === "vote")
      demand(hardState.vote === from, `${from} campaigns without having saved its vote`);
    if (message.type === "vote_answer" && message.granted) {
      demand(hardState.vote === to, `${from} votes for ${to} with ${hardState.vote} on disk`);
    }
    if (message.type === "append_answer" && message.ok) {
      const last = Math.max(durable.entries.at(-1)?.index ?? 0, durable.snapshot?.meta.index ?? 0);
      demand(last >= message.index, `${from} acknowledges ${message.index} with ${last} on disk`);
    }
  }
}

/** Whether a majority of the voters, and of the outgoing ones if there are any, has a property. */
function hasMajorities({ voters, outgoing }: VoterConfig, has: (voter: string) => boolean): boolean {
  const majority = (set: readonly string[]): boolean => set.filter(has).length * 2 > set.length;
  return majority(voters) && (outgoing.length === 0 || majority(outgoing));
}

function chained(chain: number, { index, term, kind, data }: Entry): number {
  let hash = chain ^ 0x811c9dc5;
  const text = `${index}/${term}/${kind}/${data}`;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

function at({ index, term }: Pick<Entry, "index" | "term">): string {
  return `index ${index} of term ${term}`;
}

function show(entry: Entry): string {
  return `${entry.kind} ${entry.data} at ${at(entry)}`;
}

/** Throws when a property is broken. */
export function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(`broken: ${otherwise}`);
}
