import { randomUUID } from "node:crypto";

import { Type, type Static, type TSchema } from "typebox";

import { JoinRefusal, receive } from "./join-messages.ts";
import type { Log } from "#agent/ports/log.ts";
import type { StrangerChannel } from "#agent/ports/transport.ts";
import { toFailure } from "#shared/bootstrap/failure.ts";
import type { BootstrapFailure, BootstrapState } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";

/** An attempt ended with a failure that is already in the words of seed 003: a sponsor's refusal, or being stopped. */
export class AttemptFailed extends Error {
  override readonly name = "AttemptFailed";
  readonly failure: BootstrapFailure;

  constructor(failure: BootstrapFailure) {
    super(failure.details.message);
    this.failure = failure;
  }
}

/** Whatever was thrown, as the failure of an attempt. What nobody expected is logged under an incident id. */
export function failureOf(error: unknown, log: Log): BootstrapFailure {
  if (error instanceof AttemptFailed) return error.failure;
  if (error instanceof AppError) return toFailure(error);
  const incident = randomUUID();
  log.error({ incident, err: error }, "bootstrap failed in a way nobody expected");
  return toFailure(new AppError("internal_error", { incident }));
}

/**
 * The state as it is told and kept: every internal error in it has an incident, which stands in the log beside what is known. An
 * attempt that a restart cut off has none of its own.
 */
export function withIncident(state: BootstrapState, log: Log): BootstrapState {
  if (state.name === "error") return { ...state, failure: named(state.failure, log) };
  if (state.name !== "completed" || state.recovery === undefined) return state;
  return { ...state, recovery: { ...state.recovery, failure: named(state.recovery.failure, log) } };
}

function named(failure: BootstrapFailure, log: Log): BootstrapFailure {
  const { code, details } = failure;
  if (code !== "internal_error" || "incident" in details) return failure;
  const incident = randomUUID();
  log.error({ incident, reason: details.message }, "the bootstrap ended with an internal error");
  return { code, details: { ...details, incident } };
}

/**
 * The other side's next message. Rejects with AttemptFailed when it refuses instead, with AppError peer_unreachable, peer_timeout or
 * peer_refused when the conversation breaks.
 */
export async function unlessRefused<T extends TSchema>(
  channel: StrangerChannel,
  schema: T,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Static<T>> {
  const said: unknown = await receive(channel, Type.Union([JoinRefusal, schema]), options);
  if (isRefusal(said)) throw new AttemptFailed(said.refused);
  return said as Static<T>;
}

function isRefusal(said: unknown): said is JoinRefusal {
  return typeof said === "object" && said !== null && "refused" in said;
}
