import type {
  BootstrapAction,
  BootstrapFailure,
  BootstrapState,
  BootstrapStepRecord,
} from "#shared/bootstrap/machine.ts";
import type { RecoveryPlan } from "#shared/bootstrap/recovery.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { Registry } from "#agent/ports/registry.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** What came of a rehearsal. `recovery` tells of recover_cluster what it would do. */
export type Validation =
  | { readonly ok: true; readonly recovery?: RecoveryPlan }
  | { readonly ok: false; readonly failure: BootstrapFailure };

/** This host's bootstrap, as the API sees it. */
export interface Bootstrap {
  readonly state: BootstrapState;
  /** This host's uid in the cluster; null before it has one. */
  readonly uid: number | null;
  /** The parts of the attempt under way, or else of the last one, in the order in which they began. */
  readonly steps: readonly BootstrapStepRecord[];
  /**
   * Accepts an attempt and returns once `initiated` is on disk; the action runs on its own. Throws AppError
   * bootstrap_in_progress or already_in_cluster, config_error when the request contradicts itself or the host.
   */
  start(action: BootstrapAction, request: BootstrapRequest): Promise<void>;
  /**
   * Runs every check that the action would, other agents asked included, and changes nothing here or there. Throws as `start` does
   * for what `start` would refuse; everything else is in the answer.
   */
  validate(action: BootstrapAction, request: BootstrapRequest, signal: AbortSignal): Promise<Validation>;
  /** Called when the state has changed, or the steps have. */
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
