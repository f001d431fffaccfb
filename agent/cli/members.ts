import { get, NoAnswer, type Target } from "#agent/cli/client.ts";
import { bytes, table } from "#agent/cli/print.ts";
import { checked } from "#shared/contract/check.ts";
import { MemberList, type Member } from "#shared/contract/native.ts";

const PATH = "/muster/v1/members";

/** All members, as the asked agent sees them. */
export async function listMembers(target: Target): Promise<readonly Member[]> {
  const list = checked(MemberList, await get(target, PATH));
  if (list === null) throw new NoAnswer(`${target.url}${PATH} answered in an unknown form`);
  return list.members;
}

export function membersTable(members: readonly Member[]): string {
  return table(
    ["NAME", "ROLE", "STATUS", "CORES", "MEMORY", "ADDRESS", "URL"],
    members.map((member) => [
      member.name,
      member.role,
      member.status === "joining" ? member.status : member.liveness,
      String(member.cores ?? "-"),
      bytes(member.total_memory),
      member.addr,
      member.api_urls.find((url) => url.startsWith("http")) ?? "-",
    ]),
  );
}
