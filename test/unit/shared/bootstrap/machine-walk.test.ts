import { expect, test } from "vitest";

import {
  BOOTSTRAP_ACTIONS,
  isMember,
  isUnderWay,
  stepBootstrap,
  type BootstrapEvent,
  type BootstrapFailure,
  type BootstrapState,
} from "#shared/bootstrap/machine.ts";
import { Prng } from "#shared/lib/prng.ts";
import { epochMs } from "#shared/lib/time.ts";

const SEEDS = 200;
const STEPS = 200;
const AT = epochMs(1);
const FAILURE: BootstrapFailure = { code: "internal_error", details: { message: "no" } };

/** The machine with a disk that holds an incarnation or nothing, driven at random as the driver and its actions may drive it. */
class Walk {
  readonly random: Prng;
  state: BootstrapState = { name: "idle" };
  /** The incarnation whose record is on the disk. */
  disk: number | null = null;
  /** Whether the attempt under way has written what it is about. */
  written = false;
  /** What happened, for a failed seed. */
  readonly trace: string[] = [];
  readonly reached = new Set<string>();

  constructor(seed: number) {
    this.random = new Prng(seed);
  }

  step(): void {
    const { random, state } = this;
    const attempt = isUnderWay(state) ? state.attempt : 0;
    const what = random.below(10);
    if (what < 3) this.#ask();
    else if (what < 4) this.#send({ type: "restarted", incarnation: this.disk, at: AT });
    else if (what < 5 && state.name === "completed" && random.chance(0.2))
      this.#send({ type: "removed", reason: "gone", peer: "p" });
    else if (what < 6) this.#send({ type: "begun", attempt: attempt - 1 });
    else if (what < 7) this.#send({ type: "ended", attempt: attempt + 1, failure: FAILURE, at: AT });
    else if (state.name === "initiated") {
      // What lies there from an earlier attempt goes first; the process may die in between.
      if (!isMember(state)) this.disk = null;
      this.written = false;
      if (random.chance(0.8)) this.#send({ type: "begun", attempt });
    } else if (state.name === "running") this.#work();
  }

  #ask(): void {
    const { random, disk } = this;
    const action = random.pick(BOOTSTRAP_ACTIONS);
    this.#send({ type: "requested", action, at: AT, lost: random.chance(0.7) ? disk : null });
  }

  /** The action of a running attempt goes on: it writes, succeeds, or fails. */
  #work(): void {
    const { random, state } = this;
    if (state.name !== "running") return;
    const { action, attempt, member } = state;
    const recovers = action === "recover_cluster";
    const { written } = this;
    if (!written && random.chance(0.5)) {
      this.written = true;
      this.disk = recovers ? (member?.incarnation ?? 4) + 1 : 1;
      this.trace.push(`wrote ${this.disk}`);
      return;
    }
    const succeeds = written && (recovers || random.chance(0.6));
    // Whoever creates or joins takes back what it wrote, mostly.
    if (!succeeds && !recovers && random.chance(0.7)) this.disk = null;
    this.#send({ type: "ended", attempt, failure: succeeds ? null : FAILURE, at: AT });
  }

  #send(event: BootstrapEvent): void {
    const { state: before, disk: held } = this;
    const step = stepBootstrap(before, event);
    this.trace.push(`${before.name} ${JSON.stringify(event)}`);
    if ("refused" in step) return;
    this.state = step.state;
    if (event.type === "requested") this.written = false;
    if (step.effects.some(({ type }) => type === "forget")) this.disk = null;
    this.reached.add(`${event.type} ${before.name} ${step.state.name}`);
    this.#judge(before, held, event);
  }

  #judge(before: BootstrapState, held: number | null, event: BootstrapEvent): void {
    const { state, disk } = this;
    const recovered = before.name === "running" && before.action === "recover_cluster" && this.written;
    if (event.type !== "removed" && isMember(before)) {
      expect([disk, isMember(state)], "a member loses nothing").toEqual([held, true]);
    }
    if (recovered) expect(disk, "what was recovered stays").toBe(held);
    if (event.type === "restarted" && isUnderWay(before)) {
      const { action, attempt } = before;
      if (recovered) expect(state, "and is lived in").toMatchObject({ name: "completed", action, attempt });
      else if (isMember(before)) expect(state).toMatchObject({ name: "completed", recovery: { attempt } });
      else expect([state.name, disk], "an attempt that broke off is taken back").toEqual(["error", null]);
    }
    if (state.name === "completed") expect(disk, "completed with a record").not.toBeNull();
    if (event.type === "removed" && before.name === "completed") expect(state.name).toBe("idle");
    if (numberOf(before) > 0 && state.name !== "idle") {
      expect(numberOf(state), "attempts count up").toBeGreaterThanOrEqual(numberOf(before));
    }
    if (isUnderWay(state) && !isUnderWay(before)) {
      expect(numberOf(state), "each attempt has its own number").toBeGreaterThan(numberOf(before));
    }
  }
}

/** The newest attempt that the state knows of. */
function numberOf(state: BootstrapState): number {
  if (state.name === "idle") return 0;
  if (state.name === "completed") return Math.max(state.attempt, state.recovery?.attempt ?? 0);
  return state.attempt;
}

test("whatever happens in whatever order, no member and no recovery on the disk is lost, and attempts count up", () => {
  const reached = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const walk = new Walk(seed);
    try {
      for (let i = 0; i < STEPS; i += 1) walk.step();
    } catch (error) {
      throw new Error(`seed ${seed}:\n${walk.trace.slice(-12).join("\n")}`, { cause: error });
    }
    for (const one of walk.reached) reached.add(one);
  }
  // What is judged has really happened.
  for (const one of [
    "ended running completed",
    "ended running error",
    "requested completed initiated",
    "restarted running completed",
    "restarted running error",
    "restarted initiated completed",
    "restarted initiated error",
    "restarted error error",
    "removed completed idle",
  ]) {
    expect(reached).toContain(one);
  }
});
