import type { FastifyContextConfig } from "fastify";

/**
 * What a route declares about who may call it and when, as data; one hook enforces it and no handler checks readiness.
 * A route without a gate is a defect and stops the server from starting.
 */
export interface Gate {
  /**
   * `any`: served always. `member`: only once this agent is in a cluster, else 503.
   */
  readonly before: "any" | "member";
  /**
   * `open`: no credentials, ever. `once_member`: no credentials before this agent is in a cluster (a header that is sent all the
   * same is ignored), valid ones afterwards. `read`: any user. `write`: a user with the role admin.
   */
  readonly auth: "open" | "once_member" | "read" | "write";
  /** `quorum`: a write; refused at once with 503 when this agent knows that it cannot succeed. */
  readonly needs: "quorum" | "nothing";
}

declare module "fastify" {
  interface FastifyContextConfig {
    gate?: Gate;
    /** Name of the dialect, for error bodies: set by the plugin that registers the route. */
    dialect?: "redis" | "orchestrator" | "ganeti" | "cinder" | "senlin" | "native";
  }
}

/** The gate a route declared, if any. */
export function gateOf(config: FastifyContextConfig): Gate | undefined {
  return config.gate;
}
