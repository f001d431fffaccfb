import type { Freshness } from "./freshness.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Leadership } from "./submit.ts";
import { METHOD, admit, check, type PullAnswer } from "./wire.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Transport } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { fnv1a64 } from "#shared/registry/digest.ts";

/** Beyond the time a pull may wait: how long its answer may travel. */
const ANSWER_MS = 2000;
/** How long a peer that failed is left alone. */
const SHUNNED_MS = 5000;
/** Pause when nobody can be asked, or somebody failed. */
const PAUSE_MS = 200;
/** A peer whose own copy is older than this is cut off itself; somebody else may know more. */
const STALE_MS = 3000;

interface Deps {
  readonly loop: ConsensusLoop;
  readonly transport: Pick<Transport, "self" | "request" | "connected" | "onPeer">;
  readonly clock: Clock;
  readonly log: Log;
  readonly freshness: Freshness;
  readonly applied: () => number;
  /** Fetches the peer's newest snapshot and hands it to the core. */
  readonly fetchSnapshot: (from: MemberId) => Promise<void>;
}

/**
 * Follows the log without being part of the voting configuration: pulls committed entries from a voter chosen by hash, from
 * the next one when it fails, and from any other member when no voter can be reached. From the leader only when no other
 * voter is there, so that its work does not grow with the number of hosts.
 */
export class Feed {
  readonly #deps: Deps;
  readonly #waitMs: number;
  readonly #shunnedUntil = new Map<MemberId, number>();
  #leadership: Leadership & { readonly atMs: number } = { leader: null, term: 0, atMs: -Infinity };
  #stop: AbortController | null = null;

  constructor(deps: Deps, options: { readonly pullWaitMs: number }) {
    this.#deps = deps;
    this.#waitMs = options.pullWaitMs;
  }

  get running(): boolean {
    return this.#stop !== null;
  }

  /** Who leads, as the last answers said; nobody once they are too old to be believed. */
  get leadership(): Leadership {
    const { leader, term, atMs } = this.#leadership;
    const believed = this.#deps.clock.monotonicMs() - atMs <= this.#waitMs + STALE_MS;
    return { leader: believed ? leader : null, term };
  }

  start(): void {
    if (this.#stop !== null) return;
    const stop = new AbortController();
    this.#stop = stop;
    void this.#run(stop.signal).catch((error: unknown) => {
      if (!stop.signal.aborted) this.#deps.log.error({ err: error }, "pulling the registry has stopped");
    });
  }

  stop(): void {
    this.#stop?.abort(new Error("pulling is over"));
    this.#stop = null;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      const peer = this.#choose();
      if (peer === null) {
        await this.#somebody(signal);
        continue;
      }
      try {
        await this.#pull(peer, signal);
      } catch (error) {
        if (signal.aborted) return;
        log.debug({ peer, err: error }, "a pull failed");
        this.#shun(peer);
        await clock.sleep(PAUSE_MS, signal);
      }
    }
  }

  /** Resolves when a peer is there to be asked, or after a pause. */
  async #somebody(signal: AbortSignal): Promise<void> {
    const { transport, clock } = this.#deps;
    const came = Promise.withResolvers<void>();
    using _listening = transport.onPeer(({ type }) => {
      if (type === "up") came.resolve();
    });
    await Promise.race([came.promise, clock.sleep(PAUSE_MS, signal)]);
  }

  async #pull(peer: MemberId, signal: AbortSignal): Promise<void> {
    const { loop, transport, clock, freshness } = this.#deps;
    // Above the commit index this log may hold what never became committed; only entries from there on overrule it.
    const from = loop.status.commit + 1;
    const body = await transport.request(
      peer,
      "bulk",
      METHOD.pull,
      { from, waitMs: this.#waitMs },
      { timeoutMs: this.#waitMs + ANSWER_MS, signal },
    );
    const answer = admit(check.pullAnswer, body, METHOD.pull);
    this.#heard(answer);
    if (answer.snapshot) await this.#deps.fetchSnapshot(peer);
    else if (answer.entries.length > 0) await this.#take(answer);
    if (answer.ageMs !== null) {
      freshness.heard(answer.commit, clock.monotonicMs() - answer.ageMs, this.#deps.applied());
    }
    if (answer.ageMs === null || answer.ageMs > STALE_MS) this.#shun(peer);
  }

  /** Resolves when the turn that took the entries has begun, so that the next pull asks for what comes after them. */
  #take({ entries, commit }: PullAnswer): Promise<void> {
    const { loop } = this.#deps;
    return new Promise((resolve, reject) => {
      if (loop.ended) reject(new Error("consensus has stopped on this agent"));
      loop.do((core) => {
        core.feed(entries, commit);
        resolve();
      });
    });
  }

  /** What a peer says is as old as its copy: else two that pull from each other would keep a dead leader alive for ever. */
  #heard({ leader, term, ageMs }: PullAnswer): void {
    const before = this.#leadership;
    if (term < before.term) return;
    if (leader === null && term === before.term) return;
    const saidAtMs = this.#deps.clock.monotonicMs() - (ageMs ?? Infinity);
    const same = leader === before.leader && term === before.term;
    this.#leadership = { leader, term, atMs: same ? Math.max(saidAtMs, before.atMs) : saidAtMs };
  }

  #choose(): MemberId | null {
    const { loop, transport, clock } = this.#deps;
    const { voters } = loop.status.config;
    const { leader } = this.leadership;
    const now = clock.monotonicMs();
    const ranked = [...transport.connected()]
      .map((peer) => ({
        peer,
        shunned: (this.#shunnedUntil.get(peer) ?? 0) > now ? 1 : 0,
        last: peer === leader ? 1 : voters.includes(peer) ? 0 : 2,
        rank: fnv1a64(`${transport.self} ${peer}`),
      }))
      .sort((a, b) => a.shunned - b.shunned || a.last - b.last || (a.rank < b.rank ? -1 : 1));
    return ranked[0]?.peer ?? null;
  }

  #shun(peer: MemberId): void {
    const now = this.#deps.clock.monotonicMs();
    for (const [other, until] of this.#shunnedUntil) if (until <= now) this.#shunnedUntil.delete(other);
    this.#shunnedUntil.set(peer, now + SHUNNED_MS);
  }
}
