import type { StateMachine } from "./apply.ts";
import { CommitNews } from "./commit-news.ts";
import { encodeMessage } from "./message-wire.ts";
import { CONSENSUS } from "./wire.ts";
import type { Beat, Clock } from "#agent/ports/clock.ts";
import type { Log } from "#agent/ports/log.ts";
import { StoreDamaged, WriteFailed, type LogStore } from "#agent/ports/store.ts";
import type { StreamClass, Transport } from "#agent/ports/transport.ts";
import type { Entry, Message, SnapshotMeta } from "#shared/consensus/messages.ts";
import type { Consensus, CoreStatus, HardState, Ready, ReadState } from "#shared/consensus/ready.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { CONSENSUS_INBOX_MAX } from "#shared/lib/limits.ts";

/** Ticks made up for after a stall. The rest is forgiven: the peers' messages waited too, so their silence proves nothing. */
const TICKS_PER_TURN_MAX = 2;
/** Ticks in which nothing happens before a turn is taken all the same, for what only time brings. */
const QUIET_TICKS_MAX = 8;
/** Ticks that are not waited for at a time while the core says that they bring nothing. */
const REST_TICKS_MAX = 10;
/** Appends with more text than this travel on the bulk stream, where they hold up no heartbeat. */
const CONTROL_APPEND_CHARS_MAX = 32 * 1024;
/** Entries applied before the event loop gets a turn. */
const APPLY_AT_ONCE = 512;

/** A leader whose disk hangs for longer leads no more. Milliseconds. */
export const DISK_STALL_MS = 3000;

export interface LoopDeps {
  readonly core: Consensus;
  readonly machine: Pick<StateMachine, "apply" | "halt" | "halted">;
  readonly store: LogStore;
  readonly transport: Pick<Transport, "send">;
  readonly clock: Clock;
  readonly log: Log;
  /** Makes a fetched snapshot durable and lets it take the state's place. */
  readonly install: (meta: SnapshotMeta) => Promise<void>;
  readonly onReads: (reads: readonly ReadState[]) => void;
  /** After each turn: status and state are those of now. */
  readonly onTurn: () => void;
}

/**
 * The only loop around the consensus core. A turn takes in everything that has come (messages, tasks, ticks), then works
 * off what the core has ready, in the order of shared/consensus/ready.ts. Input waits while a Ready is being saved: that
 * makes one write of many proposals, and a leader whose disk stalls falls silent and is replaced.
 */
export class ConsensusLoop {
  readonly #deps: LoopDeps;
  readonly #news: CommitNews;
  #inbox: Message[] = [];
  #tasks: ((core: Consensus) => void)[] = [];
  #ticks = 0;
  #quietTicks = 0;
  /** Whether nothing but time had passed before the last turn. */
  #idle = true;
  #ticking: Beat | null = null;
  #tickMs = 0;
  /** Ticks up to this moment are counted. Monotonic. */
  #tickedMs: number | null = null;
  /** Of the ticks since then, how many are not waited for. */
  #restTicks = 0;
  #turn: Promise<void> | null = null;
  #scheduled = false;
  #ended = false;
  #status: CoreStatus;
  #hardState: HardState;
  /** A commit index that no write has carried yet. It only saves time after a restart, so it waits for company. */
  #unsaved: HardState | null = null;
  /** Since when the turn waits for the disk; null while it does not. Monotonic, as `#savedAtMs`. */
  #waitsSinceMs: number | null = null;
  #savedAtMs = -Infinity;
  #hold: { readonly over: Promise<void>; readonly release: () => void } | null = null;
  #failure: WriteFailed | null = null;

  constructor(deps: LoopDeps, options: { readonly hardState: HardState }) {
    this.#deps = deps;
    this.#news = new CommitNews({ clock: deps.clock, send: (message) => this.#sendOne(message) });
    this.#status = deps.core.status();
    this.#hardState = options.hardState;
  }

  start(tickMs: number): void {
    this.#tickMs = tickMs;
    this.#ticking = this.#deps.clock.every(tickMs, (lateMs) => this.#onTick(lateMs));
  }

  /** What the core reported at the end of the last turn. */
  get status(): CoreStatus {
    return this.#status;
  }

  /** True once consensus has stopped here, on request or because a write failed. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The failed write that ended consensus here; null when none did. */
  get failure(): WriteFailed | null {
    return this.#failure;
  }

  /** When the last synced write ended. Monotonic milliseconds. */
  get savedAtMs(): number {
    return this.#savedAtMs;
  }

  /** For how long the turn under way has waited for the disk; 0 when it does not. Milliseconds. */
  get waitsMs(): number {
    return this.#waitsSinceMs === null ? 0 : this.#deps.clock.monotonicMs() - this.#waitsSinceMs;
  }

  /** Whether this agent is silent, and so deposed, because its disk hangs: `status` is that of the time before. */
  get silent(): boolean {
    return this.#hold !== null || this.waitsMs >= DISK_STALL_MS;
  }

  /** Falls silent until the promise settles, as in a write that hangs: no tick, no message. Others elect meanwhile. */
  hold(until: Promise<unknown>): void {
    if (this.#ended || this.#hold !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hold = { over: promise, release: resolve };
    until.then(() => resolve()).catch(() => resolve());
    this.#wake();
  }

  /** A checked message from a member. */
  step(message: Message): void {
    if (this.#ended || this.#inbox.length >= CONSENSUS_INBOX_MAX) return;
    this.#inbox.push(message);
    this.#wake();
  }

  /** Runs in the next turn, before the core is asked what is ready. Dropped after the end. */
  do(task: (core: Consensus) => void): void {
    if (this.#ended) return;
    this.#tasks.push(task);
    this.#wake();
  }

  /** The same for work that one turn does for all who ask for it before: the task is known by its identity. */
  once(task: (core: Consensus) => void): void {
    if (!this.#tasks.includes(task)) this.do(task);
  }

  /** A member has somebody who waits until it knows that this index is committed: its news does not wait for company. */
  awaited(member: MemberId, index: number): void {
    if (!this.#ended) this.#news.awaited(member, index);
  }

  /** Ends after the turn that is under way. */
  async stop(): Promise<void> {
    const { silent } = this;
    this.#end();
    await this.#turn;
    if (this.#deps.machine.halted !== null || silent) return;
    await this.#saveCommit().catch((error: unknown) => {
      this.#deps.log.warn({ err: error }, "could not note the commit index"); // It only saves time.
    });
  }

  /** An agent is idle most of its life: a tick that brings nothing costs no turn, and one that is known to bring nothing does not come. */
  #onTick(lateMs: number): void {
    const dueMs = this.#deps.clock.monotonicMs() - lateMs;
    const ticks = this.#tickedMs === null ? 1 : Math.round((dueMs - this.#tickedMs) / this.#tickMs);
    // None when a message has counted them at this moment. What was missed by being late is forgiven; and the tick that brings
    // something comes only once what waits in sockets is heard.
    const late = Math.floor(lateMs / this.#tickMs);
    this.#tickedMs = dueMs + late * this.#tickMs;
    const counted = Math.max(0, Math.min(ticks, late > 0 ? this.#restTicks : this.#restTicks + 1));
    this.#restTicks = 0;
    if (this.#scheduled || this.#turn !== null) {
      this.#ticks += counted;
      return;
    }
    const { core } = this.#deps;
    for (let i = 0; i < counted; i += 1) core.tick();
    this.#quietTicks += counted;
    if (core.hasReady() || this.#quietTicks >= QUIET_TICKS_MAX) this.#wake();
    else this.#rest();
  }

  /** No tick before the next one that brings something, counted from the last one. */
  #rest(): void {
    if (this.#tickedMs === null) return;
    this.#restTicks = Math.min(this.#deps.core.restTicks(), REST_TICKS_MAX);
    const nextMs = this.#tickedMs + (this.#restTicks + 1) * this.#tickMs;
    // Heartbeats come on time; the end of a long rest is a look that seldom finds something.
    const slackTicks = this.#restTicks === REST_TICKS_MAX ? REST_TICKS_MAX / 2 : 0;
    this.#ticking?.rest(nextMs - this.#deps.clock.monotonicMs(), slackTicks * this.#tickMs);
  }

  /** After a turn. Under load ticks just come; a rest that has become too long is shortened, one too short ends by itself. */
  #restAnew(): void {
    if (this.#ended) return;
    const due = this.#restTicks === 0 ? this.#idle : this.#deps.core.restTicks() < this.#restTicks;
    if (due) this.#rest();
  }

  /** Something else comes first: what has passed of the rest is made up for, in which nothing happens. */
  #endRest(): void {
    if (this.#restTicks === 0 || this.#tickedMs === null) return;
    const passed = Math.floor((this.#deps.clock.monotonicMs() - this.#tickedMs) / this.#tickMs);
    const ticks = Math.min(passed, this.#restTicks);
    for (let i = 0; i < ticks; i += 1) this.#deps.core.tick();
    const stoodStill = passed > this.#restTicks + 1;
    this.#tickedMs += (stoodStill ? passed : ticks) * this.#tickMs;
    this.#restTicks -= ticks;
  }

  #end(): void {
    this.#ended = true;
    this.#ticking?.[Symbol.dispose]();
    this.#inbox = [];
    this.#tasks = [];
    this.#news.drop();
    this.#hold?.release();
  }

  /** An immediate: everything that the event loop has read from its sockets by then goes into one turn. */
  #wake(): void {
    if (this.#scheduled || this.#turn !== null || this.#ended) return;
    this.#endRest();
    this.#scheduled = true;
    setImmediate(() => {
      if (!this.#ended) {
        this.#turn = this.#run()
          .catch((error: unknown) => this.fail(error))
          .finally(() => {
            this.#turn = null;
            if (this.#hasInput) this.#wake();
            else this.#restAnew();
          });
      }
      // Only now: what calls back while a turn begins must not schedule a second turn beside it.
      this.#scheduled = false;
    });
  }

  get #hasInput(): boolean {
    return this.#inbox.length > 0 || this.#tasks.length > 0 || this.#ticks > 0;
  }

  async #run(): Promise<void> {
    const { core } = this.#deps;
    this.#quietTicks = 0;
    do {
      await this.#held();
      if (this.#ended) return; // Stopped meanwhile, and the disk may still hang.
      this.#idle = this.#takeInput();
      if (core.hasReady()) await this.#process(core.ready());
      else if (this.#idle) await this.#saveCommit();
      this.#status = core.status();
      this.#deps.onTurn();
    } while (!this.#ended && (this.#hasInput || core.hasReady()));
  }

  async #held(): Promise<void> {
    if (this.#hold === null) return;
    await this.#waiting(this.#hold.over);
    this.#hold = null;
  }

  /** Waits for the disk, and knows since when. */
  async #waiting(disk: Promise<void>): Promise<void> {
    this.#waitsSinceMs = this.#deps.clock.monotonicMs();
    try {
      await disk;
    } finally {
      this.#waitsSinceMs = null;
    }
  }

  /** True when nothing but time has passed. */
  #takeInput(): boolean {
    const { core, log } = this.#deps;
    const inbox = this.#inbox;
    const tasks = this.#tasks;
    const ticks = Math.min(this.#ticks, TICKS_PER_TURN_MAX);
    if (this.#ticks > TICKS_PER_TURN_MAX) log.debug({ ticks: this.#ticks }, "the consensus loop was held up");
    this.#inbox = [];
    this.#tasks = [];
    this.#ticks = 0;
    for (const message of inbox) core.step(message);
    for (const task of tasks) task(core);
    for (let i = 0; i < ticks; i += 1) core.tick();
    return inbox.length === 0 && tasks.length === 0;
  }

  async #process(ready: Ready): Promise<void> {
    const { core } = this.#deps;
    this.#send(ready.sendNow);
    // The transport sends in a microtask of its own; the peers' disks should be busy before this one is.
    if (ready.sendNow.length > 0) await Promise.resolve();
    if (ready.hardState !== null) this.#hardState = ready.hardState;
    if (ready.snapshot !== null) await this.#waiting(this.#install(ready.snapshot));
    // What is committed here is on this disk already, so it is applied while the disk is busy with what is new.
    await Promise.all([this.#save(ready), this.#apply(ready.committed)]);
    this.#send(ready.sendAfter);
    this.#deps.onReads(ready.reads);
    core.advance(ready);
  }

  async #apply(committed: readonly Entry[]): Promise<void> {
    let since = 0;
    for (const entry of committed) {
      this.#deps.machine.apply(entry);
      since += 1;
      if (since % APPLY_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #install(meta: SnapshotMeta): Promise<void> {
    await this.#deps.install(meta);
    await this.#deps.store.reset(this.#hardState);
    this.#unsaved = null;
  }

  async #save({ truncateFrom, entries, hardState, mustSync }: Ready): Promise<void> {
    if (!mustSync && truncateFrom === null && entries.length === 0) {
      this.#unsaved = hardState ?? this.#unsaved;
      return;
    }
    const batch = { truncateFrom, entries, hardState: hardState ?? this.#unsaved, sync: mustSync };
    await this.#waiting(this.#deps.store.append(batch));
    if (mustSync) this.#savedAtMs = this.#deps.clock.monotonicMs();
    this.#unsaved = null;
  }

  async #saveCommit(): Promise<void> {
    if (this.#unsaved === null) return;
    const hardState = this.#unsaved;
    this.#unsaved = null;
    await this.#deps.store.append({ truncateFrom: null, entries: [], hardState, sync: false });
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) this.#news.send(message);
  }

  #sendOne(message: Message): void {
    const sent = this.#deps.transport.send(message.to, streamOf(message), CONSENSUS, encodeMessage(message));
    if (!sent && (message.type === "append" || message.type === "snapshot")) {
      this.#tasks.push((core) => core.reportUnreachable(message.to));
    }
  }

  /** A write failed: what reached the disk is unknown now, so nothing more may be promised (agent/ports/store.ts). Or the disk lies. */
  fail(error: unknown): void {
    const { machine, log } = this.#deps;
    log.error({ err: error }, "consensus has stopped on this agent");
    if (error instanceof WriteFailed) this.#failure ??= error;
    machine.halt(reasonOf(error));
    this.#end();
    this.#deps.onTurn();
  }
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.message : String(error);
  if (error instanceof WriteFailed) {
    return `consensus on this agent waits for its disk (${cause}); it goes on by itself once the disk takes writes again`;
  }
  // A damaged store says itself what to do.
  if (error instanceof StoreDamaged) return `consensus has stopped on this agent: ${cause}`;
  return `consensus has stopped on this agent (${cause}); check its disk, then restart it`;
}

function streamOf(message: Message): StreamClass {
  if (message.type !== "append") return "control";
  let chars = 0;
  for (const entry of message.entries) chars += entry.data.length;
  return chars > CONTROL_APPEND_CHARS_MAX ? "bulk" : "control";
}
