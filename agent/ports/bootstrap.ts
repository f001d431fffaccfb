import type { BootstrapAction, BootstrapState } from "#shared/bootstrap/machine.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { Registry } from "#agent/ports/registry.ts";
import type { MemberId } from "#shared/lib/ids.ts";

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

/** The ways out of a cluster. */
export interface Departure {
  /**
   * Takes this host out of its cluster: leadership and vote are handed on first, registered nodes stay. Resolves when the
   * bootstrap is `idle`. Rejects with change_refused (the last member; those who would vote then do not answer) and as
   * Registry.submit does; then it is a member as before, but may have no vote for half a minute.
   */
  leave(options: Parameters<Registry["submit"]>[1]): Promise<void>;
  /**
   * Takes a member out for good, its vote first. One that is alive only when forced; this host itself leaves. Rejects like
   * leave.
   */
  remove(
    peer: MemberId,
    options: Parameters<Registry["submit"]>[1] & { readonly force: boolean },
  ): Promise<void>;
}
