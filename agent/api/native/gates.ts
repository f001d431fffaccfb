import type { FastifyContextConfig } from "fastify";

import { CHANGES_REGISTRY, READS_REGISTRY } from "#agent/api/gate.ts";

/** Answered to anybody, always: probes and joiners have no credentials. */
export const OPEN: FastifyContextConfig = {
  dialect: "native",
  gate: { before: "any", auth: "open", needs: "nothing" },
};

/** Asked by load balancers and watchdogs every few seconds. */
export const PROBE: FastifyContextConfig = { ...OPEN, routine: "probe" };

/** Any user; before there is a cluster, callers on this host. */
export const READ: FastifyContextConfig = {
  dialect: "native",
  gate: { before: "any", auth: "read", needs: "nothing" },
};

export const READ_CLUSTER: FastifyContextConfig = { dialect: "native", gate: READS_REGISTRY };
export const WRITE: FastifyContextConfig = { dialect: "native", gate: CHANGES_REGISTRY };
/** Administrators only, for it holds password verifiers; with a majority or without. */
export const TAKE_BACKUP: FastifyContextConfig = {
  dialect: "native",
  gate: { before: "member", auth: "write", needs: "nothing" },
};

// Who leads, who lives and what hosts have is not in the registry.
export const READ_MEMBERS: FastifyContextConfig = {
  ...READ_CLUSTER,
  shows: { topics: ["members"], partly: true },
};
export const READ_HOSTS: FastifyContextConfig = { ...READ, shows: { topics: ["members"], partly: true } };
export const READ_SETTINGS: FastifyContextConfig = {
  ...READ_CLUSTER,
  shows: { topics: ["cluster"] },
};
export const READ_STATUS: FastifyContextConfig = {
  ...READ,
  shows: { topics: ["cluster", "members"], partly: true },
};
