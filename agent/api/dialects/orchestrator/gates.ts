import type { FastifyContextConfig } from "fastify";

/** A route that reads: any user, answered from this agent's own copy, quorum or not. */
export const READ: FastifyContextConfig = {
  dialect: "orchestrator",
  gate: { before: "member", auth: "read", needs: "nothing" },
};

/** A route that writes: through the log. */
export const WRITE: FastifyContextConfig = {
  dialect: "orchestrator",
  gate: { before: "member", auth: "write", needs: "quorum" },
};
