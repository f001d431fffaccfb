import { demand, type Target } from "#agent/cli/client.ts";
import { table } from "#agent/cli/print.ts";
import { checked } from "#shared/contract/check.ts";
import { AgentStatus } from "#shared/contract/native.ts";

const PATH = "/muster/v1/status";

/** How the asked agent is. */
export function readStatus(target: Target): Promise<AgentStatus> {
  return demand(target, "GET", PATH, (body) => checked(AgentStatus, body));
}

export function statusTable({ agent, bootstrap, cluster, registry }: AgentStatus): string {
  const rows: (readonly [string, string])[] = [
    ["agent", `${agent.name} ${agent.software_version}`],
    ["peer id", agent.peer],
    ["API", agent.api_urls.join(" ")],
    ["bootstrap", bootstrap.state + reasonOf(bootstrap)],
    ["cluster", cluster === null ? "none" : nameOf(cluster)],
  ];
  if (cluster !== null) {
    rows.push(
      ["role", agent.role ?? registry.role],
      ["leader", registry.leader ?? "none known"],
      ["voters", registry.voters.join(" ")],
      ["standing by", registry.standbys.length === 0 ? "nobody" : registry.standbys.join(" ")],
      ["failed", cluster.failed.length === 0 ? "none" : cluster.failed.join(" ")],
      ["applied", `${registry.applied} of ${registry.commit}, ${age(registry.age_ms)}`],
      ["writes", registry.quorum ? "yes" : `no majority; missing: ${registry.missing.join(" ")}`],
    );
  }
  if (registry.halted !== null) rows.push(["HALTED", registry.halted]);
  return table(["", ""], rows).split("\n").slice(1).join("\n");
}

function reasonOf({ state, error_code, reason }: AgentStatus["bootstrap"]): string {
  if (error_code !== null)
    return state === "completed" ? ` (a recovery failed: ${error_code})` : ` (${error_code})`;
  return reason === null ? "" : ` (${reason})`;
}

function nameOf({ name, members, incarnation }: NonNullable<AgentStatus["cluster"]>): string {
  return `${name}, ${members} members${incarnation === 1 ? "" : `, incarnation ${incarnation}`}`;
}

function age(ms: number | null): string {
  return ms === null ? "of unknown age" : `${Math.round(ms)} ms old`;
}
