import type { Contact } from "./contact.ts";
import type { PeerAddresses } from "#agent/ports/transport.ts";

/** Who answers at one address, or an Error whose message says why nobody does. */
export interface Answered {
  readonly address: string;
  readonly found: PeerAddresses | Error;
}

/** Addresses asked at once. */
const AT_ONCE_MAX = 8;

/**
 * Asks all addresses, a few at once in the given order, and tells them as they answer: a dead one costs the others nothing.
 * Stops asking when the caller has enough.
 */
export async function* answering(
  contact: Contact,
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
        asked.set(address, ask(contact, address, apiPort, either));
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
  contact: Contact,
  address: string,
  apiPort: number,
  signal: AbortSignal,
): Promise<Answered> {
  try {
    return { address, found: await contact(address, apiPort, signal) };
  } catch (error) {
    return { address, found: error instanceof Error ? error : new Error(String(error)) };
  }
}
