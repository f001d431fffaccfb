import { CHANGES_REGISTRY, READS_REGISTRY, type Gate, type Shown } from "#agent/api/gate.ts";

interface RouteConfig {
  readonly dialect: "orchestrator";
  readonly gate: Gate;
  readonly shows?: Shown;
}

export const READ: RouteConfig = { dialect: "orchestrator", gate: READS_REGISTRY };
export const WRITE: RouteConfig = { dialect: "orchestrator", gate: CHANGES_REGISTRY };

const shows = (shown: Shown): RouteConfig => ({ ...READ, shows: shown });

export const READ_ZONES = shows({ topics: ["zones"] });
export const READ_ZONE = shows({ record: { topic: "zones", param: "zone" } });
export const READ_WEIGHTS = shows({ topics: ["weights"] });
export const READ_NODES = shows({ topics: ["nodes"] });
export const READ_NODE = shows({ record: { topic: "nodes", param: "node" } });
/** Every member whose node is not registered. */
export const READ_DETECTED = shows({ topics: ["members", "nodes"] });
