import type { Clock } from "#agent/ports/clock.ts";
import type { Message } from "#shared/consensus/messages.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Longest that news of a commit waits for company. Milliseconds. */
const COMPANY_MS = 2;

type CommitMessage = Extract<Message, { type: "commit" }>;

interface Held {
  readonly message: CommitMessage;
  readonly sinceMs: number;
}

interface Deps {
  readonly clock: Clock;
  readonly send: (message: Message) => void;
}

/**
 * News of commits on the leader's way to its followers. The next append says the same, and under load it is not far: what
 * nobody waits for is held back for a moment and mostly never sent, which saves a packet to every follower for each write.
 * A follower that waits with a client's write is told at once; one with a read barrier hears it with the barrier's heartbeat.
 */
export class CommitNews {
  readonly #deps: Deps;
  readonly #held = new Map<MemberId, Held>();
  /** Who waits to hear that this index is committed. */
  readonly #awaited = new Map<MemberId, number>();
  #timed = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The member has somebody who waits until it knows that this index is committed. */
  awaited(member: MemberId, index: number): void {
    this.#awaited.set(member, Math.max(index, this.#awaited.get(member) ?? 0));
    const held = this.#held.get(member);
    if (held !== undefined && held.message.commit >= index) this.#release(member, held);
  }

  /** Sends the message, or holds it back; what it says itself is not held any longer. */
  send(message: Message): void {
    if (message.type === "commit" && !this.#isAwaited(message)) {
      this.#held.set(message.to, { message, sinceMs: this.#deps.clock.monotonicMs() });
      if (!this.#timed) void this.#releaseLate();
      return;
    }
    if (message.type === "append" || message.type === "heartbeat" || message.type === "commit") {
      this.#told(message.to, message.commit);
    }
    this.#deps.send(message);
  }

  /** Nothing of it leaves any more. */
  drop(): void {
    this.#held.clear();
    this.#awaited.clear();
  }

  #isAwaited({ to, commit }: CommitMessage): boolean {
    const index = this.#awaited.get(to);
    return index !== undefined && index <= commit;
  }

  #told(member: MemberId, commit: number): void {
    const held = this.#held.get(member);
    if (held !== undefined && held.message.commit <= commit) this.#held.delete(member);
    const index = this.#awaited.get(member);
    if (index !== undefined && index <= commit) this.#awaited.delete(member);
  }

  #release(member: MemberId, { message }: Held): void {
    this.#held.delete(member);
    this.#told(member, message.commit);
    this.#deps.send(message);
  }

  /** Runs for as long as something is held. */
  async #releaseLate(): Promise<void> {
    this.#timed = true;
    while (this.#held.size > 0) {
      await this.#deps.clock.sleep(COMPANY_MS);
      const now = this.#deps.clock.monotonicMs();
      for (const [member, held] of this.#held) {
        if (now - held.sinceMs >= COMPANY_MS) this.#release(member, held);
      }
    }
    this.#timed = false;
  }
}
