import * as fc from "fast-check";
import { expect, test } from "vitest";

import { epochMs } from "#shared/lib/time.ts";
import { planVoters, type VoterPlan, type VoterView } from "#shared/placement/voters.ts";

// Goal: from any view that a leader may have, planning never endangers the majority and comes to rest at what the rules say.
// Method: draw a cluster and a healthy past; then let chance kill, heal, fail, add and remove members while the leader's plans are
// carried out step by step, and other hosts take the places of those that are lost. The oracle below counts by itself and calls nothing of the code under test.

const ZONES = ["x", "y", "z", null] as const;

interface Host {
  readonly peer: string;
  readonly uid: number;
  readonly zone: string | null;
  joining: boolean;
  /** It joined in the place of another one. */
  heir: boolean;
  present: boolean;
  failed: boolean;
  /** `silent`: does not answer, but not for long enough to count as dead. */
  life: "alive" | "silent" | "dead";
  leaving: boolean;
}

interface Move {
  readonly host: number;
  readonly what:
    | "elect"
    | "die"
    | "fall_silent"
    | "come_back"
    | "fail"
    | "recover"
    | "remove"
    | "join"
    | "leave"
    | "replace";
}

const arbitraryHost = fc.record({ zone: fc.constantFrom(...ZONES), joining: fc.boolean() });
const arbitraryMove: fc.Arbitrary<Move> = fc.record({
  host: fc.nat({ max: 8 }),
  what: fc.constantFrom(
    "elect",
    "die",
    "fall_silent",
    "come_back",
    "fail",
    "recover",
    "remove",
    "join",
    "leave",
    "replace",
  ),
});

class World {
  readonly hosts: Host[];
  voters: string[] = ["h1"];
  learners: string[] = [];
  poolSize: number;
  youngestLeads = false;

  constructor(hosts: readonly { zone: string | null; joining: boolean }[], poolSize: number) {
    this.poolSize = poolSize;
    this.hosts = hosts.map(({ zone, joining }, i) => ({
      peer: `h${i + 1}`,
      uid: i + 1,
      zone,
      joining: joining && i > 0,
      heir: false,
      present: true,
      failed: false,
      life: "alive",
      leaving: false,
    }));
  }

  /** Whoever leads is a voter that answers: here the oldest one, or the youngest. */
  get leader(): Host | undefined {
    const able = this.hosts.filter(({ peer, life }) => this.voters.includes(peer) && life === "alive");
    return this.youngestLeads ? able.at(-1) : able[0];
  }

  hasMajority(voters: readonly string[]): boolean {
    const answering = voters.filter(
      (peer) => this.hosts.find((host) => host.peer === peer)?.life === "alive",
    );
    return 2 * answering.length > voters.length;
  }

  view(leader: Host): VoterView {
    const here = this.hosts.filter(({ present }) => present);
    const match = (peer: string) => [peer, { match: 1000, active: this.#life(peer) === "alive" }] as const;
    return {
      self: leader.peer,
      members: here.map(({ peer, uid, zone, joining, heir, failed }) => ({
        peer,
        uid,
        rack_id: zone,
        status: joining ? ("joining" as const) : ("active" as const),
        failedAt: failed ? epochMs(1) : null,
        ...(heir ? { tookOverAt: epochMs(1) } : {}),
      })),
      config: { voters: this.voters, outgoing: [], learners: this.learners },
      alive: new Set(here.filter(({ life }) => life === "alive").map(({ peer }) => peer)),
      dead: new Set(this.hosts.filter(({ life }) => life === "dead").map(({ peer }) => peer)),
      leaving: new Set(this.hosts.filter(({ leaving }) => leaving).map(({ peer }) => peer)),
      poolSize: this.poolSize,
      progress: new Map([...this.voters, ...this.learners].map(match)),
      lastIndex: 1000,
    };
  }

  happen({ host: number, what }: Move): void {
    const host = this.hosts[number % this.hosts.length] as Host;
    const last = this.hosts.filter(({ present }) => present).length === 1;
    if (what === "elect") this.youngestLeads = !this.youngestLeads;
    if (what === "die") host.life = "dead";
    if (what === "fall_silent" && host.life === "alive") host.life = "silent";
    if (what === "come_back") host.life = "alive";
    if (what === "fail") host.failed = true;
    if (what === "recover") host.failed = false;
    if (what === "join") host.joining = false;
    if (what === "leave") host.leaving = !host.leaving;
    if (what === "remove" && !last) host.present = false;
    if (what === "replace" && host.present && host.life === "dead" && this.hosts.length < 15) {
      host.present = false;
      const peer = `h${this.hosts.length + 1}`;
      this.hosts.push({
        ...host,
        peer,
        joining: true,
        heir: true,
        present: true,
        failed: false,
        life: "alive",
      });
    }
  }

  /** Votes of nobody, and how many of them somebody is coming for. */
  get vacant(): readonly string[] {
    return this.voters.filter((peer) => this.hosts.some((host) => host.peer === peer && !host.present));
  }

  get coming(): number {
    return this.hosts.filter(
      ({ peer, present, joining, heir }) => present && joining && heir && !this.voters.includes(peer),
    ).length;
  }

  /** How many more of these voters may be lost; nothing is told of those that are on their way out. */
  spare(voters: readonly string[], leader: Host): number {
    const well = this.hosts.filter(
      (host) =>
        voters.includes(host.peer) &&
        host.present &&
        host.life !== "dead" &&
        (!host.failed || host === leader),
    );
    return well.length - (voters.length + 1) / 2;
  }

  #life(peer: string): Host["life"] | undefined {
    return this.hosts.find((host) => host.peer === peer)?.life;
  }
}

/** One plan is sound: by counting, whatever the planner thought. */
function judge(world: World, leader: Host, plan: VoterPlan): void {
  expect(world.hasMajority(world.voters)).toBe(true);
  expect(world.hasMajority(plan.voters)).toBe(true);
  const staysOdd = plan.voters.length % 2 === 1;
  expect(staysOdd).toBe(true);
  const changed =
    plan.voters.some((peer) => !world.voters.includes(peer)) || plan.voters.length !== world.voters.length;
  if (!changed) return;
  expect(plan.voters.length).toBeLessThanOrEqual(Math.min(5, world.poolSize));
  expect(plan.learners).toEqual([]);
  const held = plan.voters.filter((peer) => world.vacant.includes(peer));
  expect(held.length).toBeLessThanOrEqual(world.coming);
  const calm =
    world.vacant.length <= world.coming &&
    world.poolSize >= 5 &&
    world.hosts.every((host) => !(host.leaving || (host.joining && world.voters.includes(host.peer))));
  if (calm && plan.voters.length < world.voters.length) {
    expect(world.spare(plan.voters, leader)).toBeGreaterThan(world.spare(world.voters, leader));
  }
  for (const peer of plan.voters) {
    if (held.includes(peer)) continue;
    const host = world.hosts.find((one) => one.peer === peer) as Host;
    expect(host.present && !host.joining && !host.leaving).toBe(true);
    if (world.voters.includes(peer)) continue;
    expect(host.life === "alive" && !host.failed).toBe(true);
    expect(world.learners).toContain(peer); // Caught up before it votes.
  }
  if (leader.present && !leader.leaving) expect(plan.voters).toContain(leader.peer);
}

/** Carries plans out until there is none; the voters it ends with. */
function settle(world: World): void {
  for (let step = 0; ; step += 1) {
    expect(step).toBeLessThan(20);
    const { leader } = world;
    if (leader === undefined || !world.hasMajority(world.voters)) return;
    const plan = planVoters(world.view(leader));
    if (plan === null) return;
    judge(world, leader, plan);
    [world.voters, world.learners] = [[...plan.voters], [...plan.learners]];
  }
}

test("whatever happens: odd, at most five, a living majority, caught up first, and it comes to rest", () => {
  fc.assert(
    fc.property(
      fc.array(arbitraryHost, { minLength: 1, maxLength: 9 }),
      fc.integer({ min: 1, max: 10 }),
      fc.array(fc.tuple(arbitraryMove, fc.boolean(), fc.option(fc.integer({ min: 1, max: 10 }))), {
        maxLength: 30,
      }),
      (hosts, poolSize, moves) => {
        const world = new World(hosts, poolSize);
        settle(world);
        for (const [move, quiet, pool] of moves) {
          world.happen(move);
          if (pool !== null) world.poolSize = pool;
          if (quiet) settle(world);
        }
        settle(world);
      },
    ),
    { numRuns: 2000 },
  );
});

test("a dead voter's place is taken: its vote waits for the newcomer, and never do fewer vote meanwhile", () => {
  fc.assert(
    fc.property(fc.constantFrom(3, 5), fc.nat(), fc.nat({ max: 3 }), (count, which, standbys) => {
      const world = new World(
        Array.from({ length: count + standbys }, () => ({ zone: null, joining: false })),
        10,
      );
      settle(world);
      const votes = world.voters.length;
      const host = world.hosts.findIndex(
        ({ peer }) => peer === world.voters.filter((one) => one !== world.leader?.peer)[which % (votes - 1)],
      );
      world.happen({ host, what: "die" });
      world.happen({ host, what: "replace" });
      settle(world);
      expect(world.voters).toHaveLength(votes);
      world.happen({ host: world.hosts.length - 1, what: "join" });
      settle(world);
      expect(world.voters).toHaveLength(votes);
      expect(world.spare(world.voters, world.leader as Host)).toBe((votes - 1) / 2);
    }),
  );
});

test("all well: the largest odd number up to five and the pool, spread over zones as well as can be with this leader", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...ZONES), { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 10 }),
      fc.array(arbitraryMove, { maxLength: 15 }),
      (zones, poolSize, moves) => {
        const world = new World(
          zones.map((zone) => ({ zone, joining: false })),
          poolSize,
        );
        for (const move of moves) {
          if (move.what === "remove" || move.what === "replace") continue;
          world.happen(move);
          settle(world);
        }
        for (const host of world.hosts)
          Object.assign(host, { joining: false, failed: false, life: "alive", leaving: false });
        const { leader } = world;
        settle(world);
        const most = Math.min(5, poolSize, zones.length);
        expect(world.voters).toHaveLength(most % 2 === 1 ? most : most - 1);
        const voting = world.hosts.filter(({ peer }) => world.voters.includes(peer));
        expect(crowd(voting)).toBe(leastCrowd(world.hosts, voting.length, leader as Host));
      },
    ),
    { numRuns: 1000 },
  );
});

/** Pairs of voters that share a zone. */
function crowd(hosts: readonly Host[]): number {
  let pairs = 0;
  for (const a of hosts) for (const b of hosts) if (a.uid < b.uid && a.zone === b.zone) pairs += 1;
  return pairs;
}

/** The fewest such pairs of any so many hosts with the leader among them, by trying all. */
function leastCrowd(hosts: readonly Host[], count: number, leader: Host): number {
  let least = Number.POSITIVE_INFINITY;
  for (let mask = 0; mask < 1 << hosts.length; mask += 1) {
    const chosen = hosts.filter((_, i) => (mask >> i) % 2 === 1);
    if (chosen.length === count && chosen.includes(leader)) least = Math.min(least, crowd(chosen));
  }
  return least;
}
