import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** How libp2p's noise says that the other side has another key than the one that was dialled. */
const OTHER_KEY = /does not match expected remote identity key/;

/** Why a peer could not be called, in words, as far as libp2p tells. */
export function unreachable(peer: MemberId, error: unknown): AppError<"peer_unreachable"> {
  // Several addresses, all tried: one of another agent tells more than one that nobody has.
  const causes: unknown[] = error instanceof AggregateError ? error.errors : [error];
  const why = causes.map(wordsFor);
  const told = why.find((one) => one === ANOTHER) ?? why.find((one) => one !== null);
  return told === undefined || told === null
    ? new AppError("peer_unreachable", { peer })
    : new AppError("peer_unreachable", { peer }, `${peer} cannot be reached: ${told}`);
}

const ANOTHER = "another agent answers there";

function wordsFor(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  if (OTHER_KEY.test(error.message)) return ANOTHER;
  if ("code" in error && error.code === "ECONNREFUSED") return "the connection was refused";
  return /^(Abort|Timeout)Error$/.test(error.name) ? "no answer in time" : null;
}
