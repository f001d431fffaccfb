import type { AgentProcess } from "#test/support/agents.ts";
import type { Answer } from "#test/support/http.ts";

/** A zone's name that is taken though nobody but its one writer ever uses it: the write took effect twice. */
const ZONE_EXISTS = 101;
/** A cluster holds some more zones than this. */
const WRITES_MAX = 4000;
/** From half of that on, pauses are so many times as long: a slow machine takes long for a scenario. */
const THINNED = 10;
/** Longest a client waits for an answer; longer than any pause that a scenario makes. Milliseconds. */
const CLIENT_MS_MAX = 90_000;
/** How long a client leaves an agent alone that does not run. Milliseconds. */
const AWAY_MS = 100;
/** How long the load waits for what must come. Milliseconds. */
const AWAIT_MS = 60_000;

export interface LoadOptions {
  /** Clients per agent that write one thing after the other. */
  readonly writers?: number;
  /** Pause of a client between two writes. Milliseconds. */
  readonly pauseMs?: number;
}

interface Acknowledged {
  /** The agent that acknowledged it. */
  readonly by: string;
  readonly id: number;
  readonly name: string;
  readonly atMs: number;
}

/** A write that was not acknowledged, and how long its client waited to hear so. */
interface Vain {
  readonly by: string;
  readonly name: string;
  /** What the client was told, or how its connection broke. */
  readonly told: string;
  readonly tookMs: number;
}

/**
 * Clients of every agent, each writing zones of its own and remembering what became of each; and one reader per agent that
 * asks linearizably for what was acknowledged last by anybody, and looks at the index of plain reads.
 */
export class Load {
  readonly agents: readonly AgentProcess[];
  readonly acknowledged: Acknowledged[] = [];
  readonly refused: Vain[] = [];
  readonly unknown: Vain[] = [];
  /** Answers that no write or read may get, in words. */
  readonly surprises: string[] = [];
  /** Writes that met their own effect. */
  readonly doubled: string[] = [];
  /** Reads of an agent's own copy, which it answers as long as it runs. */
  readonly plainReads = new Reads();
  /** Reads that need a majority. */
  readonly linearizableReads = new Reads();
  readonly #options: Required<LoadOptions>;
  readonly #stop = new AbortController();
  #clients: Promise<unknown> = Promise.resolve();
  #startedMs = 0;
  #stoppedMs = 0;

  constructor(agents: readonly AgentProcess[], options: LoadOptions) {
    this.agents = agents;
    this.#options = { writers: 2, pauseMs: 60, ...options };
  }

  start(): void {
    this.#startedMs = performance.now();
    const { writers } = this.#options;
    this.#clients = Promise.all(
      this.agents.flatMap((agent) => [
        ...Array.from({ length: writers }, (_, number) => this.#write(agent, number)),
        this.#read(agent),
      ]),
    );
  }

  async stop(): Promise<void> {
    if (!this.#stop.signal.aborted) {
      this.#stop.abort();
      this.#stoppedMs = performance.now();
    }
    await this.#clients;
  }

  /** Waits until that many more writes are acknowledged, by anybody or by one of these agents. */
  async untilMore(count: number, by: readonly AgentProcess[] = this.agents): Promise<void> {
    const names = by.map(({ name }) => name);
    const known = this.acknowledged.length;
    const more = (): number => this.acknowledged.slice(known).filter((one) => names.includes(one.by)).length;
    const deadline = performance.now() + AWAIT_MS;
    while (more() < count) {
      if (performance.now() > deadline) {
        throw new Error(`only ${more()} of ${count} writes were acknowledged in time by ${names.join(", ")}`);
      }
      await pause(20);
    }
  }

  /** Waits until each of these agents refuses a write: not done, and said so. */
  async untilRefused(by: readonly AgentProcess[]): Promise<void> {
    for (const agent of by) {
      await agent.until("refuses a write", async () => {
        const known = this.refused.length;
        await this.writeOnce(agent, `refuse ${agent.name} ${performance.now()}`);
        return this.refused.slice(known).some(({ by: refuser }) => refuser === agent.name);
      });
    }
  }

  /** The write that was acknowledged last, by anybody or by one of these agents; there must be one. */
  newest(by: readonly AgentProcess[] = this.agents): Acknowledged {
    const names = by.map(({ name }) => name);
    const newest = this.acknowledged.findLast((one) => names.includes(one.by));
    if (newest === undefined) throw new Error("nothing was written yet");
    return newest;
  }

  /** Longest time without an acknowledged write. Milliseconds. */
  get unavailableMs(): number {
    const times = [this.#startedMs, ...this.acknowledged.map(({ atMs }) => atMs), this.#stoppedMs];
    return Math.max(...times.map((time, i) => (i === 0 ? 0 : time - (times[i - 1] ?? time))));
  }

  async #write(agent: AgentProcess, number: number): Promise<void> {
    for (let i = 0; !this.#stop.signal.aborted; i += 1) {
      if (this.acknowledged.length > WRITES_MAX) {
        this.surprises.push("a cluster holds no more zones; give the load longer pauses");
        return;
      }
      await this.writeOnce(agent, `${agent.name} ${number} ${i}`);
      const thinned = this.acknowledged.length > WRITES_MAX / 2 ? THINNED : 1;
      await pause(this.#options.pauseMs * thinned);
    }
  }

  /** One write under a name that nobody else uses, remembered with its outcome. */
  async writeOnce(agent: AgentProcess, name: string): Promise<void> {
    const startedMs = performance.now();
    const answer = await ask(agent, "/api/v1/zone", { name });
    const by = agent.name;
    const vain = (told: string): Vain => ({ by, name, told, tookMs: performance.now() - startedMs });
    if (answer === "away") await pause(AWAY_MS);
    else if (answer instanceof Error) this.unknown.push(vain(answer.message));
    else if (answer.status === 504) this.unknown.push(vain(answer.text));
    else if (answer.status === 503) this.refused.push(vain(answer.text));
    else if (answer.status === 200) {
      this.acknowledged.push({ by, id: answer.json.data.id as number, name, atMs: performance.now() });
    } else if (answer.json?.error?.code === ZONE_EXISTS) this.doubled.push(name);
    else this.surprises.push(`${by} answered a write with ${answer.status} ${answer.text}`);
  }

  async #read(agent: AgentProcess): Promise<void> {
    let life = 0;
    let index = 0;
    while (!this.#stop.signal.aborted) {
      await this.#readNewest(agent);
      const pid = agent.running ? agent.pid : 0;
      const answer = await ask(agent, "/api/v1/zones/weights");
      this.plainReads.count(answer);
      if (answer !== "away" && !(answer instanceof Error) && answer.status === 200) {
        const seen = Number(answer.headers["x-muster-index"]);
        if (pid === life && seen < index) {
          this.surprises.push(`${agent.name} went back from ${index} to ${seen}`);
        }
        index = pid === life ? Math.max(index, seen) : seen;
        life = pid;
      }
      await pause(answer === "away" ? AWAY_MS : this.#options.pauseMs);
    }
  }

  /** A linearizable read shows what was acknowledged before it began, whoever acknowledged it. */
  async #readNewest(agent: AgentProcess): Promise<void> {
    if (this.acknowledged.length === 0) return;
    const newest = this.newest();
    this.judgeRead(agent, newest, await ask(agent, `/api/v1/zone/${newest.id}?consistency=linearizable`));
  }

  judgeRead(agent: AgentProcess, expected: Acknowledged, answer: Told): void {
    this.linearizableReads.count(answer);
    if (answer === "away" || answer instanceof Error || answer.status === 503 || answer.status === 504)
      return;
    if (answer.status !== 200 || answer.json.data[0]?.name !== expected.name) {
      this.surprises.push(
        `${agent.name} read stale: no ${expected.name} but ${answer.status} ${answer.text}`,
      );
    }
  }
}

/** How reads ended. */
class Reads {
  answered = 0;
  /** What those were told that were answered with nothing. */
  readonly refused: string[] = [];
  /** How connections broke before an answer came. */
  readonly broken: string[] = [];

  count(answer: Told): void {
    if (answer === "away") return;
    if (answer instanceof Error) this.broken.push(answer.message);
    else if (answer.status !== 200) this.refused.push(`${answer.status} ${answer.text}`);
    else this.answered += 1;
  }
}

/** What a client gets. `away`: nobody listens, so nothing was sent. An error: sent perhaps, and no answer came. */
type Told = Answer | "away" | Error;

/** Asks on a connection of its own: one that is kept may be closed by the agent at the moment of its next use. */
export async function ask(agent: AgentProcess, path: string, body?: unknown): Promise<Told> {
  const headers = { connection: "close" };
  try {
    const write = body === undefined ? {} : { method: "POST", body };
    return await agent.call(path, { ...write, headers, timeoutMs: CLIENT_MS_MAX });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "ECONNREFUSED" || code === "ENOENT" ? "away" : (error as Error);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
