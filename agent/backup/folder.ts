import { constants } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";

import { packBackup, unpackBackup } from "./form.ts";
import { verifyBackup } from "./verify.ts";
import type { BackupFile, BackupHealth, Backups } from "#agent/ports/backup.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Inventory } from "#agent/ports/inventory.ts";
import type { Log } from "#agent/ports/log.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import {
  BACKUP_HEAD_BYTES_MAX,
  BACKUP_NAME,
  backupName,
  readHead,
  type BackupHead,
} from "#shared/contract/backup.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { BACKUPS_KEPT, SNAPSHOT_BYTES_MAX } from "#shared/lib/limits.ts";
import { epochMs, type EpochMs } from "#shared/lib/time.ts";
import type { RegistryState } from "#shared/registry/state.ts";

/** Below the persistent path: what survives a lost host. */
const FOLDER = "backups";
const FIELD = "recovery_filename";
/** What an operator can do about a file or a folder. */
const TO_READ = "name a backup that the agent's user can read";
const TO_SAVE = "give the agent's user a folder there that it can write, with room";
const BYTES_MAX = SNAPSHOT_BYTES_MAX + BACKUP_HEAD_BYTES_MAX;

interface Deps {
  readonly inventory: Pick<Inventory, "paths">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who makes the backups here. */
interface Maker {
  readonly host: string;
  readonly softwareVersion: string;
}

/** Backups as files in the persistent storage of this host. */
export class BackupFolder implements Backups, BackupHealth {
  readonly #deps: Deps;
  readonly #maker: Maker;
  #turn: Promise<unknown> = Promise.resolve();
  #lastSuccessAt: EpochMs | null = null;
  #failures = 0;

  constructor(deps: Deps, options: Maker) {
    this.#deps = deps;
    this.#maker = options;
  }

  get lastSuccessAt(): EpochMs | null {
    return this.#lastSuccessAt;
  }

  get failures(): number {
    return this.#failures;
  }

  /** What `save` would write now. */
  pack(state: Readonly<RegistryState>, identity: ClusterIdentity): Buffer {
    return this.#pack(state, identity).bytes;
  }

  /** The state is taken at once, before the first await; two saves are written one after the other. */
  save(state: Readonly<RegistryState>, identity: ClusterIdentity): Promise<BackupFile> {
    const { head, bytes } = this.#pack(state, identity);
    const turn = this.#turn.then(() => this.#save(head, bytes));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /**
   * The newest backup that this host made of that cluster; null when there is none. Only first lines are read. Never rejects: a folder
   * that cannot be read has none.
   */
  async newest(clusterId: string): Promise<BackupFile | null> {
    const [newest = null] = await this.#own(clusterId).catch(() => []);
    if (newest !== null) this.#lastSuccessAt ??= epochMs(newest.head.taken_at_ms);
    return newest;
  }

  async read(path: string): Promise<{ head: BackupHead; path: string; state: RegistryState }> {
    const found = await this.#find(path);
    const bytes = await readWhole(found);
    try {
      return { ...unpackBackup(bytes), path: found };
    } catch (error) {
      throw unusable(found, error instanceof Error ? error.message : String(error));
    }
  }

  get #folder(): string {
    return join(this.#deps.inventory.paths().persistent, FOLDER);
  }

  #pack(state: Readonly<RegistryState>, identity: ClusterIdentity): ReturnType<typeof packBackup> {
    return packBackup(state, identity, { ...this.#maker, at: this.#deps.clock.now() });
  }

  async #save(head: BackupHead, bytes: Buffer): Promise<BackupFile> {
    const folder = this.#folder;
    const path = join(folder, backupName(head));
    try {
      await makeOwnFolder(folder);
      // One name for each host: what a crash left behind is overwritten by the next backup, and never looks like one.
      const draft = join(folder, `.muster-${this.#maker.host}.draft`);
      await rm(draft, { force: true });
      try {
        await writeSynced(draft, bytes);
        await this.#demandSame(draft, head);
        await rename(draft, path);
      } finally {
        await rm(draft, { force: true });
      }
      await syncFolder(folder);
    } catch (error) {
      this.#failures += 1;
      throw pathError(path, error, TO_SAVE);
    }
    this.#lastSuccessAt = epochMs(head.taken_at_ms);
    await this.#removeOldest(head.cluster_id, path);
    return { path, head };
  }

  /** Read back before it gets its name: what has the name is whole. */
  async #demandSame(path: string, head: BackupHead): Promise<void> {
    const verdict = await verifyBackup(path, head.bytes, this.#deps);
    if ("problem" in verdict) throw new Error(`what was written, read back, ${verdict.problem}`);
    if (verdict.head.sha256 !== head.sha256) throw new Error("what was read back is not what was written");
  }

  /** A backup that cannot be removed is one too many, and no reason to call the new one failed. */
  async #removeOldest(clusterId: string, keep: string): Promise<void> {
    try {
      const others = (await this.#own(clusterId)).filter(({ path }) => path !== keep);
      for (const { path } of againLast(others).slice(BACKUPS_KEPT - 1)) await rm(path, { force: true });
    } catch (error) {
      this.#deps.log.warn({ err: error, folder: this.#folder }, "old backups could not be removed");
    }
  }

  /**
   * Backups in the folder that this host made of that cluster, newest first: by what they hold, for clocks are set. Whatever cannot be
   * read, or was made elsewhere, is none of them.
   */
  async #own(clusterId: string): Promise<BackupFile[]> {
    const folder = this.#folder;
    const own: BackupFile[] = [];
    for (const name of await readdir(folder)) {
      if (!BACKUP_NAME.test(name)) continue;
      const path = join(folder, name);
      const head = await headOf(path);
      if (head?.cluster_id === clusterId && head.host === this.#maker.host) own.push({ path, head });
    }
    return own.toSorted(({ head: a }, { head: b }) => newerFirst(a, b));
  }

  async #find(path: string): Promise<string> {
    if (isAbsolute(path)) return path;
    const { persistent, ephemeral } = this.#deps.inventory.paths();
    const tried = [persistent, join(persistent, FOLDER), ephemeral].map((folder) => join(folder, path));
    for (const one of tried) {
      if (await exists(one)) return one;
    }
    const cause = `is none of ${tried.join(", ")}`;
    throw new AppError("path_error", { path, cause, errno: "ENOENT" }, `${path}: ${cause}; ${TO_READ}`);
  }
}

function newerFirst(a: BackupHead, b: BackupHead): number {
  return (
    b.incarnation - a.incarnation || b.term - a.term || b.index - a.index || b.taken_at_ms - a.taken_at_ms
  );
}

/**
 * Backups of one and the same content, all but the first that was made, go to the end. A recovery from a file that fails again
 * and again backs that content up each time, and must not push out the very file it comes from.
 */
function againLast(newest: readonly BackupFile[]): readonly BackupFile[] {
  const seen = new Set<string>();
  const firsts = new Set<BackupFile>();
  for (const one of newest.toSorted((a, b) => a.head.taken_at_ms - b.head.taken_at_ms)) {
    const { incarnation, term, index } = one.head;
    const content = `${incarnation} ${term} ${index}`;
    if (!seen.has(content)) firsts.add(one);
    seen.add(content);
  }
  return [...newest.filter((one) => firsts.has(one)), ...newest.filter((one) => !firsts.has(one))];
}

/** Not the folders above it: persistent storage that is gone (not mounted) must not be made up for on another disk. */
async function makeOwnFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (!isCode(error, "EEXIST") || !(await stat(path)).isDirectory()) throw error;
    return;
  }
  await syncFolder(dirname(path));
}

async function writeSynced(path: string, bytes: Buffer): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await file.writeFile(bytes);
  await file.sync();
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await folder.sync();
}

/** Null for what is no backup, cannot be read, or is no plain file. */
async function headOf(path: string): Promise<BackupHead | null> {
  try {
    await using file = await openPlain(path);
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(BACKUP_HEAD_BYTES_MAX),
      0,
      BACKUP_HEAD_BYTES_MAX,
      0,
    );
    const end = buffer.subarray(0, bytesRead).indexOf("\n");
    const found = end === -1 ? null : readHead(buffer.toString("utf8", 0, end));
    return found !== null && "head" in found ? found.head : null;
  } catch {
    return null;
  }
}

/** Rejects with path_error, or config_error when it is no file that could be a backup. */
async function readWhole(path: string): Promise<Buffer> {
  try {
    await using file = await openPlain(path);
    const { size } = await file.stat();
    if (size > BYTES_MAX) throw unusable(path, `is larger than any backup: ${size} bytes`);
    return await file.readFile();
  } catch (error) {
    throw error instanceof AppError ? error : pathError(path, error, TO_READ);
  }
}

/** Never waits for the other end of a pipe. */
async function openPlain(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw unusable(path, "is no file");
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isCode(error, "ENOENT") || isCode(error, "ENOTDIR")) return false;
    throw pathError(path, error, TO_READ);
  }
}

function unusable(path: string, problem: string): AppError {
  return new AppError("config_error", { field: FIELD, rule: `${path} ${problem}` });
}

function pathError(path: string, error: unknown, advice: string): AppError {
  const text = error instanceof Error ? error.message : String(error);
  // `EACCES: permission denied, open '/x/y'`: the path is told beside it, and the system call helps nobody.
  const cause = text.replace(/, \w+ '.*$/s, "");
  const errno =
    error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
  const facts = { path, cause, ...(errno === null ? {} : { errno }) };
  return new AppError("path_error", facts, `${path}: ${cause}; ${advice}`);
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
