import type { Gate } from "#agent/api/gate.ts";

interface RouteConfig {
  readonly dialect: "orchestrator";
  readonly gate: Gate;
}

/** A route that reads: any user, answered from this agent's own copy, quorum or not. */
export const READ: RouteConfig = {
  dialect: "orchestrator",
  gate: { before: "member", auth: "read", needs: "nothing" },
};

/** A route that writes: through the log. */
export const WRITE: RouteConfig = {
  dialect: "orchestrator",
  gate: { before: "member", auth: "write", needs: "quorum" },
};
