import { setImmediate as turn } from "node:timers/promises";

import { describe, expect, test } from "vitest";

import type { Beat, Clock } from "#agent/ports/clock.ts";
import { ConsensusLoop } from "#agent/registry/loop.ts";
import { decodeMessage } from "#agent/registry/message-wire.ts";
import type { Message } from "#shared/consensus/messages.ts";
import { epochMs } from "#shared/lib/time.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

import { CountedCore, Replicas } from "./replicas.ts";

const TICK_MS = 100;
const ELECTION_TICKS = 12;

/** A voter among three that hears nobody, on a clock that a test moves by hand. */
class Follower {
  nowMs = 0;
  ticks = 0;
  /** When the beat is due, as the loop has asked for it. */
  dueMs = TICK_MS;
  readonly sent: Message[] = [];
  readonly loop: ConsensusLoop;
  #beat: (lateMs: number) => void = () => undefined;

  constructor() {
    const beat: Beat = {
      rest: (ms) => (this.dueMs = Math.ceil((this.nowMs + ms) / TICK_MS) * TICK_MS),
      rouse: () => (this.dueMs = Math.min(this.dueMs, (Math.floor(this.nowMs / TICK_MS) + 1) * TICK_MS)),
      [Symbol.dispose]: () => undefined,
    };
    const clock: Clock = {
      now: () => epochMs(this.nowMs),
      monotonicMs: () => this.nowMs,
      sleep: () => new Promise(() => undefined),
      every: (_ms, callback) => {
        this.#beat = callback;
        return beat;
      },
    };
    const core = new CountedCore(
      { id: "a", electionTicks: ELECTION_TICKS, heartbeatTicks: 4, random: () => 0 },
      {
        hardState: { term: 1, vote: null, commit: 1 },
        snapshot: { index: 1, term: 1, config: { voters: ["a", "b", "c"], outgoing: [], learners: [] } },
        entries: [],
        applied: 1,
      },
      () => (this.ticks += 1),
    );
    this.loop = new ConsensusLoop(
      {
        core,
        machine: { apply: () => undefined, halt: () => undefined, halted: null },
        store: openMemoryStores(new MemoryDisk()).log,
        transport: {
          send: (to, _kind, _topic, body) => {
            const message = decodeMessage("a", to, body);
            if (message !== null) this.sent.push(message);
            return true;
          },
        },
        clock,
        log: new RecordingLog(),
        install: () => Promise.resolve(),
        onReads: () => undefined,
        onTurn: () => undefined,
      },
      { hardState: { term: 1, vote: null, commit: 1 } },
    );
    this.loop.start(TICK_MS);
  }

  /** The next beat comes, so much later than it is due. */
  async beat(lateMs = 0): Promise<void> {
    this.nowMs = this.dueMs + lateMs;
    this.dueMs = (Math.floor(this.nowMs / TICK_MS) + 1) * TICK_MS;
    this.#beat(lateMs);
    for (let i = 0; i < 5; i += 1) await turn();
  }

  heartbeat(): Promise<void> {
    return this.hear({ type: "heartbeat", from: "b", to: "a", term: 1, commit: 1, round: 1 });
  }

  async hear(message: Message): Promise<void> {
    this.loop.step(message);
    for (let i = 0; i < 5; i += 1) await turn();
  }

  get campaigns(): boolean {
    return this.sent.some(({ type }) => type === "pre_vote");
  }
}

describe("ticks that bring nothing are not waited for", () => {
  test("one that hears nobody stands for election after as many ticks as ever, and wakes up twice for it", async () => {
    const follower = new Follower();
    let beats = 0;
    for (; !follower.campaigns; beats += 1) await follower.beat();
    expect(follower.nowMs).toBe(ELECTION_TICKS * TICK_MS);
    expect(follower.ticks).toBe(ELECTION_TICKS);
    expect(beats).toBeLessThanOrEqual(3);
  });

  test("one that hears its leader in between counts anew from there", async () => {
    const follower = new Follower();
    await follower.beat();
    follower.nowMs = 770;
    await follower.heartbeat();
    expect(follower.ticks).toBe(7);
    while (!follower.campaigns) await follower.beat();
    expect(follower.nowMs).toBe(700 + ELECTION_TICKS * TICK_MS);
  });

  test("one that comes to lead while it rests tells so every four ticks from then on", async () => {
    const follower = new Follower();
    await follower.beat();
    expect(follower.dueMs - follower.nowMs).toBeGreaterThan(4 * TICK_MS);
    follower.nowMs += 50;
    await follower.hear({ type: "timeout_now", from: "b", to: "a", term: 1 });
    await follower.hear({ type: "vote_answer", from: "b", to: "a", term: 2, granted: true });
    await follower.hear({
      type: "append_answer",
      from: "b",
      to: "a",
      term: 2,
      ok: true,
      index: 2,
      hintTerm: 0,
    });
    expect(follower.loop.status.role).toBe("leader");
    const heartbeats = (): number => follower.sent.filter(({ type }) => type === "heartbeat").length;
    const before = heartbeats();
    const endMs = follower.nowMs + 8 * TICK_MS;
    while (follower.dueMs <= endMs) await follower.beat();
    expect(heartbeats() - before).toBe(2 * 2);
  });

  test("one that stood still hears what waits for it before it stands for election", async () => {
    const follower = new Follower();
    await follower.beat();
    await follower.beat(5000);
    expect(follower.campaigns).toBe(false);
    await follower.heartbeat();
    const endMs = follower.nowMs + 1000;
    while (follower.dueMs < endMs) await follower.beat();
    expect(follower.campaigns).toBe(false);
    while (!follower.campaigns) await follower.beat();
  });
});

test("an idle cluster's cores get as many ticks as time passes, and its hosts are seldom woken", async () => {
  const replicas = await Replicas.form(3);
  await replicas.clock.advance(5000);
  const before = replicas.hosts.map(({ ticks }) => ticks);
  const fired = replicas.clock.fired;
  await replicas.clock.advance(60_000);
  for (const [i, { ticks }] of replicas.hosts.entries()) {
    expect(Math.abs(ticks - (before[i] ?? 0) - 600)).toBeLessThanOrEqual(ELECTION_TICKS);
  }
  // One that waited for each of its ticks would be woken twenty times a second.
  expect((replicas.clock.fired - fired) / replicas.hosts.length / 60).toBeLessThan(8);
});
