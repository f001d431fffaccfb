import type { ByeReason, WireHello } from "./wire.ts";

/** Why the two hellos do not belong together; null if they do. */
export function mismatch(ours: WireHello, theirs: WireHello): ByeReason | null {
  if (ours.protocol !== theirs.protocol) return "other_protocol";
  if (ours.cluster_id !== theirs.cluster_id) return "other_cluster";
  if (ours.incarnation !== theirs.incarnation) return "other_incarnation";
  return ours.lineage === theirs.lineage ? null : "other_lineage";
}
