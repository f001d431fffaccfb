import type { Static, TSchema } from "typebox";

import { joinBinding } from "./binding.ts";
import {
  JOIN_PROTOCOL_VERSION,
  JoinAcceptance,
  JoinRehearsed,
  JoinVerdict,
  type JoinHello,
} from "./join-messages.ts";
import type { Prover } from "./prover.ts";
import { unlessRefused } from "./refusal.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { StrangerChannel } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** Longest the sponsor may take for one message; its verdict includes a commit. Milliseconds. */
const ANSWER_MS_MAX = 15_000;

/** What the joiner asks for. */
export type Application = Omit<JoinHello, "v" | "means" | "client_nonce" | "clock_ms">;

/** The cluster that the sponsor has proven to speak for, as far as these credentials can prove it. */
export interface Proven {
  readonly clusterId: string;
  readonly incarnation: number;
}

/**
 * The joiner's side of the join conversation, up to where both sides have proven themselves. Rejects with AttemptFailed when refused,
 * with AppError peer_unreachable, peer_timeout or peer_refused when the conversation breaks, with access_denied when the
 * sponsor does not prove itself.
 */
export async function authenticate(
  { prover, clock }: { readonly prover: Prover; readonly clock: Clock },
  channel: StrangerChannel,
  application: Application,
  signal: AbortSignal,
): Promise<Proven> {
  const proof = prover.begin();
  const hello: JoinHello = {
    v: JOIN_PROTOCOL_VERSION,
    means: proof.means,
    client_nonce: proof.nonce,
    clock_ms: clock.now(),
    ...application,
  };
  await channel.send(hello);

  const challenge = await answer(channel, proof.challenge, signal);
  const clock_ms = clock.now();
  const binding = joinBinding(hello.member.peer, channel.remote, hello, challenge);
  const { proof: text, confirmedBy } = await proof.prove(challenge, binding);
  signal.throwIfAborted();
  await channel.send({ proof: text, clock_ms });

  const { server_signature } = await answer(channel, JoinAcceptance, signal);
  if (!confirmedBy(server_signature)) {
    const text = `${channel.remote} did not prove that it knows these credentials; it is not of the cluster, or they are wrong`;
    throw new AppError("access_denied", {}, text);
  }
  return { clusterId: challenge.cluster_id, incarnation: challenge.incarnation };
}

/** What the cluster says to the application. Rejects as `authenticate` does. */
export function verdictOf(channel: StrangerChannel, signal: AbortSignal): Promise<JoinVerdict> {
  return answer(channel, JoinVerdict, signal);
}

/** Resolves when the cluster would let this host in. Rejects as `authenticate` does. */
export async function rehearsed(channel: StrangerChannel, signal: AbortSignal): Promise<void> {
  await answer(channel, JoinRehearsed, signal);
}

function answer<T extends TSchema>(
  channel: StrangerChannel,
  schema: T,
  signal: AbortSignal,
): Promise<Static<T>> {
  return unlessRefused(channel, schema, { timeoutMs: ANSWER_MS_MAX, signal });
}
