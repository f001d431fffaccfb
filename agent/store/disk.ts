import { constants, open, statfs, unlink, type FileHandle } from "node:fs/promises";

import { saysFull, type CountedWrites } from "./counted-writes.ts";
import type { Scrub } from "./scrub.ts";
import { WriteFailed, type StoreDamaged, type StoreDisk } from "#agent/ports/store.ts";
import type { Log } from "#agent/ports/log.ts";

/** What a probe overwrites: one block of most file systems. */
const CANARY_BYTES = 4096;
/** What proves that there is room again: more than a few freed blocks. */
const PROOF_BYTES = 256 * 1024;

interface Deps {
  readonly writes: CountedWrites;
  readonly scrub: Scrub;
  readonly log: Log;
  /** Closes the database and opens it again, and tells whoever remembers what it held. */
  readonly openAgain: () => Promise<void>;
}

/** The disk under the database. Beside it lie `DIR.canary`, which probes overwrite, and for moments `DIR.proof`. */
export class LevelDisk implements StoreDisk, AsyncDisposable {
  readonly path: string;
  readonly #deps: Deps;
  #canary: FileHandle | null = null;

  constructor(deps: Deps, options: { readonly dir: string }) {
    this.#deps = deps;
    this.path = options.dir;
  }

  get failure(): WriteFailed | null {
    return this.#deps.writes.failure;
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(this.path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  async probe(): Promise<void> {
    try {
      this.#canary ??= await open(`${this.path}.canary`, constants.O_RDWR | constants.O_CREAT, 0o600);
      await this.#canary.write(Buffer.alloc(CANARY_BYTES), 0, CANARY_BYTES, 0);
      await this.#canary.datasync();
    } catch (error) {
      await this.#closeCanary();
      throw new WriteFailed(error, { full: saysFull(error) });
    }
  }

  scrub(): Promise<StoreDamaged | null> {
    return this.#deps.scrub.next();
  }

  async reopen(): Promise<void> {
    const { writes, scrub, openAgain, log } = this.#deps;
    await this.#prove();
    await writes.idle();
    await openAgain();
    await writes.reopened();
    scrub.forget();
    log.info({ path: this.path }, "the stores were opened anew");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeCanary();
  }

  /** A synced write of fresh blocks. */
  async #prove(): Promise<void> {
    const path = `${this.path}.proof`;
    try {
      const file = await open(path, "w", 0o600);
      try {
        await file.write(Buffer.alloc(PROOF_BYTES, 1));
        await file.sync();
      } finally {
        await file.close();
        await unlink(path);
      }
    } catch (error) {
      throw new WriteFailed(error, { full: saysFull(error) });
    }
  }

  async #closeCanary(): Promise<void> {
    const canary = this.#canary;
    this.#canary = null;
    await canary?.close().catch(() => undefined); // Its bytes are worth nothing.
  }
}
