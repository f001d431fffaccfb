import type { StateMachine } from "./apply.ts";
import type { ConsensusLoop } from "./loop.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Stores } from "#agent/ports/store.ts";
import type { Entry, SnapshotMeta } from "#shared/consensus/messages.ts";
import type { Consensus } from "#shared/consensus/ready.ts";
import { encodeState } from "#shared/registry/snapshot.ts";

/** Bytes of entries kept behind a snapshot at most, whatever their number. */
const LOG_TAIL_BYTES = 16 * 1024 * 1024;

interface Options {
  readonly snapshotEntries: number;
  readonly snapshotLogBytes: number;
  readonly logTailEntries: number;
}

interface Deps {
  readonly core: Pick<Consensus, "appliedConfig">;
  readonly loop: Pick<ConsensusLoop, "do" | "ended">;
  readonly machine: StateMachine;
  readonly stores: Pick<Stores, "snapshots" | "log">;
  readonly log: Log;
  /** A snapshot could not be written: what the disk holds is unknown. */
  readonly onFailure: (error: unknown) => void;
}

/** Takes snapshots of the registry and forgets the log behind them, both beside the consensus loop. */
export class Snapshotter {
  readonly #deps: Deps;
  readonly #options: Options;
  /** Entries and bytes applied since the last snapshot. */
  #entries = 0;
  #bytes = 0;
  #lastBytes: number;
  /** Where the log stood after each so many bytes, oldest first: tells where a tail of LOG_TAIL_BYTES begins. */
  #marks: { readonly index: number; readonly bytes: number }[] = [];
  #markBytes = 0;
  #saving: Promise<void> | null = null;

  constructor(deps: Deps, options: Options & { readonly lastSnapshotBytes: number }) {
    this.#deps = deps;
    this.#options = options;
    this.#lastBytes = options.lastSnapshotBytes;
  }

  /** Counts a committed entry. */
  count(entry: Entry): void {
    this.#entries += 1;
    this.#bytes += entry.data.length;
    this.#markBytes += entry.data.length;
    if (this.#markBytes < LOG_TAIL_BYTES / 16) return;
    this.#marks.push({ index: entry.index, bytes: this.#markBytes });
    this.#markBytes = 0;
    if (this.#marks.length > 16) this.#marks.shift();
  }

  /** After each turn, when state and core agree on what is applied. */
  onTurn(applied: number): void {
    const { machine, core, loop } = this.#deps;
    if (!this.#due || this.#saving !== null || machine.halted !== null || loop.ended) return;
    if (machine.index !== applied) return;
    const meta: SnapshotMeta = {
      index: machine.index,
      term: machine.state.term,
      config: core.appliedConfig(),
    };
    const body = Buffer.from(encodeState(machine.state));
    this.#restart(body.length);
    this.#saving = this.#save(meta, body)
      .catch((error: unknown) => this.#deps.onFailure(error))
      .finally(() => {
        this.#saving = null;
      });
  }

  /** Resolves when no snapshot of the own state is being written: a fetched one must not be overtaken by an older one. */
  async idle(): Promise<void> {
    await this.#saving;
  }

  /** A fetched snapshot took the state's place. */
  installed(bytes: number): void {
    this.#restart(bytes);
    this.#marks = [];
    this.#markBytes = 0;
  }

  /** A large state is written seldom: only when the log since then is worth it. */
  get #due(): boolean {
    const { snapshotEntries, snapshotLogBytes } = this.#options;
    const grown = this.#entries >= snapshotEntries || this.#bytes >= snapshotLogBytes;
    return grown && this.#bytes >= this.#lastBytes / 4;
  }

  #restart(bytes: number): void {
    this.#entries = 0;
    this.#bytes = 0;
    this.#lastBytes = bytes;
  }

  async #save(meta: SnapshotMeta, body: Uint8Array): Promise<void> {
    const { loop, stores, log } = this.#deps;
    await stores.snapshots.save(meta, body);
    const upTo = this.#tailBegin(meta.index);
    log.info({ index: meta.index, bytes: body.length, upTo }, "took a snapshot of the registry");
    if (loop.ended) return;
    loop.do((core) => core.compact(meta, upTo));
    if (upTo > 0) await stores.log.compact(upTo);
  }

  #tailBegin(index: number): number {
    let bytes = this.#markBytes;
    for (const mark of this.#marks.toReversed()) {
      if (bytes > LOG_TAIL_BYTES) return Math.min(index, mark.index);
      bytes += mark.bytes;
    }
    return Math.max(0, index - this.#options.logTailEntries);
  }
}
