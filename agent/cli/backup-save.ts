import { createHash } from "node:crypto";
import { open, readFile, rm, type FileHandle } from "node:fs/promises";

import { BACKUP_BYTES_MAX, codeOf, sha256 } from "#agent/cli/backup-file.ts";
import { download, NoAnswer, refusedBy, type Target } from "#agent/cli/client.ts";
import { openBackup, type BackupHead } from "#shared/contract/backup.ts";

const PATH = "/muster/v1/backup";

/**
 * Saves the asked agent's copy to a new file for this user alone; with `newest`, everything that was committed before is in it. What was
 * saved is read back and checked. Rejects with NoAnswer, and leaves no file then; one that exists is never overwritten.
 */
export async function saveBackup(
  target: Target,
  path: string,
  { newest }: { readonly newest: boolean },
): Promise<BackupHead> {
  const from = `${PATH}${newest ? "?consistency=linearizable" : ""}`;
  const file = await create(path);
  let whole = false;
  try {
    const answer = await download(target, from, async (pieces, headers) => {
      const hash = createHash("sha256");
      let written = 0;
      for await (const piece of pieces) {
        written += piece.length;
        if (written > BACKUP_BYTES_MAX) throw new NoAnswer(`${target.url} sends more than any backup has`);
        hash.update(piece);
        await writing(path, file.writeFile(piece));
      }
      await writing(path, file.sync());
      const digest = `sha-256=:${hash.digest("base64")}:`;
      if (headers["repr-digest"] !== digest)
        throw new NoAnswer("what came is not what the agent sent; try again");
    });
    if (answer.status !== 200) throw refusedBy(target, "GET", PATH, answer);
    const { head, problem } = openBackup(await readFile(path), sha256);
    if (head === null || problem !== null) throw new NoAnswer(`what the agent sent ${problem}`);
    whole = true;
    return head;
  } finally {
    await file.close();
    if (!whole) await rm(path, { force: true });
  }
}

async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (error) {
    if (codeOf(error) === "EEXIST") throw new NoAnswer(`${path} exists; a backup overwrites nothing`);
    throw new NoAnswer(`${path} cannot be written (${codeOf(error)})`);
  }
}

async function writing(path: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw new NoAnswer(`${path} cannot be written (${codeOf(error)})`);
  }
}
