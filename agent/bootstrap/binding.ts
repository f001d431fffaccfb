import type { JoinChallenge, JoinHello } from "./join-messages.ts";
import type { ScramBinding } from "#agent/ports/credentials.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { canonicalJson } from "#shared/lib/order.ts";

/**
 * What both sides of a join sign beside the exchange itself: who they are, by the proven peer ids of the channel, and every word
 * of hello and challenge. A proof that somebody in the middle passes on names him, and verifies nowhere.
 */
export function joinBinding(
  joiner: MemberId,
  sponsor: MemberId,
  hello: JoinHello,
  challenge: JoinChallenge,
): ScramBinding {
  return [
    "muster join",
    joiner,
    sponsor,
    challenge.cluster_id,
    canonicalJson(hello),
    canonicalJson(challenge),
  ];
}
