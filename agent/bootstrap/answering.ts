import { NoClusterYet, type Contact } from "./contact.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { PeerAddresses } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Who answers at one address, or an Error whose message says why nobody does. */
export interface Answered {
  readonly address: string;
  readonly found: PeerAddresses | Error;
}

/** Why an address of this host's own does not help. */
export const IS_SELF = "that is this host itself";

/** Addresses asked at once. */
const AT_ONCE_MAX = 8;

/**
 * How long an agent without a cluster is asked again. Scripts tell all hosts what to do at once: the first to create, the
 * others to join it, and creating takes a moment. Milliseconds.
 */
const NO_CLUSTER_MS_MAX = 5000;
const ASK_AGAIN_MS = 200;

interface Deps {
  readonly contact: Contact;
  readonly clock: Clock;
  /** This host: it is never waited for. */
  readonly self?: MemberId;
}

/**
 * Asks all addresses, a few at once in the given order, and tells them as they answer: a dead one costs the others nothing.
 * Stops asking when the caller has enough.
 */
export async function* answering(
  deps: Deps,
  addresses: readonly string[],
  apiPort: number,
  signal: AbortSignal,
): AsyncGenerator<Answered, void, undefined> {
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  const waiting = [...addresses];
  const asked = new Map<string, Promise<Answered>>();
  try {
    for (;;) {
      while (asked.size < AT_ONCE_MAX) {
        const address = waiting.shift();
        if (address === undefined) break;
        asked.set(address, ask(deps, address, apiPort, either));
      }
      if (asked.size === 0) return;
      const answer = await Promise.race(asked.values());
      signal.throwIfAborted();
      asked.delete(answer.address);
      yield answer;
    }
  } finally {
    enough.abort();
  }
}

async function ask(
  { contact, clock, self }: Deps,
  address: string,
  apiPort: number,
  signal: AbortSignal,
): Promise<Answered> {
  const until = clock.monotonicMs() + NO_CLUSTER_MS_MAX;
  for (;;) {
    try {
      return { address, found: await contact(address, apiPort, signal) };
    } catch (error) {
      if (error instanceof NoClusterYet && error.peer === self) return { address, found: new Error(IS_SELF) };
      const again = error instanceof NoClusterYet && clock.monotonicMs() < until;
      if (!again) return { address, found: error instanceof Error ? error : new Error(String(error)) };
    }
    await clock.sleep(ASK_AGAIN_MS, signal).catch(() => undefined); // Abandoned: the next call says so.
  }
}
