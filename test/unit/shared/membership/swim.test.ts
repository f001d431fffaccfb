import { beforeEach, describe, expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import type { Rumour, SwimBody, SwimMessage } from "#shared/membership/messages.ts";
import { Swim, TICK_MS, type SwimEffect, type SwimEvent } from "#shared/membership/swim.ts";

/** One agent called `me`, whose messages are looked at and whose peers are this test. */
class Bench {
  readonly swim: Swim;
  nowMs = 0;
  sent: { readonly to: string; readonly message: SwimMessage }[] = [];
  changed: string[] = [];

  constructor(peers: readonly string[]) {
    const prng = new Prng(1);
    this.swim = new Swim({ self: "me", incarnation: 100, random: () => prng.next() });
    this.step({ type: "members", peers: ["me", ...peers] });
  }

  step(event: SwimEvent): void {
    const effects: readonly SwimEffect[] = this.swim.step(event);
    for (const effect of effects) {
      if (effect.type === "send") this.sent.push(effect);
      else this.changed.push(effect.peer);
    }
  }

  /** Lets time pass tick by tick. */
  pass(ms: number): void {
    for (const end = this.nowMs + ms; this.nowMs < end;) {
      this.nowMs += TICK_MS;
      this.step({ type: "tick", nowMs: this.nowMs });
    }
  }

  hear(from: string, body: SwimBody, rumours: Rumour[] = [], incarnation = 10): void {
    const message: SwimMessage = { ...body, incarnation, rumours };
    this.step({ type: "received", from, message, nowMs: this.nowMs });
  }

  take(type: SwimMessage["type"]): { readonly to: string; readonly message: SwimMessage }[] {
    const taken = this.sent.filter(({ message }) => message.type === type);
    this.sent = this.sent.filter(({ message }) => message.type !== type);
    return taken;
  }

  /** Answers every probe of these, for that long. */
  passWithAnswers(ms: number, answering: readonly string[]): void {
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      this.pass(TICK_MS);
      for (const { to, message } of this.take("ping")) {
        if (message.type === "ping" && answering.includes(to))
          this.hear(to, { type: "ack", seq: message.seq });
      }
    }
  }

  status(peer: string): string | undefined {
    return this.swim.view(peer)?.status;
  }
}

const gossip = { type: "gossip" } as const;
const suspect = (peer: string, by: string, incarnation = 10): Rumour => ({
  peer,
  status: "suspect",
  incarnation,
  by,
});
const alive = (peer: string, incarnation: number): Rumour => ({
  peer,
  status: "alive",
  incarnation,
  by: peer,
});

let bench: Bench;
beforeEach(() => {
  bench = new Bench(["a", "b", "c", "d", "e"]);
});

describe("probes (SWIM, sections 4.1 and 4.3)", () => {
  test("one member per second, each once per round", () => {
    const rounds: string[] = [];
    for (let tick = 0; tick < 100; tick += 1) {
      bench.pass(TICK_MS);
      for (const { to, message } of bench.take("ping")) {
        rounds.push(to);
        if (message.type === "ping") bench.hear(to, { type: "ack", seq: message.seq });
      }
    }
    expect(rounds).toHaveLength(10);
    expect(rounds.slice(0, 5).toSorted()).toEqual(["a", "b", "c", "d", "e"]);
    expect(rounds.slice(5).toSorted()).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("silent for 500 ms: three others are asked; silent for 1 s: suspected", () => {
    bench.pass(TICK_MS);
    const [ping] = bench.take("ping");
    const target = ping?.to ?? "";
    bench.pass(400);
    expect(bench.take("ping_req")).toEqual([]);
    bench.pass(100);
    const asked = bench.take("ping_req");
    expect(asked).toHaveLength(3);
    expect(new Set(asked.map(({ to }) => to)).size).toBe(3);
    expect(asked.map(({ to }) => to)).not.toContain(target);
    expect(bench.status(target)).toBe("alive");
    bench.pass(500);
    expect(bench.status(target)).toBe("suspect");
    expect(bench.changed).toContain(target);
  });

  test("an answer through a helper is an answer; one from somebody who was not asked is none", () => {
    bench.pass(TICK_MS);
    const [ping] = bench.take("ping");
    const target = ping?.to ?? "";
    bench.pass(500);
    const [asked] = bench.take("ping_req");
    if (asked?.message.type !== "ping_req") throw new Error("nobody was asked");
    bench.hear(asked.to, { type: "ack", seq: asked.message.seq });
    bench.pass(500);
    expect(bench.status(target)).toBe("alive");
    expect(bench.swim.view(target)?.heardMs).toBe(600);

    bench = new Bench(["a", "b"]);
    bench.pass(TICK_MS);
    const [second] = bench.take("ping");
    if (second?.message.type !== "ping") throw new Error("nobody was probed");
    bench.hear(second.to === "a" ? "b" : "a", { type: "ack", seq: second.message.seq });
    bench.pass(1000);
    expect(bench.status(second.to)).toBe("suspect");
  });

  test("a probe from before a member first spoke, or refuted, gives no verdict", () => {
    bench.pass(TICK_MS);
    const target = bench.take("ping")[0]?.to ?? "";
    bench.pass(900);
    bench.hear(target, gossip);
    bench.pass(TICK_MS);
    expect(bench.status(target)).toBe("alive");
  });

  test("for others: the ping is passed on, the ack comes back, a nack when there is none in time", () => {
    bench.hear("a", { type: "ping_req", seq: 77, target: "b" });
    const [ping] = bench.take("ping");
    expect(ping?.to).toBe("b");
    if (ping?.message.type !== "ping") throw new Error("no ping");
    bench.hear("b", { type: "ack", seq: ping.message.seq });
    expect(bench.take("ack")).toMatchObject([{ to: "a", message: { type: "ack", seq: 77 } }]);

    bench.hear("a", { type: "ping_req", seq: 78, target: "c" });
    bench.pass(400);
    expect(bench.take("nack")).toMatchObject([{ to: "a", message: { type: "nack", seq: 78 } }]);
    bench.pass(2000);
    expect(bench.take("nack")).toEqual([]);
  });

  test("a stranger is neither pinged for others nor listened to", () => {
    bench.hear("a", { type: "ping_req", seq: 77, target: "stranger" });
    bench.hear("stranger", { type: "ping", seq: 5 });
    bench.hear("a", gossip, [alive("stranger", 5)]);
    expect(bench.sent).toEqual([]);
    expect(bench.swim.view("stranger")).toBeNull();
  });
});

describe("suspicion and refutation (SWIM, section 4.2)", () => {
  test("a suspect that speaks at a higher incarnation is alive again; at the same one it is not", () => {
    bench.hear("a", gossip, [suspect("b", "a")]);
    bench.hear("b", gossip, [], 10);
    expect(bench.status("b")).toBe("suspect");
    bench.hear("c", gossip, [alive("b", 11)]);
    expect(bench.status("b")).toBe("alive");
  });

  test("accusers that are independent shorten the wait; hearsay does not", () => {
    // It answers at its old incarnation: this agent does not accuse it, nor is anything refuted.
    const waits = [[], ["c"], ["c", "d"]].map((further) => {
      bench = new Bench(["a", "b", "c", "d", "e"]);
      bench.hear("b", gossip);
      bench.hear("a", gossip, [suspect("b", "a")]);
      for (const by of further)
        bench.hear("e", gossip, [suspect("b", by), suspect("b", by), suspect("b", "a")]);
      while (bench.status("b") !== "dead") bench.passWithAnswers(TICK_MS, ["a", "b", "c", "d", "e"]);
      return bench.nowMs;
    });
    expect(waits).toEqual([24_000, 11_400, 4000]);
  });

  test("this agent refutes what is said of it, above the incarnation it was said of", () => {
    bench.hear("a", gossip, [suspect("me", "a", 100)]);
    expect(bench.swim.incarnation).toBe(101);
    bench.hear("a", gossip, [suspect("me", "c", 100)]);
    expect(bench.swim.incarnation).toBe(101);
    bench.hear("a", gossip, [{ peer: "me", status: "dead", incarnation: 500, by: "c" }]);
    expect(bench.swim.incarnation).toBe(501);
    bench.pass(200);
    const told = bench.take("gossip").flatMap(({ message }) => message.rumours);
    expect(told).toContainEqual({ peer: "me", status: "alive", incarnation: 501, by: "me" });
  });

  test("one that left does not refute, and stays left", () => {
    bench.step({ type: "leave" });
    bench.hear("a", gossip, [suspect("me", "a", 100)]);
    expect(bench.swim.view("me")).toMatchObject({ status: "left", incarnation: 100 });
    bench.hear("a", gossip, [{ peer: "b", status: "left", incarnation: 10, by: "b" }]);
    bench.hear("b", gossip);
    bench.hear("a", gossip, [suspect("b", "a"), { peer: "b", status: "dead", incarnation: 10, by: "a" }]);
    expect(bench.status("b")).toBe("left");
  });

  test("one that left and belongs to no cluster may join anew: it outranks its goodbye", () => {
    bench.step({ type: "leave" });
    bench.step({ type: "members", peers: [] });
    bench.step({ type: "members", peers: ["me", "a"] });
    expect(bench.swim.view("me")).toMatchObject({ status: "alive", incarnation: 101 });
    bench.hear("a", gossip, [{ peer: "me", status: "left", incarnation: 100, by: "me" }]);
    expect(bench.swim.incarnation).toBe(101);
  });

  test("buddy: whoever is suspected hears it with any message (Lifeguard, section IV-C)", () => {
    bench.hear("a", gossip, [suspect("b", "a")]);
    bench.pass(3000); // The rumour itself is told and gone.
    bench.sent = [];
    bench.hear("b", { type: "ping", seq: 9 });
    const [ack] = bench.take("ack");
    expect(ack?.message.rumours).toContainEqual(suspect("b", "a"));
  });

  test("a higher incarnation in any message ends suspicion and death", () => {
    bench.hear("a", gossip, [{ peer: "b", status: "dead", incarnation: 10, by: "a" }]);
    expect(bench.status("b")).toBe("dead");
    bench.hear("b", { type: "ping", seq: 9 }, [], 2000);
    expect(bench.swim.view("b")).toMatchObject({ status: "alive", incarnation: 2000 });
  });
});

describe("connections", () => {
  const silent = (): void => {
    for (const { to, message } of bench.take("ping_req")) {
      if (message.type === "ping_req") bench.hear(to, { type: "nack", seq: message.seq });
    }
  };

  test("one that is lost starts a probe at once; if no helper reaches the member, it is suspected at once, not dead", () => {
    bench.step({ type: "disconnected", peer: "b", nowMs: 0 });
    expect(bench.take("ping").map(({ to }) => to)).toEqual(["b"]);
    silent();
    expect(bench.status("b")).toBe("suspect");
    const accusers = [suspect("b", "c", 0), suspect("b", "d", 0)];
    bench.hear("c", gossip, accusers);
    bench.passWithAnswers(1900, ["a", "c", "d", "e"]);
    expect(bench.status("b")).toBe("suspect");
    bench.passWithAnswers(200, ["a", "c", "d", "e"]);
    expect(bench.status("b")).toBe("dead");
  });

  test("one lost to this agent only: a helper's answer clears the member", () => {
    bench.step({ type: "disconnected", peer: "b", nowMs: 0 });
    const [first] = bench.take("ping_req");
    if (first?.message.type !== "ping_req") throw new Error("nobody was asked");
    bench.hear(first.to, { type: "ack", seq: first.message.seq });
    bench.passWithAnswers(1000, ["a", "c", "d", "e"]);
    expect(bench.status("b")).toBe("alive");
  });

  test("helpers are not chosen among those that are lost too; a lost target is answered for at once", () => {
    for (const peer of ["b", "c", "d"]) bench.step({ type: "disconnected", peer, nowMs: 0 });
    bench.take("ping_req");
    bench.step({ type: "disconnected", peer: "e", nowMs: 0 });
    expect(bench.take("ping_req").map(({ to }) => to)).toEqual(["a"]);
    bench.hear("a", { type: "ping_req", seq: 4, target: "b" });
    expect(bench.take("nack")).toMatchObject([{ to: "a", message: { seq: 4 } }]);
  });

  test("one that comes back after death: full exchange, at most one a second", () => {
    for (const peer of ["b", "c"]) {
      bench.hear("a", gossip, [{ peer, status: "dead", incarnation: 10, by: "a" }]);
    }
    bench.sent = [];
    bench.pass(TICK_MS);
    bench.step({ type: "connected", peer: "b", nowMs: bench.nowMs });
    bench.step({ type: "connected", peer: "c", nowMs: bench.nowMs });
    const [sync, ...more] = bench.take("sync");
    expect(more).toEqual([]);
    expect(sync).toMatchObject({ to: "b", message: { wants_reply: true } });
    expect(bench.take("ping").map(({ to }) => to)).toEqual(expect.arrayContaining(["b", "c"]));
  });
});

describe("itself", () => {
  test("a stall of its own postpones every verdict, and lowers its own health", () => {
    bench.passWithAnswers(3000, ["a", "b", "c", "d", "e"]);
    bench.hear("a", gossip, [suspect("b", "a"), suspect("b", "c"), suspect("b", "d")]);
    bench.passWithAnswers(3000, ["a", "b", "c", "d", "e"]);
    const before = bench.swim.health;
    bench.nowMs += 60_000;
    bench.step({ type: "tick", nowMs: bench.nowMs });
    expect(bench.swim.health).toBe(before + 1);
    expect(["a", "b", "c", "d", "e"].map((peer) => bench.status(peer))).not.toContain("dead");
    bench.hear("b", gossip, [], 11);
    expect(bench.status("b")).toBe("alive");
  });

  test("helpers that are mute lower its health, so that it waits longer; answers raise it again", () => {
    bench.pass(1100);
    expect(bench.swim.health).toBe(3);
    bench.sent = [];
    bench.pass(3900);
    expect(bench.take("ping")).toEqual([]);
    bench.pass(TICK_MS);
    expect(bench.take("ping")).toHaveLength(1);
    bench.passWithAnswers(60_000, ["a", "b", "c", "d", "e"]);
    expect(bench.swim.health).toBe(0);
  });

  test("a member that is no more is forgotten, one that comes is unheard of", () => {
    bench.hear("a", gossip, [suspect("b", "a")]);
    bench.step({ type: "members", peers: ["me", "a", "z"] });
    expect(bench.swim.view("b")).toBeNull();
    expect(bench.swim.view("z")).toMatchObject({ status: "alive", incarnation: 0, heardMs: null });
    bench.sent = [];
    bench.pass(500);
    const about = bench.sent.flatMap(({ message }) => message.rumours.map(({ peer }) => peer));
    expect(about).not.toContain("b");
  });

  test("full exchange: answered once, with what is held and whose word it is", () => {
    bench.hear("a", gossip, [suspect("b", "c")]);
    bench.take("gossip");
    const members = [alive("c", 50), alive("me", 100)];
    bench.hear("a", { type: "sync", wants_reply: true, members });
    const [reply] = bench.take("sync");
    expect(reply).toMatchObject({ to: "a", message: { wants_reply: false } });
    if (reply?.message.type !== "sync") throw new Error("no reply");
    expect(reply.message.members).toEqual(
      expect.arrayContaining([alive("me", 100), suspect("b", "c"), alive("a", 10), alive("c", 50)]),
    );
    expect(reply.message.members).toHaveLength(4);
    bench.hear("a", { type: "sync", wants_reply: false, members });
    expect(bench.take("sync")).toEqual([]);
  });
});
