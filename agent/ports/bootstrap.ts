import type { BootstrapAction, BootstrapState } from "#shared/bootstrap/machine.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";

/** This host's bootstrap, as the API sees it. */
export interface Bootstrap {
  readonly state: BootstrapState;
  /** This host's uid in the cluster; null before it has one. */
  readonly uid: number | null;
  /**
   * Accepts an attempt and returns once `initiated` is on disk; the action runs on its own. Throws AppError
   * bootstrap_in_progress or already_in_cluster, config_error when the request contradicts itself or the host.
   */
  start(action: BootstrapAction, request: BootstrapRequest): Promise<void>;
  onChange(listener: (state: BootstrapState) => void): Disposable;
}
