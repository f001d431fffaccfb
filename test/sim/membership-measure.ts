import type { SwimMessage } from "#shared/membership/messages.ts";

import { World, type Faults, type Host } from "./membership-world.ts";

/** Delay of a message: a LAN of some racks, with an event loop at the other end. Milliseconds, at most. */
const DELAY_MS_MAX = 10;
const IDLE_MS = 30_000;
/** More than any crash may take to be known. */
const CRASH_MS_MAX = 90_000;

/** What one crash was like. All in milliseconds since the crash. */
export interface Crash {
  readonly suspectedMs: number;
  readonly firstDeadMs: number;
  readonly halfMs: number;
  readonly mostMs: number;
  readonly allMs: number;
}

export interface Measured {
  /** By one agent in a second without events, as JSON in frames. */
  readonly idleBytes: number;
  readonly idleMessages: number;
  /** A host that falls silent and keeps its connections: SIGSTOP, a cable pulled out. */
  readonly silent: Crash;
  /** A host whose connections close: kill -9. */
  readonly closed: Crash;
  /** Beliefs that a healthy host is dead, over all hosts. */
  readonly falseDeaths: number;
  /** Times that a healthy host was suspected by anybody. */
  readonly falseSuspicions: number;
}

/** A network that delays its messages and loses this part of them, and does nothing else. */
export function lossy(lossRatio: number, delayMsMax = DELAY_MS_MAX): Faults {
  return {
    lossRatio,
    delayMsMax,
    duplicateRatio: 0,
    partitions: false,
    crashes: false,
    restarts: false,
    stalls: false,
    leaves: false,
    noticeRatio: 0,
  };
}

/** An id as long as a real one. */
function idOf(i: number): string {
  return `12D3KooW${String(i).padStart(44, "x")}`;
}

/** A cluster at rest, then two hosts that crash one after the other. Everything follows from the seed. */
export function measure(options: {
  readonly seed: number;
  readonly size: number;
  readonly lossRatio: number;
}): Measured {
  const world = new World(options.seed, options.size, lossy(options.lossRatio), { idOf });
  world.acquaint();
  let [bytes, messages] = [0, 0];
  world.onSent = (message) => {
    bytes += frameBytes(message);
    messages += 1;
  };
  const wrongs = watchWrongs(world);
  world.runUntil(IDLE_MS);
  const agentSeconds = (options.size * IDLE_MS) / 1000;
  const [idleBytes, idleMessages] = [bytes / agentSeconds, messages / agentSeconds];
  const [first, second] = world.hosts as [Host, Host];
  const silent = watchCrash(world, first, wrongs);
  world.faults = { ...lossy(options.lossRatio), noticeRatio: 1 };
  const closed = watchCrash(world, second, wrongs);
  return { idleBytes, idleMessages, silent, closed, ...wrongs.counts };
}

interface Wrongs {
  readonly counts: { falseDeaths: number; falseSuspicions: number };
  look(host: Host, about: Host): void;
}

function watchWrongs(world: World): Wrongs {
  const suspected = new Set<string>();
  const wrongs: Wrongs = {
    counts: { falseDeaths: 0, falseSuspicions: 0 },
    look: (host, about) => {
      const view = host.swim.view(about.id);
      if (view === null || about.truth !== "up") return;
      if (view.status === "dead") wrongs.counts.falseDeaths += 1;
      if (view.status !== "suspect") return;
      suspected.add(`${about.id} ${view.incarnation}`);
      wrongs.counts.falseSuspicions = suspected.size;
    },
  };
  world.onChanged = (host, about) => wrongs.look(host, about);
  return wrongs;
}

/** Crashes the host and lets time pass until everybody knows. */
function watchCrash(world: World, victim: Host, wrongs: Wrongs): Crash {
  const startMs = world.nowMs + world.prng.below(1000); // At any moment between two probes.
  const others = world.hosts.filter(({ truth }) => truth === "up").length - 1;
  const knownMs: number[] = [];
  let suspectedMs = Number.NaN;
  world.onChanged = (host, about) => {
    wrongs.look(host, about);
    if (about !== victim) return;
    const status = world.statusAt(host, victim);
    const sinceMs = world.nowMs - startMs;
    if (status === "suspect" && Number.isNaN(suspectedMs)) suspectedMs = sinceMs;
    if (status === "dead") knownMs.push(sinceMs);
  };
  world.runUntil(startMs);
  world.crash(victim);
  while (knownMs.length < others && world.nowMs < startMs + CRASH_MS_MAX) world.runUntil(world.nowMs + 100);
  if (knownMs.length < others) throw new Error(`only ${knownMs.length} of ${others} know of the crash`);
  const at = (part: number): number => knownMs[Math.ceil(others * part) - 1] ?? Number.NaN;
  return {
    suspectedMs,
    firstDeadMs: knownMs[0] ?? Number.NaN,
    halfMs: at(0.5),
    mostMs: at(0.99),
    allMs: at(1),
  };
}

/** Length of a message on the wire, before encryption: as the driver frames it, with the mesh's envelope and header. */
function frameBytes(message: SwimMessage): number {
  const riding =
    message.type === "ping"
      ? { facts: 4_000_000_000 }
      : message.type === "ack"
        ? { clock: [1_800_000_000_000, 1_800_000_000_000] }
        : {};
  return 4 + JSON.stringify({ t: "swim", b: { message, ...riding } }).length;
}
