import type { ClusterPolicy, DnsSuffix } from "#shared/registry/command.ts";

/** How a host proves that it may join: one of the three, never two. Empty texts count as not given. */
export interface JoinCredentials {
  /** Of an administrator. */
  readonly username: string;
  readonly password: string;
  /** A join token as text: see agent/bootstrap/token.ts. */
  readonly token?: string;
  /** PEM. The certificate's common name is an administrator's name, its issuer one of the cluster's `trusted_ca`. */
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** PEM: the API that is asked must show a certificate of this authority. With it the peer id that it tells is believed. */
  readonly trustedCa?: string;
}

/**
 * A bootstrap request in domain form; the dialect checks the wire form and translates. Absent means: not given.
 * Source: seed 003, bodies of create and join, and its documented object.
 */
export interface BootstrapRequest {
  readonly clusterName?: string;
  /** API addresses of agents to join, or to look for copies at: host or host:port; IPv6 in brackets when with a port. Empty for create. */
  readonly nodes: readonly string[];
  /** API port of `nodes` entries without one. Default 9443. */
  readonly apiPort: number;
  readonly credentials: JoinCredentials;
  readonly identity: {
    /** Of the failed node whose place this host takes; in a recovery, which of the nodes it is. */
    readonly uid?: number;
    readonly name?: string;
    /** Internal address of this host; default: chosen from its addresses. */
    readonly addr?: string;
    readonly externalAddrs: readonly string[];
    readonly rackId?: string;
    readonly secondRackId?: string;
    readonly overrideRackId?: boolean;
    readonly acceptServers?: boolean;
    readonly useInternalIpv6?: boolean;
  };
  readonly limits: { readonly maxListeners?: number; readonly maxRedisServers?: number };
  readonly paths: { readonly persistent?: string; readonly ephemeral?: string; readonly bigstore?: string };
  readonly bigstore: { readonly enabled?: boolean; readonly driver?: string };
  readonly rackAware: boolean;
  readonly policy: Partial<ClusterPolicy>;
  readonly dnsSuffixes: readonly DnsSuffix[];
  readonly license?: string;
  /** recover_cluster: a backup, absolute or relative to the persistent or the ephemeral path. */
  readonly recoveryFilename?: string;
  /** Joins only a cluster all of whose members have at least this version. */
  readonly requiredVersion?: string;
  /** Tries after the first one for errors that may pass (connect_error). Default 0. */
  readonly maxRetries: number;
  /** Longest wait between tries. Seconds. */
  readonly retryTimeS: number;
}
