import type { Connection } from "@libp2p/interface";
import { JOIN_CONVERSATION_MS_MAX, JOIN_STRANGERS_MAX } from "#shared/lib/limits.ts";

/** How long a caller may take to say what it wants. Milliseconds. */
const SILENCE_MS_MAX = 5000;

interface Visit {
  readonly stranger: boolean;
  timer: NodeJS.Timeout;
}

/**
 * Inbound connections that are no link of a member: not yet, or never. Each has a deadline, and strangers are few, so that
 * whoever can reach the port cannot fill the agent.
 */
export class Lobby {
  readonly #visits = new Map<Connection, Visit>();
  #strangers = 0;

  /** Whether no further stranger is let in now. */
  get isFull(): boolean {
    return this.#strangers >= JOIN_STRANGERS_MAX;
  }

  /** A caller has come. `stranger`: it is not a member. */
  enter(connection: Connection, stranger: boolean): void {
    if (stranger && this.isFull) {
      connection.abort(new Error("too many strangers"));
      return;
    }
    if (stranger) this.#strangers += 1;
    this.#visits.set(connection, {
      stranger,
      timer: this.#deadline(connection, SILENCE_MS_MAX, "nothing was asked for"),
    });
  }

  /** It opened the join protocol: it has the time of one conversation. */
  converse(connection: Connection): void {
    const visit = this.#visits.get(connection);
    if (visit === undefined) return;
    clearTimeout(visit.timer);
    visit.timer = this.#deadline(connection, JOIN_CONVERSATION_MS_MAX, "the conversation took too long");
  }

  /** It is a member's link now, or gone. */
  leave(connection: Connection): void {
    const visit = this.#visits.get(connection);
    if (visit === undefined) return;
    clearTimeout(visit.timer);
    this.#visits.delete(connection);
    if (visit.stranger) this.#strangers -= 1;
  }

  close(): void {
    for (const connection of this.#visits.keys()) this.leave(connection);
  }

  #deadline(connection: Connection, ms: number, reason: string): NodeJS.Timeout {
    const timer = setTimeout(() => connection.abort(new Error(reason)), ms);
    timer.unref();
    return timer;
  }
}
