import { AppError } from "#shared/errors/app-error.ts";
import { assert } from "#shared/lib/assert.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { REFUSAL_NAMES_MAX } from "#shared/lib/limits.ts";
import { isoSeconds, type EpochMs } from "#shared/lib/time.ts";
import { membersByUid } from "#shared/registry/queries/members.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** One copy of a cluster's registry that a recovery could start from. */
export interface CopyInfo {
  /** `store`: this host's own; `file`: a backup; `agent`: what another agent holds. */
  readonly source: "store" | "file" | "agent";
  /** Path of the file, address of the agent; the host's own name for its store. */
  readonly where: string;
  /** Who holds it; null for a file. */
  readonly peer: MemberId | null;
  readonly clusterId: string;
  readonly clusterName: string;
  readonly incarnation: number;
  /** See ClusterIdentity.lineage; absent in a cluster that was never recovered, and where it is not known: in a file. */
  readonly lineage?: string;
  /** Term and index of its last entry: the copy with the greatest pair has everything that any other one has. */
  readonly term: number;
  readonly index: number;
  /** The log's own time at its last entry. */
  readonly at: EpochMs;
  /** How long ago its holder last knew that it had everything that was committed; null when it never did, or for a file. Milliseconds. */
  readonly ageMs: number | null;
}

/** What a recovery would do: the rehearsal's answer, and what the action then does. */
export interface RecoveryPlan {
  /** Best first. */
  readonly candidates: readonly CopyInfo[];
  readonly chosen: CopyInfo;
  /** Incarnation of the cluster afterwards. */
  readonly incarnation: number;
  /** Which node this host will be. */
  readonly uid: number;
  /** Members that must join again, as replacements, with these uids. */
  readonly rejoin: readonly { readonly uid: number; readonly name: string }[];
  /** Who could not be asked, and why: what only they had is lost. */
  readonly unreachable: readonly { readonly address: string; readonly cause: string }[];
  /** What may be lost, in sentences; empty when every member's copy was seen. */
  readonly losses: readonly string[];
}

/** What an agent tells anybody who asks for its copy. */
export interface Witness {
  /** Where it was asked. */
  readonly where: string;
  readonly clusterId: string;
  readonly incarnation: number;
  /** Whether it knows a leader. */
  readonly leader: boolean;
  /** Whether it is recovering the cluster itself at this moment. */
  readonly recovering: boolean;
}

/** A place whose copy was not seen. `denied`: who answers there did not accept the credentials. */
export interface Unseen {
  readonly address: string;
  readonly cause: string;
  readonly denied: boolean;
}

/** All that could be found out about what is left of a cluster. */
export interface Survey {
  /** This host's own cluster, whether its copy could be read or not, and whether it knows a leader of it; null when it is in none. */
  readonly own: { readonly clusterId: string; readonly incarnation: number; readonly leader: boolean } | null;
  readonly copies: readonly CopyInfo[];
  /** Every other agent that answered. */
  readonly witnesses: readonly Witness[];
  readonly unseen: readonly Unseen[];
}

/** The copy to start from, and what else is known of the same cluster. */
export interface Choice {
  readonly chosen: CopyInfo;
  /** Best first, the chosen one among them. */
  readonly candidates: readonly CopyInfo[];
  /** What was found and has no part in it, in sentences. */
  readonly leftOut: readonly string[];
  /** Of the cluster from now on. */
  readonly incarnation: number;
}

/** Newest first: later incarnation, then greater term, then greater index (Raft dissertation §3.6.1 on up-to-date logs). */
export function byNewestCopy(a: CopyInfo, b: CopyInfo): number {
  return b.incarnation - a.incarnation || b.term - a.term || b.index - a.index;
}

/**
 * Which copy a recovery starts from: the file if one was given, else the newest one. By the election rule of Raft the newest log has
 * every entry that was ever committed, as far as any of the logs seen has it.
 *
 * Throws AppError: config_error when the cluster is not lost (somebody knows a leader, or it was recovered already), when nothing
 * can be recovered from, or when what was found is not of one cluster; access_denied when nobody accepted the credentials.
 */
export function chooseCopy(
  survey: Survey,
  request: { readonly clusterName?: string; readonly nodes: readonly string[] },
): Choice {
  const { own, witnesses } = survey;
  const copies = survey.copies.toSorted(byNewestCopy);
  const file = copies.find(({ source }) => source === "file");
  if (file !== undefined && own !== null && file.clusterId !== own.clusterId) {
    const rule = `${file.where} is of the cluster ${file.clusterId}, but this host is a member of ${own.clusterId}`;
    throw new AppError("config_error", { field: "recovery_filename", rule });
  }
  const clusterId = file?.clusterId ?? own?.clusterId ?? onlyCluster(copies);
  const members = witnesses.filter((witness) => clusterId === null || witness.clusterId === clusterId);
  if (own?.leader === true) throw refused("this host's own cluster has a leader; it is not lost");
  refuseWhileAlive(members);
  const first = file ?? copies.find((copy) => copy.clusterId === clusterId);
  if (first === undefined) throw nothingFound(survey, request);
  const { chosen, others, leftOut } = ofOneKind(first, copies);
  refuseRecovered(chosen, members);
  refuseOtherName(chosen, request.clusterName);
  const foreign = witnesses.filter((witness) => !members.includes(witness));
  const named = foreign.map((one) => `${one.where} belongs to another cluster, ${one.clusterId}`);
  const newest = Math.max(chosen.incarnation, own?.incarnation ?? 0);
  return {
    chosen,
    candidates: [chosen, ...others].toSorted(byNewestCopy),
    leftOut: [...leftOut, ...named],
    incarnation: newest + 1,
  };
}

/** What the recovery will do. `after`: the state it makes of the chosen copy for this host. */
export function planOf(
  { chosen, candidates, leftOut, incarnation }: Choice,
  after: Readonly<RegistryState>,
  context: { readonly self: MemberId; readonly unseen: readonly Unseen[] },
): RecoveryPlan {
  const members = membersByUid(after);
  const own = after.members.get(context.self);
  assert(own !== undefined, "who recovers a cluster is a member of it");
  const rejoin = members.flatMap(({ peer, uid, name }) => (peer === context.self ? [] : [{ uid, name }]));
  const unreachable = context.unseen.map(({ address, cause }) => ({ address, cause }));
  const losses = [...staleness(chosen, candidates), ...missing(context.unseen), ...leftOut];
  return { candidates, chosen, incarnation, uid: own.uid, rejoin, unreachable, losses };
}

/** The cluster that all copies are of; null when there are none. */
function onlyCluster(copies: readonly CopyInfo[]): string | null {
  const [first] = copies;
  const other = copies.find(({ clusterId }) => clusterId !== first?.clusterId);
  if (first === undefined || other === undefined) return first?.clusterId ?? null;
  const rule = `names agents of different clusters: ${first.where} has a copy of ${first.clusterName}, ${other.where} one of ${other.clusterName}`;
  throw new AppError("config_error", { field: "cluster.nodes", rule });
}

/**
 * The copies of the first one's cluster and history. Two recoveries that were made apart have histories of their own: term and index
 * of the one say nothing about the other.
 */
function ofOneKind(
  first: CopyInfo,
  copies: readonly CopyInfo[],
): { readonly chosen: CopyInfo; readonly others: readonly CopyInfo[]; readonly leftOut: readonly string[] } {
  const same = copies.filter(({ clusterId }) => clusterId === first.clusterId);
  // Of two histories this host's own is the one to go on with; without it somebody has to say which.
  const own = same.find(({ source, incarnation }) => source === "store" && incarnation === first.incarnation);
  const anchor = own ?? first;
  const apart = same.filter((copy) => isApart(copy, anchor));
  if (apart[0] !== undefined && anchor.source === "agent") {
    const rule = `${anchor.where} and ${apart[0].where} hold copies of two recoveries that were made apart; name only one of them`;
    throw new AppError("config_error", { field: "cluster.nodes", rule });
  }
  const kept = same.filter((copy) => !isApart(copy, anchor));
  const chosen = first.source === "file" ? first : (kept[0] ?? first);
  const leftOut = apart.map(
    ({ where }) => `${where} holds a copy of a recovery that was made apart; what only it has is lost`,
  );
  return { chosen, others: kept.filter((copy) => copy !== chosen), leftOut };
}

function isApart(a: CopyInfo, b: CopyInfo): boolean {
  const known = a.lineage !== undefined && b.lineage !== undefined;
  return known && a.incarnation === b.incarnation && a.lineage !== b.lineage;
}

/** Before anything else: where a leader is known no copy is given, and that none was found would mislead. */
function refuseWhileAlive(members: readonly Witness[]): void {
  for (const { where, leader, recovering } of members) {
    if (leader) throw refused(`${where} knows a leader of the cluster; it is not lost: join it`);
    if (recovering) throw refused(`${where} is recovering the cluster at this moment; join it once it has`);
  }
}

function refuseRecovered(chosen: CopyInfo, members: readonly Witness[]): void {
  const later = members.find(({ incarnation }) => incarnation > chosen.incarnation);
  if (later === undefined) return;
  const { where, incarnation } = later;
  throw refused(
    `the cluster was recovered already, as ${where} of its incarnation ${incarnation} says; join it with node.identity.uid`,
  );
}

/** A cluster may be named so that none other is recovered by mistake. Case and a trailing dot mean nothing in a DNS name. */
function refuseOtherName({ where, clusterName }: CopyInfo, wanted: string | undefined): void {
  const plain = (name: string): string => name.toLowerCase().replace(/\.$/, "");
  if (wanted === undefined || plain(wanted) === plain(clusterName)) return;
  const rule = `the copy at ${where} is of the cluster ${clusterName}`;
  throw new AppError("config_error", { field: "cluster.name", rule });
}

function nothingFound(
  { unseen, own, witnesses }: Survey,
  { nodes }: { readonly nodes: readonly string[] },
): AppError<"config_error" | "access_denied"> {
  if (unseen.some(({ denied }) => denied)) {
    const text = `no copy of the cluster was given out: ${listed(unseen.map(({ address, cause }) => `${address}: ${cause}`))}`;
    return new AppError("access_denied", {}, text);
  }
  const foreign = witnesses.flatMap(({ where, clusterId }) =>
    own === null || clusterId === own.clusterId ? [] : [`${where}: belongs to another cluster, ${clusterId}`],
  );
  const seen = [...foreign, ...unseen.map(({ address, cause }) => `${address}: ${cause}`)];
  const found =
    seen.length === 0 ? "this host has no copy of a cluster" : `no copy was found (${listed(seen)})`;
  const rule = `${found}; run this on a host that was a member, name a backup in recovery_filename, or addresses of former members in cluster.nodes`;
  return new AppError("config_error", {
    field: nodes.length > 0 ? "cluster.nodes" : "recovery_filename",
    rule,
  });
}

/** What a given file lacks. A copy that was chosen for being the newest lacks nothing that another one has. */
function staleness(chosen: CopyInfo, candidates: readonly CopyInfo[]): string[] {
  if (chosen.source !== "file") return [];
  const newer = candidates.filter((copy) => byNewestCopy(copy, chosen) < 0);
  return [
    `the backup has nothing that was written after ${isoSeconds(chosen.at)}`,
    ...newer.map(
      ({ where, at }) => `${where} holds a newer copy, up to ${isoSeconds(at)}: what only it has is lost`,
    ),
  ];
}

function missing(unseen: readonly Unseen[]): string[] {
  if (unseen.length === 0) return [];
  const who = listed(unseen.map(({ address }) => address));
  return [`whatever only these had is lost, for their copies were not seen: ${who}`];
}

function listed(names: readonly string[]): string {
  const more = names.length - REFUSAL_NAMES_MAX;
  return [...names.slice(0, REFUSAL_NAMES_MAX), ...(more > 0 ? [`and ${more} more`] : [])].join(", ");
}

/** The action itself cannot be done now. */
function refused(rule: string): AppError<"config_error"> {
  return new AppError("config_error", { field: "action", rule });
}
