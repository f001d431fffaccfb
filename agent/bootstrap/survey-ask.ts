import {
  COPY_PROTOCOL_VERSION,
  copyBinding,
  CopyChallenge,
  CopyHead,
  CopyPiece,
  CopyReply,
  type CopyHello,
  type CopyQuestion,
} from "./copy-messages.ts";
import { unlessRefused } from "./refusal.ts";
import type { Credentials, Scram } from "#agent/ports/credentials.ts";
import type { StrangerChannel } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

// The asker's side of a conversation about a copy: its parts, in the order in which they come. Each rejects with AttemptFailed when
// refused, with AppError peer_unreachable, peer_timeout or peer_refused when the conversation breaks.

/** Longest the holder may take for one message; it may have to read its whole log for it. Milliseconds. */
const HOLDER_MS_MAX = 15_000;

/** Which cluster is it, and has it a leader? */
export async function ask(channel: StrangerChannel, signal: AbortSignal): Promise<CopyReply> {
  await channel.send({ v: COPY_PROTOCOL_VERSION, ask: "copy" } satisfies CopyQuestion);
  return unlessRefused(channel, CopyReply, waiting(signal));
}

/** Proves the password to the holder and the holder to us. Rejects with access_denied when the holder does not prove itself. */
export async function prove(
  deps: { readonly scram: Scram; readonly self: MemberId },
  channel: StrangerChannel,
  { credentials, reply }: { readonly credentials: Credentials; readonly reply: CopyReply },
  signal: AbortSignal,
): Promise<CopyHead> {
  const client = deps.scram.client(credentials);
  const hello: CopyHello = { username: client.first.username, client_nonce: client.first.nonce };
  await channel.send(hello);
  const challenge = await unlessRefused(channel, CopyChallenge, waiting(signal));
  if (challenge.cluster_id !== reply.cluster_id || challenge.incarnation !== reply.incarnation) {
    throw unsound(channel.remote, "two different clusters in one conversation");
  }
  const binding = copyBinding(deps.self, channel.remote, hello, challenge);
  const { proof, confirmedBy } = await client.prove(challenge, binding);
  signal.throwIfAborted();
  await channel.send({ proof });
  const head = await unlessRefused(channel, CopyHead, waiting(signal));
  if (!confirmedBy(head.server_signature)) {
    const text = `${channel.remote} did not prove that it knows this user; it is not of the cluster, or the password is wrong`;
    throw new AppError("access_denied", {}, text);
  }
  return head;
}

/** The packed copy from this byte on. */
export async function pull(
  channel: StrangerChannel,
  offset: number,
  signal: AbortSignal,
): Promise<CopyPiece> {
  await channel.send({ offset });
  return unlessRefused(channel, CopyPiece, waiting(signal));
}

/** What a holder sent cannot be used. */
export function unsound(peer: MemberId, what: string): AppError<"peer_refused"> {
  return new AppError("peer_refused", { peer, reason: `it sent ${what}` });
}

function waiting(signal: AbortSignal): { readonly timeoutMs: number; readonly signal: AbortSignal } {
  return { timeoutMs: HOLDER_MS_MAX, signal };
}
