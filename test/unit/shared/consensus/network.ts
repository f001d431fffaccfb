import { expect } from "vitest";

import { RaftCore } from "#shared/consensus/core.ts";
import type { Entry, Message } from "#shared/consensus/messages.ts";
import type { Consensus } from "#shared/consensus/ready.ts";
import { assert } from "#shared/lib/assert.ts";

import { ELECTION_TICKS, type Setup, makeCore } from "./bench.ts";

// Several cores on one bench, with a wire between them that a test cuts as it likes. Nothing is left to chance: messages
// arrive in the order in which they left, and who times out first is written down.

/** Rounds of delivery after which a cluster that still talks is taken to talk for ever. */
const ROUNDS_MAX = 1000;

/** The core of an agent that has just joined: it holds nothing. */
function makeJoiner(id: string, random: () => number): Consensus {
  const options = { id, electionTicks: ELECTION_TICKS, heartbeatTicks: 1, random };
  const hardState = { term: 0, vote: null, commit: 0 };
  return new RaftCore(options, { hardState, snapshot: null, entries: [], applied: 0 });
}

export class Network {
  /** Every message that was sent, those that got lost included. */
  sent: Message[] = [];
  readonly #cores = new Map<string, Consensus>();
  readonly #applied = new Map<string, Entry[]>();
  /** What was applied at each index by whoever was first: all others must apply the same. */
  readonly #history = new Map<number, Entry>();
  #wire: Message[] = [];
  #loses: (message: Message) => boolean = () => false;

  /** `joiners` hold nothing yet; all others start from `common` and what is special about each of them. */
  constructor(
    members: Readonly<Record<string, Setup>>,
    { common = {}, joiners = [] }: { readonly common?: Setup; readonly joiners?: readonly string[] } = {},
  ) {
    for (const id of Object.keys(members).sort()) this.#add(makeCore({ ...common, ...members[id], id }));
    for (const id of joiners) this.#add(makeJoiner(id, () => 0));
  }

  #add(core: Consensus): void {
    this.#cores.set(core.status().id, core);
    this.#applied.set(core.status().id, []);
  }

  get ids(): readonly string[] {
    return [...this.#cores.keys()];
  }

  core(id: string): Consensus {
    const core = this.#cores.get(id);
    assert(core !== undefined, `${id} is a member`);
    return core;
  }

  status(id: string): ReturnType<Consensus["status"]> {
    return this.core(id).status();
  }

  /** Members that believe they lead. */
  get leaders(): readonly string[] {
    return this.ids.filter((id) => this.status(id).role === "leader");
  }

  /** Texts of the commands that a member has applied. */
  commands(id: string): string[] {
    const applied = this.#applied.get(id) ?? [];
    return applied.filter(({ kind }) => kind === "command").map(({ data }) => data);
  }

  /** From now on these messages get lost, and no others. */
  lose(loses: (message: Message) => boolean): void {
    this.#loses = loses;
  }

  /** From now on a message gets lost between members that do not share a group. */
  split(...groups: readonly (readonly string[])[]): void {
    this.lose(({ from, to }) => !groups.some((group) => group.includes(from) && group.includes(to)));
  }

  /** From now on nothing reaches or leaves this member. */
  isolate(id: string): void {
    this.split(
      [id],
      this.ids.filter((other) => other !== id),
    );
  }

  heal(): void {
    this.lose(() => false);
  }

  /** Saves, applies and delivers until nobody has anything to say. */
  settle(): void {
    for (let round = 0; this.#turn(); round += 1)
      expect(round, "rounds of delivery").toBeLessThan(ROUNDS_MAX);
  }

  #turn(): boolean {
    for (const id of this.ids) this.#drain(id);
    const wire = this.#wire;
    this.#wire = [];
    for (const message of wire) this.#deliver(message);
    return wire.length > 0 || this.ids.some((id) => this.core(id).hasReady());
  }

  #drain(id: string): void {
    const core = this.core(id);
    while (core.hasReady()) {
      const ready = core.ready();
      this.#post(ready.sendNow);
      this.#post(ready.sendAfter);
      for (const entry of ready.committed) this.#apply(id, entry);
      core.advance(ready);
    }
  }

  #post(messages: readonly Message[]): void {
    this.sent.push(...messages);
    this.#wire.push(...messages.filter((message) => !this.#loses(message)));
  }

  #apply(id: string, entry: Entry): void {
    const first = this.#history.get(entry.index);
    if (first === undefined) this.#history.set(entry.index, entry);
    else expect(entry, `${id} applies what others have applied`).toEqual(first);
    this.#applied.get(id)?.push(entry);
  }

  #deliver(message: Message): void {
    const core = this.#cores.get(message.to);
    if (core === undefined) return;
    core.step(message);
    if (message.type !== "snapshot" || message.meta.index <= core.status().commit) return;
    if (!core.installSnapshot(message.meta)) return;
    const { index } = message.meta;
    this.#applied.set(
      message.to,
      [...this.#history.values()].filter((entry) => entry.index <= index),
    );
  }

  /** One member's time passes, and everybody handles what comes of it. */
  tick(id: string, count = 1): void {
    for (let i = 0; i < count; i += 1) {
      this.core(id).tick();
      this.settle();
    }
  }

  /** Everybody's time passes. */
  tickAll(count = 1): void {
    for (let i = 0; i < count; i += 1) for (const id of this.ids) this.tick(id);
  }

  /**
   * Makes a member win an election, and everybody else follow it. Time passes for it alone, so this works only while the
   * others know no leader.
   */
  elect(id: string): void {
    this.tick(id, ELECTION_TICKS);
    expect(this.leaders).toEqual([id]);
    this.sent = [];
  }

  propose(id: string, ...texts: readonly string[]): void {
    expect(this.core(id).propose(texts)).toMatchObject({ ok: true });
    this.settle();
  }

  /** The member snapshots what it has applied and forgets the log up to there. */
  compact(id: string): void {
    const core = this.core(id);
    const { applied } = core.status();
    const term = core.termAt(applied);
    assert(term !== null, "the term of what is applied is known");
    core.compact({ index: applied, term, config: core.appliedConfig() }, applied);
  }

  /** Messages of one type that were sent so far, those that got lost included. */
  sentOf<T extends Message["type"]>(type: T): Extract<Message, { type: T }>[] {
    return this.sent.filter((message): message is Extract<Message, { type: T }> => message.type === type);
  }
}
