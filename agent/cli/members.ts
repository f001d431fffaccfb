import { get, type Target } from "#agent/cli/client.ts";
import { bytes, table } from "#agent/cli/print.ts";

/** One line of the table of members. Null: the host has not told yet. */
export interface Member {
  readonly name: string;
  readonly role: string;
  readonly status: string;
  readonly cores: number | null;
  readonly memory: number | null;
  readonly address: string;
  readonly url: string;
}

export async function listMembers(target: Target): Promise<readonly Member[]> {
  const body = (await get(target, "/muster/v1/members")) as { members: readonly Member[] };
  return body.members;
}

export function membersTable(members: readonly Member[]): string {
  return table(
    ["NAME", "ROLE", "STATUS", "CORES", "MEMORY", "ADDRESS", "URL"],
    members.map(({ name, role, status, cores, memory, address, url }) => [
      name,
      role,
      status,
      String(cores ?? "-"),
      bytes(memory),
      address,
      url,
    ]),
  );
}
