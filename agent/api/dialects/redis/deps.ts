import type { ApiDeps } from "#agent/api/ports.ts";

/** What the routes of this dialect work with. */
export type RedisDeps = Pick<ApiDeps, "commands" | "queries" | "clock">;
