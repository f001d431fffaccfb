import { demand, type Target } from "#agent/cli/client.ts";
import { table } from "#agent/cli/print.ts";
import { checked } from "#shared/contract/check.ts";
import { epochMs, isoSeconds } from "#shared/lib/time.ts";
import { Cluster, Leader, Left, type ClusterPatch } from "#shared/contract/native.ts";

/** The cluster and its settings, as the asked agent knows them. */
export function readCluster(target: Target): Promise<Cluster> {
  return demand(target, "GET", "/muster/v1/cluster", (body) => checked(Cluster, body));
}

/** Changes settings; answers with the cluster as it is then. */
export function changeCluster(
  target: Target,
  settings: NonNullable<ClusterPatch["settings"]>,
): Promise<Cluster> {
  return demand(target, "PATCH", "/muster/v1/cluster", (body) => checked(Cluster, body), { settings });
}

/** Hands leadership to the named host, or to the best voter; answers who leads then. */
export function handOver(target: Target, to: string | undefined): Promise<Leader> {
  return demand(
    target,
    "POST",
    "/muster/v1/leader",
    (body) => checked(Leader, body),
    to === undefined ? {} : { to },
  );
}

/** Takes the asked agent's host out of its cluster. */
export function leaveCluster(target: Target): Promise<Left> {
  return demand(target, "POST", "/muster/v1/leave", (body) => checked(Left, body));
}

export function clusterTable(cluster: Cluster): string {
  const { id, name, rack_aware, incarnation, recovered_at_ms, settings } = cluster;
  const recovered = recovered_at_ms === null ? "" : `, recovered ${isoSeconds(epochMs(recovered_at_ms))}`;
  const rows: (readonly [string, string])[] = [
    ["name", name],
    ["id", id],
    ["incarnation", `${incarnation}${recovered}`],
    ["rack-aware", rack_aware ? "yes" : "no"],
    ["candidate pool size", String(settings.candidate_pool_size)],
    ["failed after", `${settings.failed_after_ms} ms`],
    ["repair policy", settings.repair_policy],
  ];
  return table(["", ""], rows).split("\n").slice(1).join("\n");
}
