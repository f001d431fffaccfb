/**
 * A bootstrap request in domain form; the dialect checks the wire form and translates. Absent means: not given.
 * Source: seed 003, bodies of create and join.
 */
export interface BootstrapRequest {
  readonly clusterName?: string;
  /** API addresses of agents to join: host or host:port; IPv6 in brackets when with a port. Empty for create. */
  readonly nodes: readonly string[];
  /** API port of `nodes` entries without one. Default 9443. */
  readonly apiPort: number;
  readonly username: string;
  readonly password: string;
  readonly identity: {
    readonly uid?: number;
    readonly name?: string;
    /** Internal address of this host; default: chosen from its addresses. */
    readonly addr?: string;
    readonly externalAddrs: readonly string[];
    readonly rackId?: string;
  };
  readonly paths: { readonly persistent?: string; readonly ephemeral?: string; readonly bigstore?: string };
  readonly rackAware: boolean;
  /** Tries after the first one for errors that may pass (connect_error). Default 0. */
  readonly maxRetries: number;
  /** Longest wait between tries. Seconds. */
  readonly retryTimeS: number;
}
