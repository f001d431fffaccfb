import { beforeEach, describe, expect, test } from "vitest";

import { Departure } from "#agent/bootstrap/departure.ts";
import { AppError, isKind } from "#shared/errors/app-error.ts";
import { epochMs } from "#shared/lib/time.ts";
import { FakeBootstrap } from "#test/support/fake-bootstrap.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

const SELF = "12D3KooWLocal"; // The peer under which LocalRegistry leads.
const OTHER = "peer-2";
const BY = { by: "admin" };

let registry: LocalRegistry;
let bootstrap: FakeBootstrap;
let clock: FakeClock;
let steps: string[];
let reason: string | null;
let alive: Set<string>;
let refuseVote: AppError | null;
let departure: Departure;

beforeEach(async () => {
  registry = new LocalRegistry();
  clock = new FakeClock();
  bootstrap = new FakeBootstrap({ at: epochMs(0) });
  [steps, reason, alive, refuseVote] = [[], null, new Set([SELF, OTHER]), null];
  await registry.submit(makeCluster(makeMember(1, { peer: SELF })), BY);
  await registry.submit({ type: "member.add", member: makeMember(2, { peer: OTHER }) }, BY);
  const at = { startedAt: epochMs(0), endedAt: epochMs(0) };
  bootstrap.state = { name: "completed", action: "join_cluster", attempt: 1, ...at };
  registry.onChange((changes) => {
    for (const { op, id } of changes) if (op === "delete") steps.push(`removed ${id}`);
  });
  departure = new Departure({
    self: SELF,
    transport: {
      openJoin: ({ peer }) => Promise.reject(new AppError("peer_unreachable", { peer })),
      onPeer: () => ({ [Symbol.dispose]: () => undefined }),
    },
    registry,
    participation: { identity: null, stop: () => Promise.resolve() },
    voting: {
      lead: async (to) => {
        steps.push(`lead ${to}`);
        return OTHER;
      },
      voteOut: async (peer) => {
        if (refuseVote !== null) throw refuseVote;
        steps.push(`vote out ${peer}`);
      },
    },
    identity: { cluster: () => Promise.resolve(null) },
    membership: {
      isAlive: (peer) => alive.has(peer),
      leave: () => void steps.push("goodbye"),
      stay: () => void steps.push("stays"),
    },
    bootstrap: Object.assign(bootstrap, {
      removed: async (why: string) => {
        reason = why;
        bootstrap.state = { name: "idle", reason: why, retired: SELF };
      },
    }),
    clock,
    log: new RecordingLog(),
  });
  departure.start();
});

async function wait<T>(promise: Promise<T>): Promise<T> {
  let open = true;
  const seen = promise.finally(() => {
    open = false;
  });
  seen.catch(() => undefined);
  await clock.until(() => !open);
  return seen;
}

function votersAre(...voters: string[]): void {
  const status = registry.status.bind(registry);
  registry.status = () => ({ ...status(), config: { voters, outgoing: [], learners: [] } });
}

const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error: unknown = await wait(promise).catch((caught: unknown) => caught);
  if (!isKind(error, "change_refused")) throw new Error(`no change_refused: ${String(error)}`);
  return error.facts.reason;
};

describe("leaving", () => {
  test("hands on leadership and vote, says goodbye, and only then is taken out", async () => {
    votersAre(SELF, OTHER, "peer-3");
    await wait(departure.leave(BY));
    expect(steps).toEqual(["lead null", `vote out ${SELF}`, "goodbye", `removed ${SELF}`]);
    expect(reason).toContain("left its cluster");
    expect(bootstrap.state.name).toBe("idle");
  });

  test("the only voter has nobody to lead in its place before it is voted out", async () => {
    await wait(departure.leave(BY));
    expect(steps[0]).toBe(`vote out ${SELF}`);
  });

  test("what would leave no majority is refused, and nothing has happened", async () => {
    refuseVote = new AppError("change_refused", { what: "x", reason: "too few answer" });
    expect(await refusal(departure.leave(BY))).toBe("too few answer");
    expect(steps).toEqual([]);
    refuseVote = null;
    await wait(departure.leave(BY));
    expect(reason).toContain("left");
  });

  test("one that is not let go takes its goodbye back", async () => {
    registry.submit = () => Promise.reject(new AppError("not_in_cluster", {}));
    await expect(wait(departure.leave(BY))).rejects.toThrow(AppError);
    expect(steps.slice(-2)).toEqual(["goodbye", "stays"]);
    expect(bootstrap.state.name).toBe("completed");
  });

  test("the last member stays", async () => {
    await registry.submit({ type: "member.remove", peer: OTHER }, BY);
    steps.length = 0;
    expect(await refusal(departure.leave(BY))).toContain("last member");
    expect(steps).toEqual([]);
  });
});

describe("removing another member", () => {
  test("a dead voter loses its vote first", async () => {
    votersAre(SELF, OTHER, "peer-3");
    alive.delete(OTHER);
    await wait(departure.remove(OTHER, { ...BY, force: false }));
    expect(steps).toEqual([`vote out ${OTHER}`, `removed ${OTHER}`]);
  });

  test("one without a vote is taken out at once", async () => {
    alive.delete(OTHER);
    await wait(departure.remove(OTHER, { ...BY, force: false }));
    expect(steps).toEqual([`removed ${OTHER}`]);
  });

  test("one that is alive only by force", async () => {
    expect(await refusal(departure.remove(OTHER, { ...BY, force: false }))).toContain("it is alive");
    expect(steps).toEqual([]);
    await wait(departure.remove(OTHER, { ...BY, force: true }));
    expect(steps).toEqual([`removed ${OTHER}`]);
  });

  test("force does not make a majority", async () => {
    votersAre(SELF, OTHER, "peer-3");
    refuseVote = new AppError("change_refused", { what: "x", reason: "too few answer" });
    expect(await refusal(departure.remove(OTHER, { ...BY, force: true }))).toBe("too few answer");
    expect(registry.state.members.has(OTHER)).toBe(true);
  });

  test("of this host itself is leaving, and takes force as it does anywhere else", async () => {
    expect(await refusal(departure.remove(SELF, { ...BY, force: false }))).toContain("it is alive");
    expect(steps).toEqual([]);
    await wait(departure.remove(SELF, { ...BY, force: true }));
    expect(steps).toContain("goodbye");
    expect(reason).toContain("left its cluster");
  });
});

test("a host that others take out goes to idle, and says so", async () => {
  await registry.submit({ type: "member.remove", peer: SELF }, BY);
  expect(reason).toContain("was removed from its cluster");
});
