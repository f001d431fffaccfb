import { RegistryOracle, type Expected } from "./registry-oracle.ts";
import { RECOVERY_INDEX_GAP } from "#shared/lib/limits.ts";
import type { Command } from "#shared/registry/command.ts";

export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly kind: string;
  readonly data: string;
}

/** What one entry did, by the rules as they are written down in registry-oracle.ts. */
interface Effect {
  /** Null: nothing, because it was no command, a repetition, or too late. */
  readonly by: string | null;
  readonly outcome: Expected | null;
}

interface Session {
  readonly session: number;
  readonly ack: number;
  readonly seen: ReadonlyMap<number, Effect>;
}

interface Envelope {
  readonly origin: string;
  readonly session: number;
  readonly seq: number;
  readonly ack: number;
  readonly key?: string;
  readonly by: string;
  readonly command: Command;
}

/** What a client was told of one of its writes; `unknown` stays so for ever when the agent dies. */
export type Told = "unknown" | "refused" | { readonly index: number; readonly outcome: Expected };

interface Deps {
  readonly isUp: (peer: string) => boolean;
  readonly note: (line: string) => void;
}

/**
 * Knows what must hold of a cluster in one incarnation, and uses nothing of the code under test: one log that all apply, what
 * each entry of it does by rules written down a second time, and what clients were told.
 */
export class ClusterOracle {
  readonly rules = new RegistryOracle();
  /** Index before the first of `#log`: a recovered cluster goes on far behind the copy that it was made of. */
  readonly #base: number;
  readonly #log: { readonly text: string; readonly entry: Entry }[] = [];
  readonly #effects = new Map<number, Effect>();
  readonly #applied = new Map<string, number>();
  /** Indexes of snapshots that anybody has installed. */
  readonly #snapshots = new Set<number>();
  readonly #leaders = new Map<number, string>();
  readonly #sessions = new Map<string, Session>();
  readonly #keys = new Map<
    string,
    { readonly command: string; readonly effect: Effect; readonly index: number }
  >();
  /** Indexes at which each client operation took effect. */
  readonly #took = new Map<string, number[]>();
  readonly #told = new Map<string, Told>();
  /** Highest index that any client was told of. */
  acknowledged = 0;
  readonly #deps: Deps;

  constructor(deps: Deps, base = 0) {
    this.#deps = deps;
    this.#base = base;
    this.acknowledged = base;
  }

  /** Highest index that anybody has applied. */
  get lastApplied(): number {
    return this.#base + this.#log.length;
  }

  /**
   * The next incarnation, carried on by `self` from a copy that ends with the entry at this index, which holds `tail` beyond what
   * it had compacted. What was acknowledged and is in it must stay. Tells also how many acknowledged writes are not.
   */
  recovered(
    copy: { readonly index: number; readonly term: number; readonly tail: readonly Entry[] },
    self: { readonly peer: string; readonly uuid: string; readonly name: string; readonly uid: number },
  ): { readonly oracle: ClusterOracle; readonly lost: number } {
    const { index, term, tail } = copy;
    const from = tail[0]?.index ?? index + 1;
    const log = [...this.#log.slice(0, from - 1).map(({ entry }) => entry), ...tail];
    const last = log.at(index - 1);
    demand(log.length >= index && last?.index === index, `nobody holds the copy that ends at ${index}`);
    demand(last?.term === term, `the copy ends at ${index} in term ${last?.term}, not ${term}`);
    const oracle = new ClusterOracle(this.#deps, index + RECOVERY_INDEX_GAP);
    for (const entry of log.slice(0, index)) {
      if (entry.kind === "command") oracle.#effects.set(entry.index, oracle.#judge(entry.index, entry.data));
    }
    const refused = oracle.rules.recover(self);
    demand(!("refused" in refused), `${self.peer} may not recover: ${JSON.stringify(refused)}`);
    oracle.#sessions.delete(self.peer);
    oracle.#snapshots.add(oracle.#base);
    let lost = 0;
    for (const [operation, told] of this.#told) {
      const gone = typeof told === "object" && !oracle.#took.has(operation);
      if (gone) lost += 1;
      oracle.#told.set(operation, gone ? "unknown" : told);
    }
    return { oracle, lost };
  }

  // ---- the log

  begins(who: string, applied: number): void {
    demand(applied <= this.lastApplied, `${who} begins at ${applied}, which nobody has reached`);
    this.#applied.set(who, applied);
  }

  jumps(who: string, index: number): void {
    demand(index > this.#at(who), `${who} goes back from ${this.#at(who)} to a snapshot at ${index}`);
    demand(index <= this.lastApplied, `${who} has a snapshot at ${index}, which nobody has reached`);
    this.#applied.set(who, index);
  }

  /** Somebody is about to install a snapshot. */
  takesSnapshot(index: number): void {
    this.#snapshots.add(index);
  }

  /** All apply the same entries in the same order. */
  applies(who: string, entry: Entry): void {
    const { index, term, kind, data } = entry;
    demand(index === this.#at(who) + 1, `${who} applies ${index} after ${this.#at(who)}`);
    this.#applied.set(who, index);
    const text = `${term} ${kind} ${data}`;
    const known = this.#log[index - 1 - this.#base]?.text;
    if (known === undefined) {
      this.#log.push({ text, entry: { index, term, kind, data } });
      const effect = kind === "command" ? this.#judge(index, data) : NOTHING;
      this.#effects.set(index, effect);
      this.#deps.note(`${who} is the first to apply ${index}: ${JSON.stringify(effect)} of ${text}`);
    } else demand(known === text, `${who} applies ${text} at ${index}, others ${known}`);
  }

  /** At most one leader in a term, and a restart ends its leadership. True when it is news. */
  leads(who: string, term: number): boolean {
    const before = this.#leaders.get(term);
    demand(before === undefined || before === who, `term ${term} has two leaders: ${before} and ${who}`);
    this.#leaders.set(term, who);
    return before === undefined;
  }

  /** A leader may not choose voters of which no majority is there. */
  changesVoters(who: string, voters: readonly string[]): void {
    const up = voters.filter((peer) => this.#deps.isUp(peer)).length;
    demand(
      2 * up > voters.length,
      `${who} chooses ${voters.join()}, of which only ${up} have been up lately`,
    );
  }

  // ---- clients

  begun(operation: string): void {
    this.#told.set(operation, "unknown");
  }

  /** A client is told how its write went. `refused`: certainly not done, whatever happened to other tries of it. */
  told(operation: string, told: Told): void {
    if (typeof told === "object") {
      const { index, outcome } = told;
      const [took = 0] = this.#took.get(operation) ?? [];
      // Who learns of its write by a snapshot knows no better index than that of the snapshot.
      const known = took === index || (took < index && this.#snapshots.has(index));
      demand(known, `${operation} took effect at ${took}, and its caller was told ${index}`);
      const effect = this.#effects.get(took);
      const [actual, expected] = [JSON.stringify(outcome), JSON.stringify(effect?.outcome)];
      demand(
        actual === expected,
        `${operation} was told ${actual} at ${index}; by the rules it is ${expected}`,
      );
      this.acknowledged = Math.max(this.acknowledged, index);
    }
    this.#told.set(operation, told);
  }

  /** A linearizable read sees all that any client had been told of before it began. */
  linearizable(who: string, index: number, before: number): void {
    demand(index >= before, `${who} reads at ${index} what was at ${before} before it asked`);
  }

  reached(who: string, index: number, wanted: number): void {
    demand(index >= wanted, `${who} answers at ${index} a read that wants ${wanted}`);
  }

  /** Each write took effect once at most, acknowledged ones did, refused ones did not. */
  settles(): void {
    for (const [operation, told] of this.#told) {
      const took = this.#took.get(operation) ?? [];
      demand(took.length <= 1, `${operation} took effect at ${took.join(" and ")}`);
      if (told === "refused")
        demand(took.length === 0, `${operation} was refused and took effect at ${took[0]}`);
      if (typeof told === "object") demand(took.length === 1, `${operation} was acknowledged and is lost`);
    }
  }

  counts(): { readonly acknowledged: number; readonly refused: number; readonly unknown: number } {
    const all = [...this.#told.values()];
    const count = (told: Told): number => all.filter((one) => one === told).length;
    const refused = count("refused");
    const unknown = count("unknown");
    return { refused, unknown, acknowledged: all.length - refused - unknown };
  }

  #at(who: string): number {
    return this.#applied.get(who) ?? 0;
  }

  // ---- what an entry does

  #judge(index: number, data: string): Effect {
    const envelope = JSON.parse(data) as Envelope;
    const { origin, seq } = envelope;
    const session = this.#renew(envelope);
    if (session === null || seq < session.ack || session.seen.has(seq)) return NOTHING;
    const effect = this.#once(index, envelope);
    this.#sessions.set(origin, { ...session, seen: new Map([...session.seen, [seq, effect]]) });
    return effect;
  }

  /** Null: of a life that is over. */
  #renew({ origin, session, ack }: Envelope): Session | null {
    const known = this.#sessions.get(origin);
    if (known !== undefined && known.session > session) return null;
    const same = known?.session === session ? known : { session, ack: 0, seen: new Map<number, Effect>() };
    const next = { ...same, ack: Math.max(same.ack, ack) };
    this.#sessions.set(origin, next);
    return next;
  }

  #once(index: number, { by, key, command }: Envelope): Effect {
    const scoped = `${by} ${key}`;
    const known = key === undefined ? undefined : this.#keys.get(scoped);
    const text = JSON.stringify(command);
    if (known !== undefined) {
      demand(known.command === text, `${scoped} is used for two commands`);
      return NOTHING;
    }
    const effect = { by, outcome: this.rules.expect(command) };
    this.#took.set(by, [...(this.#took.get(by) ?? []), index]);
    if (key !== undefined) this.#keys.set(scoped, { command: text, effect, index });
    return effect;
  }
}

const NOTHING: Effect = { by: null, outcome: null };

/** Throws when a property is broken. */
export function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(`broken: ${otherwise}`);
}
