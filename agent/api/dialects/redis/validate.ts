import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";

import { hangUpSignal } from "#agent/api/hang-up.ts";
import { sendError, type WireError } from "#agent/api/wire.ts";
import { toFailure } from "#shared/bootstrap/failure.ts";
import { BOOTSTRAP_ACTIONS, type BootstrapFailure } from "#shared/bootstrap/machine.ts";
import type { CopyInfo, RecoveryPlan } from "#shared/bootstrap/recovery.ts";
import type { RecoveryCopy, RecoveryOutline } from "#shared/contract/bootstrap.ts";
import type { AppError } from "#shared/errors/app-error.ts";
import { isoSeconds } from "#shared/lib/time.ts";

import { BOOTSTRAP_PATHS } from "./bootstrap.ts";
import type { RedisDeps } from "./deps.ts";
import { isBootstrapError, toRedisError } from "./errors.ts";
import { START } from "./gates.ts";
import { BootstrapBody } from "./schemas.ts";
import { toError } from "./status.ts";
import { toBootstrapRequest } from "./translate.ts";

/**
 * POST /v1/bootstrap/validate/{action}: every check that the action would make, changing nothing. 200 without a body (with the plan, for
 * a recovery), else 406 with what GET would tell once the action had failed; 409 where it would not be taken at all.
 */
export const validateRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (app, { commands }) => {
  // Here a request that cannot be read is a finding like any other.
  app.setErrorHandler((error, request, reply) => sendError(request, reply, toVerdict, error));
  for (const path of BOOTSTRAP_PATHS) {
    for (const action of BOOTSTRAP_ACTIONS) {
      const config = { dialect: "redis", gate: START } as const;
      const url = `${path}/validate/${action}`;
      app.post(url, { schema: { body: BootstrapBody }, config }, async (request, reply) => {
        const wanted = toBootstrapRequest(action, request.body);
        const found = await commands.validateBootstrap(action, wanted, hangUpSignal(request));
        if (!found.ok) return reply.code(NOT_ACCEPTABLE).send(refusal(found.failure));
        return found.recovery === undefined ? reply.send() : reply.send(toPlan(found.recovery));
      });
    }
  }
};

const NOT_ACCEPTABLE = 406;

/** The body of GET /v1/bootstrap after such a failure; and, as in every error of this API, its code at the top level. */
function refusal(failure: BootstrapFailure) {
  const { error_code, error_details } = toError(failure);
  return {
    error_code,
    description: failure.details.message,
    error_details,
    bootstrap_status: { state: "error", error_code, error_details },
  };
}

/** What is wrong with the request itself comes as an error, and is told like everything else that was found. */
function toVerdict(error: AppError): WireError {
  const { kind } = error;
  const found = kind !== "internal_error" && (kind === "bad_request" || isBootstrapError(kind));
  return found ? { status: NOT_ACCEPTABLE, body: refusal(toFailure(error)) } : toRedisError(error);
}

function toPlan(plan: RecoveryPlan): RecoveryOutline {
  const { candidates, chosen, incarnation, uid, rejoin, unreachable, losses } = plan;
  return {
    candidates: candidates.map(toCopy),
    chosen: toCopy(chosen),
    incarnation,
    uid,
    rejoin: [...rejoin],
    unreachable: [...unreachable],
    losses: [...losses],
  };
}

function toCopy(copy: CopyInfo): RecoveryCopy {
  const { source, where, clusterId, clusterName, incarnation, term, index, at, ageMs } = copy;
  return {
    source,
    where,
    cluster_id: clusterId,
    cluster_name: clusterName,
    incarnation,
    term,
    index,
    time: isoSeconds(at),
    age_ms: ageMs === null ? null : Math.ceil(ageMs),
  };
}
