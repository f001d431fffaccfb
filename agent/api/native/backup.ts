import { createHash } from "node:crypto";

import type { FastifyPluginAsync } from "fastify";

import type { Queries } from "#agent/api/ports.ts";
import type { Clock } from "#agent/ports/clock.ts";
import { backupName } from "#shared/contract/backup.ts";

import { TAKE_BACKUP } from "./gates.ts";

interface Deps {
  readonly queries: Queries;
  readonly clock: Clock;
  /** This agent's copy of the registry, as of now, as a backup. Throws not_in_cluster. */
  readonly packBackup: () => Buffer;
}

/**
 * GET backup: this agent's own copy as a file that a recovery can start from. It holds the users' password verifiers. The digest is that
 * of the file as it is sent (RFC 9530, section 3), beside the one inside it, which stays with it.
 */
export const backupRoutes: FastifyPluginAsync<Deps> = async (app, { queries, clock, packBackup }) => {
  app.get("/backup", { config: TAKE_BACKUP }, async (_request, reply) => {
    const bytes = packBackup();
    const { cluster, index } = queries.registry;
    const name = backupName({ cluster_name: cluster?.name ?? "", taken_at_ms: clock.now(), index });
    const digest = createHash("sha256").update(bytes).digest("base64");
    return reply
      .type("application/octet-stream")
      .headers({
        "content-disposition": `attachment; filename="${name}"`,
        "repr-digest": `sha-256=:${digest}:`,
        "cache-control": "no-store",
      })
      .send(bytes);
  });
};
