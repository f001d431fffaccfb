import { CHANGES_REGISTRY, READS_REGISTRY, type Gate } from "#agent/api/gate.ts";

interface RouteConfig {
  readonly dialect: "orchestrator";
  readonly gate: Gate;
}

export const READ: RouteConfig = { dialect: "orchestrator", gate: READS_REGISTRY };
export const WRITE: RouteConfig = { dialect: "orchestrator", gate: CHANGES_REGISTRY };
