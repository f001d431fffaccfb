import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { BackupHead } from "#shared/contract/backup.ts";
import type { EpochMs } from "#shared/lib/time.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** A backup on this host's disk. */
export interface BackupFile {
  readonly path: string;
  readonly head: BackupHead;
}

/** How the backups of this agent went. */
export interface BackupHealth {
  /** When the newest backup known to be good was taken; null when there is none. */
  readonly lastSuccessAt: EpochMs | null;
  /** Backups that could not be written since the agent started. */
  readonly failures: number;
}

/** Copies of the registry as files, for the day on which no store is left. */
export interface Backups {
  /**
   * Writes the state to a file of its own (mode 0600, synced), reads it back and compares; then removes the oldest beyond
   * BACKUPS_KEPT. Rejects with AppError path_error.
   */
  save(state: Readonly<RegistryState>, identity: ClusterIdentity): Promise<BackupFile>;
  /**
   * A backup, checked against its own checksum. A relative path is looked for in the persistent folder, its
   * `backups`, and then the ephemeral folder.
   * Rejects with AppError path_error (cannot be read) or config_error (`recovery_filename`: is no backup, or damaged).
   */
  read(
    path: string,
  ): Promise<{ readonly head: BackupHead; readonly path: string; readonly state: RegistryState }>;
}
