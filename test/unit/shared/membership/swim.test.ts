import { beforeEach, describe, expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import { BUCKETS, BucketHashes, bucketOf } from "#shared/membership/bucket-hashes.ts";
import type { Rumour, SwimBody, SwimMessage } from "#shared/membership/messages.ts";
import { Swim, TICK_MS, type SwimEffect, type SwimEvent } from "#shared/membership/swim.ts";

/** One agent called `me`, whose messages are looked at and whose peers are this test. */
class Bench {
  readonly swim: Swim;
  nowMs = 0;
  sent: { readonly to: string; readonly message: SwimMessage }[] = [];
  changed: string[] = [];

  constructor(peers: readonly string[], seed = 1) {
    const prng = new Prng(seed);
    this.swim = new Swim({ self: "me", incarnation: 100, random: () => prng.next() });
    this.step({ type: "members", peers: ["me", ...peers] });
  }

  step(event: SwimEvent): void {
    const { restMs } = this.swim;
    const early = event.type === "tick" && event.lateMs === 0 && restMs > TICK_MS;
    const effects: readonly SwimEffect[] = this.swim.step(event);
    // A driver does not wake up for such a tick.
    if (early && effects.length > 0) throw new Error(`a tick brought something ${restMs} ms early`);
    for (const effect of effects) {
      if (effect.type === "send") this.sent.push(effect);
      else this.changed.push(effect.peer);
    }
  }

  /** Lets time pass tick by tick. */
  pass(ms: number): void {
    for (const end = this.nowMs + ms; this.nowMs < end;) {
      this.nowMs += TICK_MS;
      this.step({ type: "tick", nowMs: this.nowMs, wallMs: this.nowMs, lateMs: 0 });
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

  test("silent for 250 ms: it is asked once more, and a last time together with helpers", () => {
    bench.pass(TICK_MS);
    const [first] = bench.take("ping");
    bench.pass(200);
    expect(bench.take("ping")).toEqual([]);
    bench.pass(TICK_MS);
    expect(bench.take("ping")).toEqual([first]);
    bench.pass(600);
    expect(bench.take("ping")).toEqual([first]);
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
    bench.pass(200);
    expect(bench.take("ping").filter(({ to }) => to === "c")).toHaveLength(2);
    expect(bench.take("nack")).toEqual([]);
    bench.pass(200);
    expect(bench.take("nack")).toMatchObject([{ to: "a", message: { type: "nack", seq: 78 } }]);
    bench.pass(2000);
    expect(bench.take("nack")).toEqual([]);
  });

  test("a stranger is neither pinged for others nor listened to", () => {
    bench.hear("a", { type: "ping_req", seq: 77, target: "stranger" });
    bench.hear("stranger", { type: "ping", seq: 5, table: 0 });
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
    expect(waits).toEqual([22_700, 10_800, 3800]);
  });

  test("this agent refutes what is said of it, above the incarnation it was said of", () => {
    bench.hear("a", gossip, [suspect("me", "a", 100)]);
    expect(bench.swim.incarnation).toBe(101);
    bench.hear("a", gossip, [suspect("me", "c", 100)]);
    expect(bench.swim.incarnation).toBe(101);
    bench.hear("a", gossip, [{ peer: "me", status: "dead", incarnation: 500 }]);
    expect(bench.swim.incarnation).toBe(501);
    bench.pass(200);
    const told = bench.take("gossip").flatMap(({ message }) => message.rumours ?? []);
    expect(told).toContainEqual({ peer: "me", status: "alive", incarnation: 501 });
  });

  test("one that left does not refute, and stays left", () => {
    bench.step({ type: "leave" });
    bench.hear("a", gossip, [suspect("me", "a", 100)]);
    expect(bench.swim.view("me")).toMatchObject({ status: "left", incarnation: 100 });
    bench.hear("a", gossip, [{ peer: "b", status: "left", incarnation: 10 }]);
    bench.hear("b", gossip);
    bench.hear("a", gossip, [suspect("b", "a"), { peer: "b", status: "dead", incarnation: 10 }]);
    expect(bench.status("b")).toBe("left");
  });

  test("one that is not let go takes its goodbye back, for those who heard it, too", () => {
    bench.step({ type: "leave" });
    bench.pass(200);
    bench.sent = [];
    bench.step({ type: "stay" });
    expect(bench.swim.view("me")).toMatchObject({ status: "alive", incarnation: 101 });
    bench.pass(200);
    const told = bench.take("gossip").flatMap(({ message }) => message.rumours ?? []);
    expect(told).toContainEqual({ peer: "me", status: "alive", incarnation: 101 });
    bench.hear("a", gossip, [suspect("me", "a", 101)]);
    expect(bench.swim.incarnation).toBe(102);
  });

  test("one that left and belongs to no cluster may join anew: it outranks its goodbye", () => {
    bench.step({ type: "leave" });
    bench.step({ type: "members", peers: [] });
    bench.step({ type: "members", peers: ["me", "a"] });
    expect(bench.swim.view("me")).toMatchObject({ status: "alive", incarnation: 101 });
    bench.hear("a", gossip, [{ peer: "me", status: "left", incarnation: 100 }]);
    expect(bench.swim.incarnation).toBe(101);
  });

  test("buddy: whoever is suspected hears it with any message (Lifeguard, section IV-C)", () => {
    bench.hear("a", gossip, [suspect("b", "a")]);
    bench.pass(3000); // The rumour itself is told and gone.
    bench.sent = [];
    bench.hear("b", { type: "ping", seq: 9, table: 0 });
    const [ack] = bench.take("ack");
    expect(ack?.message.rumours).toContainEqual(suspect("b", "a"));
  });

  test("a higher incarnation in any message ends suspicion and death", () => {
    bench.hear("a", gossip, [{ peer: "b", status: "dead", incarnation: 10 }]);
    expect(bench.status("b")).toBe("dead");
    bench.hear("b", { type: "ping", seq: 9, table: 0 }, [], 2000);
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
    bench.passWithAnswers(1800, ["a", "c", "d", "e"]);
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

  test("one lost while a probe of it is under way: helpers are asked at once", () => {
    bench.pass(TICK_MS);
    const target = bench.take("ping")[0]?.to ?? "";
    bench.step({ type: "disconnected", peer: target, nowMs: bench.nowMs });
    expect(bench.take("ping_req")).toHaveLength(3);
    expect(bench.take("ping")).toEqual([]);
    bench.pass(500);
    expect(bench.take("ping_req")).toEqual([]);
  });

  test("one lost while it is pinged for somebody else: that one is told at once, and once only", () => {
    bench.hear("a", { type: "ping_req", seq: 77, target: "b" });
    bench.step({ type: "disconnected", peer: "b", nowMs: bench.nowMs });
    expect(bench.take("nack")).toMatchObject([{ to: "a", message: { seq: 77 } }]);
    bench.passWithAnswers(1000, ["a", "c", "d", "e"]);
    expect(bench.take("nack")).toEqual([]);
  });

  test("one that comes back after death: tables are compared, at most once a second", () => {
    for (const peer of ["b", "c"]) {
      bench.hear("a", gossip, [{ peer, status: "dead", incarnation: 10 }]);
    }
    bench.sent = [];
    bench.pass(TICK_MS);
    bench.step({ type: "connected", peer: "b", nowMs: bench.nowMs });
    bench.step({ type: "connected", peer: "c", nowMs: bench.nowMs });
    expect(bench.take("compare").map(({ to }) => to)).toEqual(["b"]);
    expect(bench.take("ping").map(({ to }) => to)).toEqual(expect.arrayContaining(["b", "c"]));
    bench.pass(1000);
    bench.step({ type: "connected", peer: "c", nowMs: bench.nowMs });
    expect(bench.take("compare").map(({ to }) => to)).toEqual(["c"]);
  });
});

describe("itself", () => {
  test("a stall of its own postpones every verdict, and lowers its own health", () => {
    bench.passWithAnswers(3000, ["a", "b", "c", "d", "e"]);
    bench.hear("a", gossip, [suspect("b", "a"), suspect("b", "c"), suspect("b", "d")]);
    bench.passWithAnswers(3000, ["a", "b", "c", "d", "e"]);
    const before = bench.swim.health;
    bench.nowMs += 60_000;
    bench.step({ type: "tick", nowMs: bench.nowMs, wallMs: bench.nowMs, lateMs: 60_000 - TICK_MS });
    expect(bench.swim.health).toBe(before + 1);
    expect(["a", "b", "c", "d", "e"].map((peer) => bench.status(peer))).not.toContain("dead");
    bench.hear("b", gossip, [], 11);
    expect(bench.status("b")).toBe("alive");
  });

  test("helpers that are mute lower its health, so that it waits longer; answers raise it again", () => {
    bench.pass(1100);
    expect(bench.swim.health).toBe(3);
    const asked = new Set(bench.take("ping").map(({ to }) => to));
    bench.pass(3900);
    for (const { to } of bench.take("ping")) expect(asked).toContain(to);
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
    const about = bench.sent.flatMap(({ message }) => (message.rumours ?? []).map(({ peer }) => peer));
    expect(about).not.toContain("b");
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "one that stood still when a timer came late gives what is under way that much longer (%i00 ms)",
    (late) => {
      bench.pass(TICK_MS);
      const target = bench.take("ping")[0]?.to ?? "";
      bench.nowMs += late * 100;
      bench.step({ type: "tick", nowMs: bench.nowMs, wallMs: bench.nowMs, lateMs: (late - 1) * 100 });
      bench.pass(800);
      expect(bench.status(target)).toBe("alive");
      bench.pass(2 * TICK_MS);
      expect(bench.status(target)).toBe("suspect");
    },
  );
});

describe("comparing tables", () => {
  const ALL = Array.from({ length: BUCKETS }, (_, i) => i);
  const ping = (table: number) => ({ type: "ping", seq: 9, table }) as const;
  const ownTable = (): number => {
    bench.hear("a", { type: "ping_req", seq: 1, target: "e" });
    const [sent] = bench.take("ping");
    return sent?.message.type === "ping" ? sent.message.table : -1;
  };

  test("while probes show the same table nothing but probes is sent", () => {
    for (const peer of ["a", "b", "c", "d", "e"]) bench.hear(peer, gossip);
    bench.passWithAnswers(5000, ["a", "b", "c", "d", "e"]);
    const table = ownTable();
    bench.passWithAnswers(1000, ["a", "b", "c", "d", "e"]);
    bench.sent = [];
    for (let i = 0; i < 60; i += 1) {
      bench.hear("a", ping(table));
      bench.passWithAnswers(1000, ["a", "b", "c", "d", "e"]);
    }
    expect(new Set(bench.sent.map(({ message }) => message.type))).toEqual(new Set(["ack"]));
    expect(bench.sent.every(({ message }) => message.rumours === undefined)).toBe(true);
  });

  test("a difference that lasts for two seconds is looked into, with the one who showed it last", () => {
    bench.hear("a", ping(1));
    bench.passWithAnswers(1000, ["a", "b", "c", "d", "e"]);
    bench.hear("b", ping(1));
    expect(bench.take("compare")).toEqual([]);
    bench.passWithAnswers(1000, ["a", "b", "c", "d", "e"]);
    bench.hear("c", ping(1));
    expect(bench.take("compare").map(({ to }) => to)).toEqual(["c"]);
  });

  test("whoever is asked tells all that it holds in the parts that differ, and nothing else", () => {
    for (const peer of ["a", "b", "c"]) bench.hear(peer, gossip);
    bench.sent = [];
    // An empty table but for `a`, which is held alike.
    const theirs = new BucketHashes();
    theirs.set("a", "alive 10");
    bench.hear("d", { type: "compare", table: theirs.buckets });
    const [sync, ...more] = bench.take("sync");
    expect([sync?.to, more]).toEqual(["d", []]);
    if (sync?.message.type !== "sync") throw new Error("no answer");
    expect(new Set(sync.message.buckets)).toEqual(new Set(["b", "c", "d", "me"].map(bucketOf)));
    expect(sync.message.members).toHaveLength(4);
    expect(sync.message.members).toEqual(
      expect.arrayContaining([alive("b", 10), alive("c", 10), alive("d", 10), alive("me", 100)]),
    );
    theirs.set("b", "alive 10");
    theirs.set("c", "alive 10");
    theirs.set("d", "alive 10");
    theirs.set("me", "alive 100");
    bench.hear("d", { type: "compare", table: theirs.buckets });
    expect(bench.take("sync")).toEqual([]);
  });

  test("whoever is told takes it in and answers, once, with what it holds otherwise", () => {
    bench.hear("c", gossip);
    bench.hear("a", gossip, [suspect("b", "c")]);
    bench.take("gossip");
    const members = [alive("a", 10), alive("c", 50), alive("me", 100), alive("b", 10)];
    bench.hear("a", { type: "sync", buckets: ALL, members });
    expect(bench.swim.view("c")).toMatchObject({ incarnation: 50 });
    const [reply, ...more] = bench.take("sync");
    expect(more).toEqual([]);
    expect(reply).toMatchObject({ to: "a", message: { buckets: [], members: [suspect("b", "c")] } });
    bench.hear("a", { type: "sync", buckets: [], members });
    expect(bench.take("sync")).toEqual([]);
  });
});

describe("verifying a suspicion of others", () => {
  test("a few try the suspect at once, about five of all members, whatever their number", () => {
    const tried = [20, 200].map((size) => {
      let count = 0;
      for (let seed = 1; seed <= 400; seed += 1) {
        bench = new Bench(
          Array.from({ length: size - 1 }, (_, i) => `p${i}`),
          seed,
        );
        bench.hear("p0", gossip, [suspect("p1", "p0")]);
        count += bench.take("ping").filter(({ to }) => to === "p1").length;
      }
      return (count / 400) * size;
    });
    for (const verifiers of tried) expect(Math.abs(verifiers - 5)).toBeLessThan(2.5);
  });

  test("in a small cluster everybody does; one that finds it silent accuses it too", () => {
    bench.hear("a", gossip, [suspect("b", "a")]);
    expect(bench.take("ping").map(({ to }) => to)).toEqual(["b"]);
    bench.passWithAnswers(1300, ["a", "c", "d", "e"]);
    const told = bench.take("gossip").flatMap(({ message }) => message.rumours ?? []);
    expect(told).toContainEqual(suspect("b", "me"));
  });
});
