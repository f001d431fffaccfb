import type { FastifyContextConfig } from "fastify";

import { CHANGES_REGISTRY, READS_REGISTRY, type Gate } from "#agent/api/gate.ts";

const dialect = "redis";

/** What a caller must be to see what is there at all, or to be told that it is not. */
export const READ = { dialect, gate: READS_REGISTRY } as const satisfies FastifyContextConfig;
export const WRITE = { dialect, gate: CHANGES_REGISTRY } as const satisfies FastifyContextConfig;

/** The state of the bootstrap: open to all before there is a cluster, and whatever they send along. */
export const LOOK: Gate = { before: "any", auth: "once_member", needs: "nothing", bare: true };
/** Starting a bootstrap, or rehearsing one. */
export const START: Gate = { before: "any", auth: "once_member", needs: "nothing", callers: "bootstrap" };

// Who lives, who leads and what hosts have is not in the registry.
export const READ_NODES: FastifyContextConfig = { ...READ, shows: { topics: ["members"], partly: true } };
/** Tells ports of this agent, too. */
export const READ_CLUSTER: FastifyContextConfig = { ...READ, shows: { topics: ["cluster"], partly: true } };
export const READ_SETTINGS: FastifyContextConfig = { ...READ, shows: { topics: ["cluster"] } };
export const READ_USERS: FastifyContextConfig = { ...READ, shows: { topics: ["users"] } };
