import { createHash } from "node:crypto";

import type { ClusterIdentity } from "#agent/ports/store.ts";
import { headLine, openBackup, sealedText, type BackupHead } from "#shared/contract/backup.ts";
import type { EpochMs } from "#shared/lib/time.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** Who makes a backup, and when. */
export interface Maker {
  readonly host: string;
  readonly softwareVersion: string;
  readonly at: EpochMs;
}

/** The state as a backup: its head, and the whole file. */
export function packBackup(
  state: Readonly<RegistryState>,
  { clusterId, incarnation }: Pick<ClusterIdentity, "clusterId" | "incarnation">,
  { host, softwareVersion, at }: Maker,
): { readonly head: BackupHead; readonly bytes: Buffer } {
  const body = Buffer.from(encodeState(state));
  const unsealed = {
    muster_backup: 1,
    cluster_id: clusterId,
    cluster_name: state.cluster?.name ?? "",
    incarnation,
    term: state.term,
    index: state.index,
    taken_at_ms: at,
    host,
    software_version: softwareVersion,
    bytes: body.length,
  } as const;
  const head = { ...unsealed, sha256: sha256(sealedText(unsealed), body) };
  return { head, bytes: Buffer.concat([Buffer.from(`${headLine(head)}\n`), body]) };
}

/** What a backup holds. Throws an Error whose message ends a sentence that begins with the file: why it must not be used. */
export function unpackBackup(bytes: Uint8Array): {
  readonly head: BackupHead;
  readonly state: RegistryState;
} {
  const opened = openBackup(bytes, sha256);
  if (opened.problem !== null) throw new Error(opened.problem);
  const { head, body } = opened;
  let state: RegistryState;
  try {
    state = decodeState(Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8"));
  } catch (error) {
    throw new Error(`cannot be used: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const { cluster } = state;
  if (cluster === null) throw new Error("cannot be used: it holds no cluster");
  const same =
    cluster.id === head.cluster_id &&
    cluster.name === head.cluster_name &&
    state.index === head.index &&
    state.term === head.term;
  if (!same) throw new Error("cannot be used: its first line tells of another state than it holds");
  return { head, state };
}

/** What a file turned out to be. `problem` ends a sentence that begins with the file. */
export type Verdict = { readonly head: BackupHead } | { readonly problem: string };

/** Whether a backup can be used. */
export function judgeBackup(bytes: Uint8Array): Verdict {
  try {
    return { head: unpackBackup(bytes).head };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function sha256(text: string, body: Uint8Array): string {
  return createHash("sha256").update(text).update(body).digest("hex");
}
