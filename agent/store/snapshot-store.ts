import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { crc32, zstdCompress, zstdDecompress } from "node:zlib";

import { Compile } from "typebox/compile";
import { Type, type Static } from "typebox";

import type { CountedWrites } from "./counted-writes.ts";
import { KEYS, numberIn, numbered, under } from "./keys.ts";
import { REJOIN_ADVICE, openJson, sealRecord } from "./record.ts";
import type { Database, Step, View } from "./database.ts";
import type { Log } from "#agent/ports/log.ts";
import { StoreDamaged, type SnapshotStore } from "#agent/ports/store.ts";
import { SnapshotMeta } from "#shared/consensus/messages.ts";

/** Bytes of the compressed body in one record. */
const PART_BYTES = 1024 * 1024;
/** Snapshots kept: the newest, and the one before it in case the disk damages the newest. */
const KEPT = 2;

/** Parts without a head, mostly: a crash came before their snapshot was whole. */
const UNFINISHED = "swept a snapshot that was never finished";

const Head = Type.Object({
  meta: SnapshotMeta,
  /** Size and SHA-256 (hex) of the body before compression. */
  bytes: Type.Integer({ minimum: 0 }),
  sha256: Type.String({ minLength: 64, maxLength: 64 }),
  parts: Type.Integer({ minimum: 1 }),
  /** CRC-32 of each part, so that they can be read back one by one; absent in what earlier versions wrote. */
  crcs: Type.Optional(Type.Array(Type.Integer({ minimum: 0 }))),
});
type Head = Static<typeof Head>;
const HeadRecord = Compile(Head);

// Off the main thread: a state of many megabytes takes long enough to delay a heartbeat. One job at a time, so that
// three of the pool's four threads stay free for the log.
const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Snapshots in Level: parts first, and last the head that makes them a snapshot. Generations number the saves. */
export class LevelSnapshotStore implements SnapshotStore {
  readonly #db: Database;
  readonly #writes: CountedWrites;
  readonly #log: Log;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: { readonly db: Database; readonly writes: CountedWrites; readonly log: Log }) {
    this.#db = deps.db;
    this.#writes = deps.writes;
    this.#log = deps.log;
  }

  load(): Promise<{ meta: SnapshotMeta; body: Uint8Array } | null> {
    return this.#inTurn(() => this.#load());
  }

  save(meta: SnapshotMeta, body: Uint8Array): Promise<void> {
    return this.#inTurn(() => this.#save(meta, body));
  }

  /** What `load` gives, read beside whatever is written, and nothing changed. Rejects with StoreDamaged. */
  async read(view: View): Promise<{ meta: SnapshotMeta; body: Uint8Array } | null> {
    return this.#newest(await this.#generations(view), view);
  }

  /**
   * Puts this snapshot in the place of all others by one batch of the caller's own, which must be atomic and synced: `commit` is
   * given what belongs into it. Before that nothing can be seen of the new one, and all of the old ones.
   */
  replace(
    meta: SnapshotMeta,
    body: Uint8Array,
    commit: (steps: readonly Step[]) => Promise<void>,
  ): Promise<void> {
    return this.#inTurn(async () => {
      const generations = await this.#generations();
      const { generation, head } = await this.#stage(meta, body, generations);
      const heads = generations.map((old): Step => ({ type: "del", key: headKey(old) }));
      await commit([...heads, head]);
      await this.#sweep(new Set([generation]), "swept the snapshots of the former cluster");
    });
  }

  /**
   * Reads back one part of the newest snapshot. Resolves with the number of the next one, or null when there is none.
   * Rejects with StoreDamaged.
   */
  check(part: number): Promise<number | null> {
    return this.#inTurn(async () => {
      const generation = (await this.#generations()).at(-1);
      if (generation === undefined) return null;
      const head = await this.#head(generation);
      if (part >= head.parts) return null;
      const piece = await this.#part(generation, part);
      const crc = head.crcs?.[part];
      if (crc !== undefined && crc32(piece) !== crc) {
        throw new StoreDamaged(`part ${part} of snapshot ${generation} fails its checksum`, REJOIN_ADVICE);
      }
      return part + 1;
    });
  }

  /** Runs when the work before it has ended: a sweep must never meet a save that is still under way. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #load(): Promise<{ meta: SnapshotMeta; body: Uint8Array } | null> {
    const generations = await this.#generations();
    await this.#sweep(new Set(generations), UNFINISHED);
    return this.#newest(generations);
  }

  /** The newest of these that is whole. */
  async #newest(
    generations: readonly number[],
    view: View = {},
  ): Promise<{ meta: SnapshotMeta; body: Uint8Array } | null> {
    if (generations.length === 0) return null;
    let damage: unknown;
    for (const generation of generations.toReversed()) {
      try {
        return await this.#read(generation, view);
      } catch (error) {
        if (!(error instanceof StoreDamaged)) throw error;
        this.#log.error({ generation, err: error }, "a snapshot is damaged; trying the one before it");
        damage = error;
      }
    }
    throw damage;
  }

  async #save(meta: SnapshotMeta, body: Uint8Array): Promise<void> {
    const generations = await this.#generations();
    const { head } = await this.#stage(meta, body, generations);
    const steps: Step[] = [head];
    for (const old of generations.slice(0, Math.max(0, generations.length - KEPT + 1))) {
      steps.push({ type: "del", key: headKey(old) });
      const keys = await this.#db.keys(under(`${numbered(KEYS.snapshotPart, old)}/`)).all();
      for (const key of keys) steps.push({ type: "del", key });
    }
    await this.#writes.aside(steps, { sync: true });
  }

  /** Writes the parts of a new generation; `head` will make a snapshot of them. */
  async #stage(
    meta: SnapshotMeta,
    body: Uint8Array,
    generations: readonly number[],
  ): Promise<{ readonly generation: number; readonly head: Step }> {
    const generation = (generations.at(-1) ?? 0) + 1;
    await this.#sweep(new Set(generations), UNFINISHED); // Parts of a save that failed would carry the same number.
    const packed = await compress(body);
    const parts = Math.max(1, Math.ceil(packed.length / PART_BYTES));
    const crcs: number[] = [];
    for (let part = 0; part < parts; part += 1) {
      const value = packed.subarray(part * PART_BYTES, (part + 1) * PART_BYTES);
      crcs.push(crc32(value));
      // Each one synced: LevelDB may change to a new log file in between, and the last sync would not cover the old one.
      await this.#writes.aside([{ type: "put", key: partKey(generation, part), value }], { sync: true });
    }
    const head: Head = { meta, bytes: body.length, sha256: sha256(body), parts, crcs };
    const value = sealRecord(JSON.stringify(head));
    return { generation, head: { type: "put", key: headKey(generation), value } };
  }

  /** Numbers of the whole snapshots, oldest first. */
  async #generations(view: View = {}): Promise<number[]> {
    const keys = await this.#db.keys({ ...under(KEYS.snapshotHead), ...view }).all();
    return keys.map((key) => numberIn(KEYS.snapshotHead, key)).filter((number) => number !== null);
  }

  /** Removes parts that no head speaks of. */
  async #sweep(whole: ReadonlySet<number>, why: string): Promise<void> {
    const keys = await this.#db.keys(under(KEYS.snapshotPart)).all();
    const steps: Step[] = [];
    for (const key of keys) {
      const generation = numberIn(KEYS.snapshotPart, key);
      if (generation === null || !whole.has(generation)) steps.push({ type: "del", key });
    }
    if (steps.length === 0) return;
    this.#log.info({ parts: steps.length }, why);
    await this.#writes.aside(steps, { sync: false });
  }

  async #read(generation: number, view: View): Promise<{ meta: SnapshotMeta; body: Uint8Array }> {
    const head = await this.#head(generation, view);
    const pieces: Uint8Array[] = [];
    for (let part = 0; part < head.parts; part += 1) pieces.push(await this.#part(generation, part, view));
    const body = await unpack(Buffer.concat(pieces), head.bytes);
    if (body === null || sha256(body) !== head.sha256) {
      throw new StoreDamaged(`the body of snapshot ${generation} does not match its hash`, REJOIN_ADVICE);
    }
    return { meta: head.meta, body };
  }

  async #head(generation: number, view: View = {}): Promise<Head> {
    const record = await this.#db.get(headKey(generation), view);
    if (record === undefined) throw new StoreDamaged(`snapshot ${generation} has vanished`, REJOIN_ADVICE);
    return openJson(record, HeadRecord, `snapshot ${generation}`);
  }

  async #part(generation: number, part: number, view: View = {}): Promise<Uint8Array> {
    const piece = await this.#db.get(partKey(generation, part), view);
    if (piece === undefined) {
      throw new StoreDamaged(`snapshot ${generation} lacks its part ${part}`, REJOIN_ADVICE);
    }
    return piece;
  }
}

/** Null when it cannot be the packed form of that many bytes. */
async function unpack(packed: Buffer, bytes: number): Promise<Buffer | null> {
  try {
    return await decompress(packed, { maxOutputLength: Math.max(1, bytes) });
  } catch {
    return null;
  }
}

function headKey(generation: number): string {
  return numbered(KEYS.snapshotHead, generation);
}

function partKey(generation: number, part: number): string {
  return numbered(`${numbered(KEYS.snapshotPart, generation)}/`, part);
}

function sha256(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}
