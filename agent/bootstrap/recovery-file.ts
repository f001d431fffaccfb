import { isAbsolute, join } from "node:path";

import type { Backups } from "#agent/ports/backup.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { CopyInfo } from "#shared/bootstrap/recovery.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/**
 * The backup that a recovery was given. A relative path is looked for in the folders that the request chooses first: on a fresh host they
 * are where the old storage was mounted. Rejects as Backups.read does.
 */
export async function readRecoveryFile(
  backups: Backups,
  filename: string,
  { paths }: Pick<BootstrapRequest, "paths">,
): Promise<{ readonly info: CopyInfo; readonly state: RegistryState }> {
  const { head, path, state } = await readFirst(backups, filename, paths);
  if (state.cluster === null || state.cluster.id !== head.cluster_id) {
    const rule = `${path} does not hold the cluster that its first line names`;
    throw new AppError("config_error", { field: "recovery_filename", rule });
  }
  const info: CopyInfo = {
    source: "file",
    where: path,
    peer: null,
    clusterId: state.cluster.id,
    clusterName: state.cluster.name,
    incarnation: head.incarnation,
    term: state.term,
    index: state.index,
    at: state.at,
    ageMs: null,
  };
  return { info, state };
}

async function readFirst(
  backups: Backups,
  filename: string,
  { persistent, ephemeral }: BootstrapRequest["paths"],
): ReturnType<Backups["read"]> {
  const chosen = [persistent, ephemeral].filter((folder) => folder !== undefined);
  for (const folder of isAbsolute(filename) ? [] : chosen) {
    try {
      return await backups.read(join(folder, filename));
    } catch (error) {
      if (!isKind(error, "path_error")) throw error;
    }
  }
  return backups.read(filename);
}
