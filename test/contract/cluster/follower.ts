import type { IncomingMessage } from "node:http";

import type { Served } from "./served.ts";

interface SentEvent {
  readonly event: "start" | "changes" | "reset";
  readonly id: string;
  readonly data: {
    readonly index: number;
    readonly changes?: readonly { readonly topic: string; readonly op: string; readonly id: string }[];
  };
}

/** What a follower has been told: `reset` wherever it had to read anew. */
export type Told = { readonly event: SentEvent["event"]; readonly index: number };

/**
 * A client as the documentation wants it: it keeps a copy of zones, weights and nodes, which it changes by what the event stream tells
 * and by reading what is told to have changed. It goes from agent to agent with the last id that it has.
 */
export class Follower {
  readonly zones = new Map<string, unknown>();
  readonly nodes = new Map<string, unknown>();
  weights: unknown = null;
  readonly told: Told[] = [];
  #lastId: string | null = null;
  #at: Served | null;
  #response: IncomingMessage | null = null;

  constructor(at: Served) {
    this.#at = at;
  }

  /** Index of the newest event. */
  get index(): number {
    return this.told.at(-1)?.index ?? 0;
  }

  /** Goes on at this agent. */
  moveTo(at: Served): void {
    this.#at = at;
    this.#response?.destroy();
  }

  /** Is away until it goes on somewhere. */
  pause(): void {
    this.#at = null;
    this.#response?.destroy();
  }

  /** Reads, and comes back whenever it is cut off, until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#response?.destroy());
    while (!signal.aborted) {
      const at = this.#at;
      await new Promise((resolve) => setImmediate(resolve));
      if (at === null) continue;
      try {
        this.#response = await at.stream(this.#lastId);
        for await (const event of events(this.#response)) {
          if (signal.aborted || at !== this.#at) break;
          await this.#take(at, event);
        }
      } catch {
        // Refused or cut off: it comes back.
      }
    }
  }

  async #take(at: Served, { event, id, data }: SentEvent): Promise<void> {
    const { index } = data;
    const first = this.#lastId === null;
    if (event === "reset" || first) await this.#readAll(at, index);
    for (const change of data.changes ?? []) await this.#read(at, change, index);
    // Only what has been taken in counts as had: whoever is cut off in between is told again.
    this.#lastId = id;
    this.told.push({ event: first ? "reset" : event, index });
  }

  async #readAll(at: Served, index: number): Promise<void> {
    const [zones, nodes, weights] = [
      await this.#get(at, "/api/v1/zone", index),
      await this.#get(at, "/api/v1/registry/node", index),
      await this.#get(at, "/api/v1/zones/weights", index),
    ] as [{ id: number }[], Record<string, unknown>, unknown];
    this.zones.clear();
    for (const zone of zones) this.zones.set(String(zone.id), zone);
    this.nodes.clear();
    for (const [uuid, node] of Object.entries(nodes)) this.nodes.set(uuid, node);
    this.weights = weights;
  }

  async #read(
    at: Served,
    { topic, id }: { readonly topic: string; readonly id: string },
    index: number,
  ): Promise<void> {
    if (topic === "zones") {
      const list = (await this.#get(at, `/api/v1/zone/${id}`, index)) as [unknown] | null;
      if (list === null) this.zones.delete(id);
      else this.zones.set(id, list[0]);
    }
    if (topic === "nodes") {
      const map = (await this.#get(at, `/api/v1/registry/node/${id}`, index)) as Record<
        string,
        unknown
      > | null;
      if (map === null) this.nodes.delete(id);
      else this.nodes.set(id, map[id]);
    }
    if (topic === "weights") this.weights = await this.#get(at, "/api/v1/zones/weights", index);
  }

  /** Null for 404; throws when the agent has no answer. */
  async #get(at: Served, path: string, index: number): Promise<unknown> {
    const { statusCode, body } = await at.call("GET", `${path}?min_index=${index}`);
    if (statusCode === 404) return null;
    if (statusCode !== 200) throw new Error(`${path}: ${statusCode}`);
    return (JSON.parse(body) as { readonly data: unknown }).data;
  }
}

/** Server-Sent Events off a response; ends when it ends. */
async function* events(response: IncomingMessage): AsyncGenerator<SentEvent> {
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name: string): string =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
      if (field("event") === "") continue;
      const data = JSON.parse(field("data")) as SentEvent["data"];
      yield { event: field("event") as SentEvent["event"], id: field("id"), data };
    }
  }
}
