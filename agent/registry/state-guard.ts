import type { StateMachine } from "./apply.ts";
import type { Replacement } from "./replacement.ts";
import { METHOD, admit, check, toWire, type StatePoint } from "./wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Transport, Wire } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { reviewMarks } from "#shared/registry/fingerprint.ts";

/** How often this agent compares its state with another member's: one that differs knows it well within a minute. */
const COMPARE_MS = 20_000;
/** When a difference could not be settled, or a repair failed: how soon to try again. */
const AGAIN_MS = 2000;
/** How often a part of the records is looked at again, and in how many parts all of them are. */
const REVIEW_MS = 1000;
const REVIEW_PARTS = 40;
/** Points in one question. Under load the newest are seldom those of the other side. */
const POINTS_MAX = 8;
/** Members asked when two differ. */
const JURY_MAX = 9;
const ASK_MS = 2000;

interface Deps {
  readonly machine: StateMachine;
  readonly transport: Pick<Transport, "self" | "request" | "connected">;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly leader: () => MemberId | null;
  readonly voters: () => readonly MemberId[];
  readonly replacement: Pick<Replacement, "from">;
}

/**
 * Makes sure that what this agent holds is what the others hold. Every so often it compares its state's hash at an equal
 * index with one member's; when they differ, with several members'. Whoever is alone in its opinion serves nothing any more
 * until it holds a copy of the others' state. Records changed in memory behind the reducers' back are found without others.
 */
export class StateGuard {
  readonly #deps: Deps;
  readonly #stopped = new AbortController();
  #compareAtMs: number;
  #reviewAtMs = 0;
  #reviewed = 0;
  #busy: Promise<void> | null = null;

  constructor(deps: Deps) {
    this.#deps = deps;
    // Agents that start together do not ask together.
    this.#compareAtMs = deps.clock.monotonicMs() + COMPARE_MS * deps.random();
  }

  /** Called often; does what is due beside the caller. */
  onTick(): void {
    const now = this.#deps.clock.monotonicMs();
    if (this.#busy !== null || this.#stopped.signal.aborted) return;
    if (now >= this.#reviewAtMs) {
      this.#reviewAtMs = now + REVIEW_MS;
      this.#review();
    }
    if (now < this.#compareAtMs) return;
    this.#compareAtMs = now + COMPARE_MS;
    this.#busy = this.#compare()
      .catch((error: unknown) => {
        this.#compareAtMs = this.#deps.clock.monotonicMs() + AGAIN_MS;
        if (!this.#stopped.signal.aborted) {
          this.#deps.log.warn({ err: error }, "this agent's state could not be compared or repaired");
        }
      })
      .finally(() => {
        this.#busy = null;
      });
  }

  /** A member's question: what the state's hash here was at the newest of its points that is known here. */
  serve(body: Wire): Wire {
    const { points } = admit(check.stateQuestion, body, METHOD.stateHash);
    const { machine } = this.#deps;
    if (machine.halted !== null) return toWire({ point: null });
    for (const { index, hash } of points.toSorted((a, b) => b.index - a.index)) {
      const own = machine.hashAt(index);
      if (own === null) continue;
      if (own !== hash) this.#compareAtMs = Math.min(this.#compareAtMs, this.#deps.clock.monotonicMs());
      return toWire({ point: { index, hash: own } });
    }
    return toWire({ point: null });
  }

  async stop(reason: Error): Promise<void> {
    this.#stopped.abort(reason);
    await this.#busy;
  }

  #review(): void {
    const { machine } = this.#deps;
    if (machine.halted !== null) return;
    const all = machine.state.fingerprint.marks.size;
    const { next, differs } = reviewMarks(machine.state, this.#reviewed, Math.ceil(all / REVIEW_PARTS));
    this.#reviewed = next;
    if (differs === null) return;
    this.#quarantine(`the record ${differs} is not what was written`);
  }

  #quarantine(why: string): void {
    const { machine, clock } = this.#deps;
    machine.quarantine(`the registry on this agent is damaged (${why}); it is being fetched from the others`);
    this.#compareAtMs = clock.monotonicMs();
  }

  async #compare(): Promise<void> {
    const { machine, transport, random, leader } = this.#deps;
    if (machine.quarantined) return this.#repair([leader(), ...this.#jury()]);
    if (machine.halted !== null) return;
    const peers = transport.connected();
    const peer = peers[Math.floor(random() * peers.length)];
    if (peer === undefined) return;
    const theirs = await this.#ask(peer, machine.points(POINTS_MAX));
    if (theirs === null || this.#agrees(theirs)) return;
    await this.#settle(theirs.index);
  }

  /** Two differ: the majority is right; where there is none, the leader is. */
  async #settle(index: number): Promise<void> {
    const { machine, transport, leader, log } = this.#deps;
    const own = machine.hashAt(index);
    if (own === null) throw new Error(`states differ, but ${index} is too long ago`);
    const jury = this.#jury();
    const heard = await Promise.all(jury.map((peer) => this.#ask(peer, [{ index, hash: own }])));
    const votes = new Map<string, MemberId[]>([[own, [transport.self]]]);
    for (const [i, point] of heard.entries()) {
      if (point !== null) votes.set(point.hash, [...(votes.get(point.hash) ?? []), jury[i] ?? ""]);
    }
    const most = Math.max(...[...votes.values()].map((peers) => peers.length));
    const right = [...votes.entries()].filter(([, peers]) => peers.length === most);
    const chief = leader();
    const verdict =
      right.length === 1 ? right[0] : right.find(([, peers]) => chief !== null && peers.includes(chief));
    if (verdict === undefined) throw new Error(`states differ at ${index}, and nobody can say who is right`);
    const [hash, holders] = verdict;
    if (hash === own) {
      const others = jury.filter((peer) => !holders.includes(peer));
      log.warn(
        { index, peers: others },
        "another agent's state differs from the others' and from this one's",
      );
      return;
    }
    this.#quarantine(`at ${index} it differs from ${holders.length} others'`);
    await this.#repair(holders);
  }

  async #repair(holders: readonly (MemberId | null)[]): Promise<void> {
    const { replacement, transport } = this.#deps;
    const connected = new Set(transport.connected());
    const peer = holders.find((one) => one !== null && connected.has(one)) ?? null;
    if (peer === null) throw new Error("nobody is there to fetch the registry from");
    await replacement.from(peer, this.#stopped.signal);
  }

  /** Voters first: they have what is newest. */
  #jury(): MemberId[] {
    const connected = new Set(this.#deps.transport.connected());
    const voters = this.#deps.voters().filter((peer) => connected.has(peer));
    const others = [...connected].filter((peer) => !voters.includes(peer));
    return [...voters, ...others].slice(0, JURY_MAX);
  }

  #agrees({ index, hash }: StatePoint): boolean {
    const own = this.#deps.machine.hashAt(index);
    return own === null || own === hash;
  }

  async #ask(peer: MemberId, points: readonly StatePoint[]): Promise<StatePoint | null> {
    const options = { timeoutMs: ASK_MS, signal: this.#stopped.signal };
    try {
      const body = await this.#deps.transport.request(
        peer,
        "control",
        METHOD.stateHash,
        toWire({ points }),
        options,
      );
      return admit(check.stateAnswer, body, METHOD.stateHash).point;
    } catch (error) {
      this.#deps.log.debug({ peer, err: error }, "a member did not say what its state is");
      return null;
    }
  }
}
