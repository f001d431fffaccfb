import { open, readdir, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { REJOIN_ADVICE } from "./record.ts";
import { StoreDamaged } from "#agent/ports/store.ts";

/** LevelDB's files that only ever grow: logs of writes, tables, manifests, and the name of the newest of these. */
const GROWING = /^(?:\d+\.(?:ldb|sst|log)|MANIFEST-\d+|CURRENT)$/;
/** Bytes under one remembered checksum; also what is read in one go. */
const PIECE_BYTES = 256 * 1024;

/** A pass over all files takes so many calls … */
const CALLS = 5;
/** … as long as a call then reads no less and no more than this: the most is some milliseconds of work. */
const CALL_BYTES_MIN = 2 * PIECE_BYTES;
const CALL_BYTES_MAX = 16 * 1024 * 1024;

/** A piece as it was first seen; the last one of a file may have grown since. */
interface Piece {
  readonly bytes: number;
  readonly crc: number;
}

/**
 * Compares the files of the database with what they were when they were read before, in this life of the process. LevelDB
 * writes no byte twice, so any difference is damage.
 */
export class FileScrub {
  readonly #dir: string;
  readonly #buffer = Buffer.allocUnsafe(PIECE_BYTES);
  #known = new Map<string, Piece[]>();
  /** What is left of this pass, and where in the first of these files it goes on. */
  #files: string[] = [];
  #next = 0;

  constructor(options: { readonly dir: string }) {
    this.#dir = options.dir;
  }

  /** The database was opened anew and has changed its files. */
  forget(): void {
    this.#known = new Map();
    this.#files = [];
    this.#next = 0;
  }

  /** Reads the next part of a pass. Throws StoreDamaged. */
  async next(): Promise<void> {
    if (this.#files.length === 0) await this.#begin();
    let left = this.#budget;
    for (let file = this.#files[0]; file !== undefined && left > 0; file = this.#files[0]) {
      const read = await this.#readFile(file, left);
      left -= Math.max(read.bytes, 1);
      if (!read.done) continue;
      this.#files.shift();
      this.#next = 0;
    }
  }

  /** Bytes for one call. What nobody has read yet is read fast: until then its damage cannot be told. */
  get #budget(): number {
    let known = 0;
    for (const pieces of this.#known.values()) for (const { bytes } of pieces) known += bytes;
    if (known === 0) return CALL_BYTES_MAX;
    return Math.min(CALL_BYTES_MAX, Math.max(CALL_BYTES_MIN, Math.ceil(known / CALLS)));
  }

  async #begin(): Promise<void> {
    this.#files = (await readdir(this.#dir)).filter((name) => GROWING.test(name));
    const there = new Set(this.#files);
    for (const name of this.#known.keys()) if (!there.has(name)) this.#known.delete(name);
  }

  async #readFile(name: string, most: number): Promise<{ bytes: number; done: boolean }> {
    let file: FileHandle;
    try {
      file = await open(join(this.#dir, name), "r");
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") return { bytes: 0, done: true }; // Merged into another one.
      throw error;
    }
    try {
      return await this.#readPieces(file, name, most);
    } finally {
      await file.close();
    }
  }

  async #readPieces(file: FileHandle, name: string, most: number): Promise<{ bytes: number; done: boolean }> {
    const { size } = await file.stat();
    const pieces = this.#known.get(name) ?? [];
    this.#known.set(name, pieces);
    if (size < pieces.reduce((sum, piece) => sum + piece.bytes, 0)) throw changed(name);
    let total = 0;
    while (this.#next * PIECE_BYTES < size && total < most) {
      const at = this.#next;
      const { bytesRead } = await file.read(this.#buffer, 0, PIECE_BYTES, at * PIECE_BYTES);
      const known = pieces[at];
      if (known !== undefined && crc32(this.#buffer.subarray(0, known.bytes)) !== known.crc)
        throw changed(name);
      pieces[at] = { bytes: bytesRead, crc: crc32(this.#buffer.subarray(0, bytesRead)) };
      total += bytesRead;
      this.#next += 1;
    }
    return { bytes: total, done: this.#next * PIECE_BYTES >= size };
  }
}

function changed(name: string): StoreDamaged {
  return new StoreDamaged(`the file ${name} of the database has changed since it was written`, REJOIN_ADVICE);
}
