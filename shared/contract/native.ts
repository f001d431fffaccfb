import { Type, type Static } from "typebox";

import { HostFacts } from "#shared/model/hardware.ts";

// muster's own API, prefix /muster/v1: what agents, the CLI and probes say to each other. Fields are only ever added.
// Times are milliseconds since the epoch, sizes bytes; a field that cannot be known is null, never left out.

const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Texts = Type.Array(Type.String());
const Liveness = Type.Enum(["alive", "suspect", "dead", "left", "unknown"]);

/** Every error of this API. `code` is the kind of shared/errors/kinds.ts, `facts` what that kind carries. */
export const NativeError = Type.Object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    facts: Type.Record(Type.String(), Type.Unknown()),
  }),
});
export type NativeError = Static<typeof NativeError>;

/** GET health/live, health/ready. `reason`: why it is not ready, in one sentence. */
export const Health = Type.Object({
  status: Type.Enum(["live", "ready", "not_ready"]),
  reason: Nullable(Type.String()),
});
export type Health = Static<typeof Health>;

/** GET mesh: who this agent is on the mesh, for joiners. Proves nothing: the mesh itself does. */
export const MeshContact = Type.Object({
  peer_id: Type.String(),
  mesh_addrs: Texts,
  cluster_id: Nullable(Type.String()),
  incarnation: Nullable(Type.Integer()),
  software_version: Type.String(),
  protocol: Type.Integer(),
});
export type MeshContact = Static<typeof MeshContact>;

/**
 * `leader`, `voter`: decide. `standby`: gets the log from the leader, first to be promoted. `learner`: pulls it from
 * anybody; serves the whole API like the others.
 */
const Role = Type.Enum(["leader", "voter", "standby", "learner"]);

/** One member: what the cluster has agreed on, with its liveness and size as far as this agent has heard. */
export const Member = Type.Object({
  name: Type.String(),
  uid: Type.Integer(),
  peer: Type.String(),
  uuid: Type.String(),
  role: Role,
  status: Type.Enum(["joining", "active"]),
  liveness: Liveness,
  addr: Type.String(),
  external_addrs: Texts,
  api_urls: Texts,
  mesh_addrs: Texts,
  rack_id: Nullable(Type.String()),
  software_version: Type.String(),
  added_at_ms: Type.Integer(),
  cores: Nullable(Type.Integer()),
  total_memory: Nullable(Type.Number()),
  /** Of the cluster's own record, without liveness and size: what If-Match of a change of this member takes. */
  etag: Nullable(Type.String()),
});
export type Member = Static<typeof Member>;

/** GET members, in order of uid. */
export const MemberList = Type.Object({ members: Type.Array(Member) });
export type MemberList = Static<typeof MemberList>;

/** GET status: this agent. */
export const AgentStatus = Type.Object({
  agent: Type.Object({
    name: Type.String(),
    peer: Type.String(),
    uuid: Type.String(),
    uid: Nullable(Type.Integer()),
    software_version: Type.String(),
    api_urls: Texts,
    mesh_addrs: Texts,
  }),
  bootstrap: Type.Object({
    state: Type.Enum(["idle", "initiated", "running", "error", "completed"]),
    action: Nullable(Type.String()),
    started_at_ms: Nullable(Type.Integer()),
    ended_at_ms: Nullable(Type.Integer()),
    error_code: Nullable(Type.String()),
    error_details: Nullable(Type.Record(Type.String(), Type.Unknown())),
  }),
  cluster: Nullable(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      rack_aware: Type.Boolean(),
      created_at_ms: Type.Integer(),
      members: Type.Integer(),
    }),
  ),
  registry: Type.Object({
    role: Type.Enum(["leader", "follower", "candidate", "pre_candidate", "learner"]),
    term: Type.Integer(),
    /** Name of the leader's host, and its peer id. */
    leader: Nullable(Type.String()),
    leader_peer: Nullable(Type.String()),
    applied: Type.Integer(),
    commit: Type.Integer(),
    /** How old what is served here may be; null when it was never known to be new. */
    age_ms: Nullable(Type.Number()),
    /** Names of the hosts that decide, and of those that stand by. */
    voters: Texts,
    standbys: Texts,
    /** Whether a write can succeed now; else the voters that are missing, by name. */
    quorum: Type.Boolean(),
    missing: Texts,
    /** Why this agent applies nothing any more and what to do; null when all is well. */
    halted: Nullable(Type.String()),
  }),
});
export type AgentStatus = Static<typeof AgentStatus>;

/** One host in brief. */
export const HostSummary = Type.Object({
  name: Type.String(),
  uid: Nullable(Type.Integer()),
  peer: Type.String(),
  liveness: Liveness,
  cores: Nullable(Type.Integer()),
  total_memory: Nullable(Type.Number()),
  free_memory: Nullable(Type.Number()),
  os_version: Nullable(Type.String()),
  software_version: Nullable(Type.String()),
  collected_at_ms: Nullable(Type.Number()),
});
export type HostSummary = Static<typeof HostSummary>;

/** GET hosts. */
export const HostList = Type.Object({ hosts: Type.Array(HostSummary) });
export type HostList = Static<typeof HostList>;

/** GET hosts/{name}: all that is known here of one host. */
export const Host = Type.Object({
  name: Type.String(),
  peer: Type.String(),
  /** The cluster's record; null before this agent is in a cluster. */
  member: Nullable(Member),
  liveness: Liveness,
  /** Since this agent last had proof of life; null for never. */
  last_seen_ms_ago: Nullable(Type.Number()),
  /** As measured from this agent; positive: the other clock is ahead. */
  rtt_ms: Nullable(Type.Number()),
  clock_offset_ms: Nullable(Type.Number()),
  /** Which report this is: (starts of its agent, count since). */
  version: Nullable(Type.Object({ incarnation: Type.Integer(), count: Type.Integer() })),
  /** Null when nothing has been heard of that host yet. */
  facts: Nullable(HostFacts),
});
export type Host = Static<typeof Host>;

/**
 * GET events, event `changes`: what one index of the log changed. The event's id is the index, stamped with the history that it
 * belongs to; a reader that comes back with it as Last-Event-ID, to whichever agent, misses nothing and sees nothing twice.
 */
export const ChangesEvent = Type.Object({
  index: Type.Integer(),
  at_ms: Type.Integer(),
  changes: Type.Array(
    Type.Object({ topic: Type.String(), op: Type.Enum(["set", "delete"]), id: Type.String() }),
  ),
});
export type ChangesEvent = Static<typeof ChangesEvent>;

/**
 * GET events, events `start` and `reset`: changes after `index` follow. `reset`: what came before cannot be told any more;
 * read everything anew with `min_index` set to `index`, then go on.
 */
export const PositionEvent = Type.Object({ index: Type.Integer() });
export type PositionEvent = Static<typeof PositionEvent>;
