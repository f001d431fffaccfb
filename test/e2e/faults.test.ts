import { afterEach, beforeEach, expect, test } from "vitest";

import { AUTH, leaderOf, TestFleet, untilVoters, type AgentProcess } from "#test/support/agents.ts";

let fleet: TestFleet;

beforeEach(async () => {
  fleet = await TestFleet.create();
});

afterEach(async () => {
  await fleet[Symbol.asyncDispose]();
});

/** What one client saw of one write. */
interface Attempt {
  readonly name: string;
  readonly outcome: "acknowledged" | "refused" | "unknown";
}

test("kill -9 of the leader in a write load: nothing acknowledged is lost, nothing is doubled", async () => {
  const agents = await fleet.formed(3);
  const attempts: Attempt[] = [];
  const stop = new AbortController();
  let killed: AgentProcess | null = null;

  const client = async (number: number): Promise<void> => {
    for (let i = 0; !stop.signal.aborted; i += 1) {
      const agent = agents[(number + i) % agents.length] as AgentProcess;
      if (agent === killed) continue;
      const name = `load ${number}-${i}`;
      const outcome = await agent.post("/api/v1/zone", { name }).then(
        ({ status }): Attempt["outcome"] =>
          status === 200 ? "acknowledged" : status === 503 ? "refused" : "unknown",
        (): Attempt["outcome"] => "unknown",
      );
      attempts.push({ name, outcome });
    }
  };
  const acknowledged = (): number => attempts.filter(({ outcome }) => outcome === "acknowledged").length;
  const clients = Array.from({ length: 8 }, (_, number) => client(number));

  const [observer] = agents as [AgentProcess];
  await observer.until("200 writes are acknowledged", () => Promise.resolve(acknowledged() >= 200));
  killed = await leaderOf(agents);
  await killed.stop("SIGKILL");
  const atKill = acknowledged();
  const survivor = agents.find((agent) => agent !== killed) as AgentProcess;
  await survivor.until("200 more are acknowledged without it", () =>
    Promise.resolve(acknowledged() >= atKill + 200),
  );
  stop.abort();
  await Promise.all(clients);

  await killed.start();
  const seen = await Promise.all(
    agents.map(async (agent) => {
      let names: string[] = [];
      await agent.until("reads linearizably", async () => {
        const answer = await agent.get("/api/v1/zone?consistency=linearizable");
        if (answer.status !== 200) return false;
        names = (answer.json.data as { name: string }[]).map(({ name }) => name);
        return true;
      });
      return names;
    }),
  );
  for (const names of seen) {
    const stored = new Set(names);
    const lost = attempts.filter(({ name, outcome }) => outcome === "acknowledged" && !stored.has(name));
    expect(lost).toEqual([]);
    expect(stored.size).toBe(names.length);
  }
  expect(seen[1]).toEqual(seen[0]);
  expect(seen[2]).toEqual(seen[0]);
  // A write is refused only when it certainly was not taken.
  const all = new Set(seen[0]);
  expect(attempts.filter(({ name, outcome }) => outcome === "refused" && all.has(name))).toEqual([]);
});

test("a leader that lost both followers acknowledges nothing; what it had in its log alone is overruled", async () => {
  const agents = await fleet.formed(3);
  const leader = await leaderOf(agents);
  const followers = agents.filter((agent) => agent !== leader) as [AgentProcess, AgentProcess];
  await Promise.all(followers.map((agent) => agent.stop("SIGKILL")));
  const names = Array.from({ length: 20 }, (_, i) => `alone ${i}`);
  const answers = await Promise.all(names.map((name) => leader.post("/api/v1/zone", { name })));
  expect(answers.map(({ status }) => status).filter((status) => status < 500)).toEqual([]);
  await leader.stop("SIGKILL");

  await Promise.all(followers.map((agent) => agent.start()));
  const [next] = followers;
  await next.until(
    "takes writes",
    async () => (await next.post("/api/v1/zone", { name: "after" })).status === 200,
  );
  await leader.start();
  for (const agent of agents) {
    await agent.until("has what the majority has", async () => {
      const answer = await agent.get("/api/v1/zone?consistency=linearizable");
      if (answer.status !== 200) return false;
      expect((answer.json.data as { name: string }[]).map(({ name }) => name)).toEqual(["after"]);
      return true;
    });
  }
});

test("a joiner killed halfway leaves nothing that blocks it or others", async () => {
  const [first] = (await fleet.formed(1)) as [AgentProcess];
  const joiner = await fleet.add();
  const other = await fleet.add();
  await joiner.start();
  await other.start();

  // Killed at ever later moments of the join; each life finds its own state and may try again.
  for (const afterMs of [0, 5, 15, 30, 60, 120]) {
    if ((await joiner.bootstrapState()) === "completed") break;
    await joiner.join([first]);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await joiner.stop("SIGKILL");
    await joiner.start();
    const state = await joiner.bootstrapState();
    expect(["idle", "error", "completed"]).toContain(state);
    if (state === "error") {
      const { json } = await joiner.get("/v1/bootstrap");
      expect(json.bootstrap_status.error_code).toBe("internal_error");
      expect(json.bootstrap_status.error_details.message).toMatch(/restart/i);
    }
  }
  expect((await other.join([first])).status).toBe(200);
  await other.untilState("completed");
  if ((await joiner.bootstrapState()) !== "completed") {
    expect((await joiner.join([first])).status).toBe(200);
    await joiner.untilState("completed");
  }
  const agents = [first, joiner, other];
  await untilVoters(agents, 3);
  const members = (await first.get("/muster/v1/members")).json.members as { uid: number }[];
  expect(members.map(({ uid }) => uid).toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
});

test("two hosts join at the same time while writes go on", async () => {
  const [first] = (await fleet.formed(1)) as [AgentProcess];
  const others = await Promise.all([fleet.add(), fleet.add(), fleet.add()]);
  await Promise.all(others.map((agent) => agent.start()));
  const writes = Promise.all(
    Array.from({ length: 50 }, (_, i) => first.post("/api/v1/zone", { name: `during ${i}` })),
  );
  await Promise.all(others.map((agent) => agent.join([first])));
  await Promise.all(others.map((agent) => agent.untilState("completed")));
  for (const answer of await writes) expect(answer.status).toBe(200);
  await untilVoters([first, ...others], 3);
  for (const agent of others) {
    const answer = await agent.call("/api/v1/zone?consistency=linearizable", { auth: AUTH });
    expect(answer.json.data).toHaveLength(50);
  }
});

test("SIGSTOP of the leader: another one takes over; woken up, the old one follows and answers the truth", async () => {
  const agents = await fleet.formed(3);
  const frozen = await leaderOf(agents);
  frozen.signal("SIGSTOP");
  const rest = agents.filter((agent) => agent !== frozen);
  const [observer] = rest as [AgentProcess];
  await observer.until("a write succeeds without the frozen leader", async () => {
    return (await observer.post("/api/v1/zone", { name: "fresh" })).status !== 503;
  });
  frozen.signal("SIGCONT");
  await frozen.until("answers linearizably with the new zone", async () => {
    const answer = await frozen.get("/api/v1/zone?consistency=linearizable");
    if (answer.status !== 200) return false;
    expect((answer.json.data as { name: string }[]).map(({ name }) => name)).toContain("fresh");
    return true;
  });
});
