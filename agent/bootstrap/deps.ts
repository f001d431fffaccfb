import type { CheckFolder } from "./check-folder.ts";
import type { CopyPacking } from "./copies-pack.ts";
import type { DoStep } from "./steps.ts";
import type { Backups } from "#agent/ports/backup.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { JoinProofs, Passwords, Scram } from "#agent/ports/credentials.ts";
import type { Inventory } from "#agent/ports/inventory.ts";
import type { Log } from "#agent/ports/log.ts";
import type { ClusterRuntime } from "#agent/ports/registry.ts";
import type { BootstrapStore, IdentityStore } from "#agent/ports/store.ts";
import type { StrangerTransport } from "#agent/ports/transport.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Who this host is, whatever cluster it is in. */
interface HostSelf {
  /** Its peer id, made of its own key. */
  readonly peer: MemberId;
  readonly uuid: string;
  readonly name: string;
}

/** What the parts of an attempt need. */
export interface BootstrapDeps {
  readonly store: BootstrapStore;
  readonly identity: IdentityStore;
  readonly runtime: ClusterRuntime;
  readonly transport: StrangerTransport;
  readonly inventory: Inventory;
  readonly passwords: Passwords;
  readonly scram: Scram;
  readonly proofs: JoinProofs;
  readonly backups: Backups;
  readonly clock: Clock;
  readonly log: Log;
  readonly host: HostSelf;
  /** Where this agent's REST API answers now: `https://10.0.0.1:9443`. */
  readonly apiUrls: () => readonly string[];
  /** Tests a storage folder, making it if need be; rejects with path_error. The real file system when left out. */
  readonly checkFolder?: CheckFolder;
  /** Folder of the unix socket on which the API listens; absent when there is none, or it lies in the agent's own data folder. */
  readonly socketDirectory?: string;
  /** How a copy of the registry is packed for its way; zstd when left out. */
  readonly packing?: CopyPacking;
  /** Draws the id of a new cluster; a random uuid when left out. */
  readonly newClusterId?: () => string;
  /**
   * Does a part of the attempt under a name by which the progress is shown: preflight, contact, authenticate, admit, catch_up (join);
   * preflight, hash, found, commit (create); preflight, survey, backup, write, start (recover).
   */
  readonly step: DoStep;
}

/** What a bootstrap needs of the rest of the agent. */
export type DriverDeps = Omit<BootstrapDeps, "step">;
