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
  const why = bootstrap.error_code ?? bootstrap.reason;
  const reason = why === null ? "" : ` (${why})`;
  const rows: (readonly [string, string])[] = [
    ["agent", `${agent.name} ${agent.software_version}`],
    ["peer id", agent.peer],
    ["API", agent.api_urls.join(" ")],
    ["bootstrap", bootstrap.state + reason],
    ["cluster", cluster === null ? "none" : `${cluster.name}, ${cluster.members} members`],
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

function age(ms: number | null): string {
  return ms === null ? "of unknown age" : `${Math.round(ms)} ms old`;
}
