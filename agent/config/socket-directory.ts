import { dirname, relative } from "node:path";

import type { Config } from "./decide.ts";

/**
 * The folder in which tools on this host find the agent's unix socket: the same on all hosts of a cluster, so that what works on one
 * works on the others (seed 003, `socket_directory_mismatch`). Undefined without a socket, and when the folder is this agent's alone
 * (it lies in its data folder, or holds it), as where several agents run side by side on one machine.
 */
export function socketDirectory({ api, dataDir }: Pick<Config, "api" | "dataDir">): string | undefined {
  return api.listen
    .flatMap((listen) => (listen.type === "unix" ? [dirname(listen.path)] : []))
    .find((folder) => !isWithin(folder, dataDir) && !isWithin(dataDir, folder));
}

function isWithin(inner: string, outer: string): boolean {
  const way = relative(outer, inner);
  return way !== ".." && !way.startsWith("../");
}
