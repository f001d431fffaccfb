import { Type, type Static } from "typebox";

import { joinBinding } from "./binding.ts";
import {
  JOIN_PROTOCOL_VERSION,
  JoinChallenge,
  JoinRefusal,
  JoinVerdict,
  receive,
  type JoinHello,
} from "./join-messages.ts";
import { AttemptFailed } from "./refusal.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Credentials, Scram } from "#agent/ports/credentials.ts";
import type { StrangerChannel } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { NewMember } from "#shared/registry/command.ts";

/** Longest the sponsor may take for one message; its answer to the proof includes a commit. Milliseconds. */
const ANSWER_MS_MAX = 15_000;

const ChallengeOrRefusal = Type.Union([JoinRefusal, JoinChallenge]);
const VerdictOrRefusal = Type.Union([JoinRefusal, JoinVerdict]);

/** What the joiner brings. */
export interface Application {
  readonly member: NewMember;
  readonly credentials: Credentials;
  readonly wantUid: number | undefined;
}

/** What the cluster granted, after it proved that it knows the password's verifier. */
export interface Granted {
  readonly clusterId: string;
  readonly incarnation: number;
  readonly verdict: JoinVerdict;
}

/**
 * The joiner's side of the join conversation. Rejects with AttemptFailed when refused, with AppError peer_unreachable,
 * peer_timeout or peer_refused when the conversation breaks, with access_denied when the sponsor does not prove itself.
 */
export async function apply(
  deps: { readonly scram: Scram; readonly clock: Clock },
  channel: StrangerChannel,
  { member, credentials, wantUid }: Application,
  signal: AbortSignal,
): Promise<Granted> {
  const waiting = { timeoutMs: ANSWER_MS_MAX, signal };
  const client = deps.scram.client(credentials);
  const hello: JoinHello = {
    v: JOIN_PROTOCOL_VERSION,
    username: client.first.username,
    client_nonce: client.first.nonce,
    clock_ms: deps.clock.now(),
    member,
    ...(wantUid === undefined ? {} : { want_uid: wantUid }),
  };
  await channel.send(hello);

  const challenge = unlessRefused(await receive(channel, ChallengeOrRefusal, waiting));
  const clock_ms = deps.clock.now();
  const binding = joinBinding(member.peer, channel.remote, hello, challenge);
  const { proof, confirmedBy } = await client.prove(challenge, binding);
  signal.throwIfAborted();
  await channel.send({ proof, clock_ms });

  const verdict = unlessRefused(await receive(channel, VerdictOrRefusal, waiting));
  if (!confirmedBy(verdict.server_signature)) {
    const text = `${channel.remote} did not prove that it knows this user; it is not of the cluster, or the password is wrong`;
    throw new AppError("access_denied", {}, text);
  }
  return { clusterId: challenge.cluster_id, incarnation: challenge.incarnation, verdict };
}

function unlessRefused<T extends object>(answer: T | Static<typeof JoinRefusal>): T {
  if ("refused" in answer) throw new AttemptFailed(answer.refused);
  return answer;
}
