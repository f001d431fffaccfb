import { randomUUID } from "node:crypto";

import type { Log } from "#agent/ports/log.ts";
import { toFailure } from "#shared/bootstrap/failure.ts";
import type { BootstrapFailure } from "#shared/bootstrap/machine.ts";
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
