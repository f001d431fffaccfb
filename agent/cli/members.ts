import { demand, succeed, type Target } from "#agent/cli/client.ts";
import { bytes, table } from "#agent/cli/print.ts";
import { checked } from "#shared/contract/check.ts";
import { MemberList, type Member } from "#shared/contract/native.ts";

const PATH = "/muster/v1/members";

/** All members, as the asked agent sees them. */
export async function listMembers(target: Target): Promise<readonly Member[]> {
  return (await demand(target, "GET", PATH, (body) => checked(MemberList, body))).members;
}

/** Takes a member out for good; one that is alive only when forced. */
export async function removeMember(target: Target, name: string, force: boolean): Promise<void> {
  await succeed(target, "DELETE", `${PATH}/${encodeURIComponent(name)}${force ? "?force=true" : ""}`);
}

export function membersTable(members: readonly Member[]): string {
  return table(
    ["NAME", "ROLE", "STATUS", "ZONE", "CORES", "MEMORY", "ADDRESS", "URL"],
    members.map((member) => [
      member.name,
      member.role,
      conditionOf(member),
      member.rack_id ?? "-",
      String(member.cores ?? "-"),
      bytes(member.total_memory),
      member.addr,
      member.api_urls.find((url) => url.startsWith("http")) ?? "-",
    ]),
  );
}

function conditionOf({ status, liveness, failed_since_ms }: Member): string {
  if (status === "joining") return status;
  return failed_since_ms === null ? liveness : `${liveness}, failed`;
}
