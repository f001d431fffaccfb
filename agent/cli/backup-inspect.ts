import { constants } from "node:fs";
import { open } from "node:fs/promises";

import { BACKUP_BYTES_MAX, codeOf, sha256 } from "#agent/cli/backup-file.ts";
import { NoAnswer } from "#agent/cli/client.ts";
import { bytes as size, table } from "#agent/cli/print.ts";
import { BackupContent, openBackup, type BackupHead, type OpenedBackup } from "#shared/contract/backup.ts";
import { checked } from "#shared/contract/check.ts";
import { epochMs, isoSeconds } from "#shared/lib/time.ts";

/** What a backup holds, without anything that is secret. */
interface Inspected {
  readonly file: string;
  /** Why it must not be used; null when it is whole. Then, and only then, `content` is there. */
  readonly problem: string | null;
  readonly head: BackupHead | null;
  readonly content: Content | null;
}

interface Content {
  readonly at_ms: number;
  readonly rack_aware: boolean;
  readonly created_at_ms: number;
  readonly recovered_at_ms: number | null;
  readonly licensed: boolean;
  readonly settings: Readonly<Record<string, number | string>>;
  readonly members: readonly {
    readonly uid: number;
    readonly name: string;
    readonly addr: string;
    readonly rack_id: string | null;
    readonly status: string;
    readonly failed_since_ms: number | null;
  }[];
  readonly users: readonly { readonly name: string; readonly role: string }[];
  readonly counts: { readonly zones: number; readonly nodes: number; readonly tokens: number };
}

/** What a backup on this host holds. Rejects with NoAnswer when there is no such file. */
export async function inspectBackup(path: string): Promise<Inspected> {
  const opened = openBackup(await readWhole(path), sha256);
  const { head, problem } = opened;
  if (opened.problem !== null) return { file: path, problem, head, content: null };
  const content = contentOf(opened);
  return {
    file: path,
    problem: content === null ? "has a content that this version cannot show" : null,
    head,
    content,
  };
}

export function inspectedText({ file, problem, head, content }: Inspected): string {
  const verdict = problem === null ? "whole, its checksum is right" : `MUST NOT BE USED: it ${problem}`;
  const rows: (readonly [string, string])[] = [
    ["file", file],
    ["condition", verdict],
  ];
  if (head !== null) rows.push(...headRows(head));
  if (content === null) return plain(rows);
  rows.push(...contentRows(content));
  const members = content.members.map(({ uid, name, addr, rack_id, status, failed_since_ms }) => [
    String(uid),
    name,
    addr,
    rack_id ?? "-",
    failed_since_ms === null ? status : "failed",
  ]);
  const users = content.users.map(({ name, role }) => [name, role]);
  return [
    plain(rows),
    table(["UID", "MEMBER", "ADDRESS", "ZONE", "STATUS"], members),
    table(["USER", "ROLE"], users),
  ].join("\n\n");
}

function headRows(head: BackupHead): (readonly [string, string])[] {
  return [
    ["cluster", `${head.cluster_name} (${head.cluster_id})`],
    ["incarnation", String(head.incarnation)],
    ["index, term", `${head.index}, ${head.term}`],
    ["taken", `${isoSeconds(epochMs(head.taken_at_ms))} on ${head.host}, muster ${head.software_version}`],
    ["size", size(head.bytes)],
  ];
}

function contentRows(content: Content): (readonly [string, string])[] {
  const { at_ms, created_at_ms, recovered_at_ms, rack_aware, licensed, settings, counts } = content;
  const when = (at: number): string => isoSeconds(epochMs(at));
  return [
    ["last change", when(at_ms)],
    ["created", when(created_at_ms)],
    ...(recovered_at_ms === null ? [] : [["recovered", when(recovered_at_ms)] as const]),
    ["rack-aware", rack_aware ? "yes" : "no"],
    ["license", licensed ? "there is one" : "none"],
    [
      "settings",
      Object.entries(settings)
        .map(([name, value]) => `${name} ${value}`)
        .join(", "),
    ],
    ["zones", String(counts.zones)],
    ["registered nodes", String(counts.nodes)],
    ["join tokens", String(counts.tokens)],
  ];
}

function plain(rows: readonly (readonly [string, string])[]): string {
  return table(["", ""], rows).split("\n").slice(1).join("\n");
}

/** One field at a time, so that nothing secret can slip through. Null when it is none that is known here. */
function contentOf({ body }: Extract<OpenedBackup, { problem: null }>): Content | null {
  const found = checked(BackupContent, parsed(body));
  if (found === null) return null;
  const { at, cluster, members, zones, nodes, users, tokens = [] } = found;
  return {
    at_ms: at,
    rack_aware: cluster.rackAware,
    created_at_ms: cluster.createdAt,
    recovered_at_ms: cluster.recoveredAt ?? null,
    licensed: (cluster.license ?? "") !== "",
    settings: cluster.settings,
    members: members.map(({ uid, name, addr, rack_id, status, failedAt }) => ({
      uid,
      name,
      addr,
      rack_id,
      status,
      failed_since_ms: failedAt ?? null,
    })),
    users: users.map(({ name, role }) => ({ name, role })),
    counts: { zones: zones.length, nodes: nodes.length, tokens: tokens.length },
  };
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return null;
  }
}

async function readWhole(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await file.stat();
    if (!found.isFile()) throw new NoAnswer(`${path} is no file`);
    if (found.size > BACKUP_BYTES_MAX) throw new NoAnswer(`${path} is larger than any backup`);
    return await file.readFile();
  } catch (error) {
    throw error instanceof NoAnswer ? error : new NoAnswer(`${path} cannot be read (${codeOf(error)})`);
  }
}
