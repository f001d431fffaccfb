import type { AgentProcess } from "#test/support/agents.ts";

import { ask, pause } from "./load.ts";

const LOOK_MS = 100;

/** Watches, through all agents, who leads in which term. */
export class LeaderWatch implements AsyncDisposable {
  readonly #leaders = new Map<number, string>();
  readonly #stop = new AbortController();
  readonly #work: Promise<unknown>;

  constructor(agents: readonly AgentProcess[]) {
    this.#work = Promise.all(agents.map((agent) => this.#look(agent)));
  }

  /** How often the leadership was won since the watch began, the first not counted. */
  get changes(): number {
    return Math.max(0, this.#leaders.size - 1);
  }

  /** Who led, in the order of the terms. */
  get story(): string {
    return [...this.#leaders]
      .toSorted(([a], [b]) => a - b)
      .map(([term, leader]) => `${leader} in ${term}`)
      .join(", ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#work;
  }

  async #look(agent: AgentProcess): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const answer = await ask(agent, "/muster/v1/status");
      const registry = answer === "away" || answer instanceof Error ? null : answer.json?.registry;
      if (typeof registry?.leader === "string") this.#leaders.set(registry.term as number, registry.leader);
      await pause(LOOK_MS);
    }
  }
}
