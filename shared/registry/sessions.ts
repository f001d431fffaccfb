import { SESSION_WINDOW_MAX } from "#shared/lib/limits.ts";
import type { Envelope } from "#shared/registry/command.ts";
import type { Answer, RegistryState, Session } from "#shared/registry/state.ts";

/** What an agent's own counting says about one of its commands: dissertation §6.3. */
export type Turn =
  | { readonly kind: "new"; readonly session: Session }
  | { readonly kind: "repeated"; readonly answer: Answer }
  | { readonly kind: "expired" };

/**
 * Opens or renews the origin's session and says whether this command is to take effect. The caller puts the answer of a
 * new one into `session.results`. Invariant: a pair (session, seq) of one origin takes effect at most once, in whatever order
 * and however often its entries come.
 */
export function takeTurn(state: RegistryState, envelope: Envelope): Turn {
  const known = state.sessions.get(envelope.origin);
  if (known !== undefined && envelope.session < known.session) return { kind: "expired" };
  const session = renew(known, envelope);
  state.sessions.set(envelope.origin, session);
  if (envelope.seq < session.ack) return { kind: "expired" };
  const answer = session.results.get(envelope.seq);
  return answer === undefined ? { kind: "new", session } : { kind: "repeated", answer };
}

function renew(known: Session | undefined, envelope: Envelope): Session {
  const claimed = Math.max(envelope.ack, envelope.seq - SESSION_WINDOW_MAX + 1);
  if (known === undefined || envelope.session > known.session) {
    return { session: envelope.session, ack: claimed, results: new Map() };
  }
  // Entries may come out of order: an older one's lower ack takes nothing back.
  const ack = Math.max(known.ack, claimed);
  if (ack === known.ack) return known;
  forget(known.results, known.ack, ack);
  return { ...known, ack };
}

/** Drops the answers from `from` up to, not including, `to`. A jump costs no more than what is there. */
function forget(results: Map<number, unknown>, from: number, to: number): void {
  if (to - from <= results.size) {
    for (let seq = from; seq < to; seq += 1) results.delete(seq);
    return;
  }
  for (const seq of results.keys()) if (seq < to) results.delete(seq);
}
