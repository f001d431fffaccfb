import { expect, test } from "vitest";

import { Agents } from "./agents.ts";

test("agents find each other alive, and measure round trip and clock offset", async () => {
  const agents = Agents.of("a", "b", "c");
  agents.mesh.latencyMs = 20;
  agents.skewMs.set("b", 300);
  const { driver } = agents.get("a");
  expect(driver.view("b")).toMatchObject({ liveness: "unknown", lastSeenMsAgo: null, rttMs: null });
  expect(driver.isAlive("b")).toBe(false);
  await agents.clock.until(() => driver.view("b").rttMs !== null && driver.view("c").rttMs !== null);
  expect(driver.isAlive("b")).toBe(true);
  expect(driver.view("b")).toMatchObject({ liveness: "alive", rttMs: 40, clockOffsetMs: 300 });
  expect(driver.view("c")).toMatchObject({ liveness: "alive", rttMs: 40, clockOffsetMs: 0 });
  expect(agents.get("b").driver.view("a").clockOffsetMs ?? -300).toBe(-300);
  expect(driver.view("b").lastSeenMsAgo).toBeLessThan(2000);
  expect(driver.view("a")).toMatchObject({ liveness: "alive", lastSeenMsAgo: 0, rttMs: 0, clockOffsetMs: 0 });
  expect(driver.view("stranger").liveness).toBe("unknown");
});

test("a member of which nobody ever hears anything is never taken for alive, not even while it is suspected", async () => {
  const agents = Agents.of("a", "b");
  agents.setMembers(["a", "b", "gone"]);
  const seen = new Set<string>();
  await agents.clock.until(() => {
    for (const { driver } of agents.all.values()) {
      seen.add(driver.view("gone").liveness);
      expect(driver.isAlive("gone")).toBe(false);
    }
    return agents.liveness("gone").every((liveness) => liveness === "dead");
  }, 120_000);
  expect([...seen].sort()).toEqual(["dead", "unknown"]);
});

test("a clock that is set while probes run changes the offset, not the round trip", async () => {
  const agents = Agents.of("a", "b");
  agents.mesh.latencyMs = 5;
  const { driver } = agents.get("a");
  await agents.clock.until(() => driver.view("b").rttMs !== null);
  agents.skewMs.set("b", -5000);
  await agents.clock.until(() => driver.view("b").clockOffsetMs === -5000, 30_000);
  expect(driver.view("b").rttMs).toBe(10);
});

test("a clock that is far off is told once, and once that it is right again; what wavers about the limit is not news", async () => {
  const agents = Agents.of("a", "b", "c");
  const { driver, log } = agents.get("a");
  const alarm = (peer: string): boolean => driver.view(peer).clockAlarm;
  agents.skewMs.set("b", 249);
  await agents.clock.advance(30_000);
  expect([alarm("b"), alarm("c")]).toEqual([false, false]);

  agents.skewMs.set("b", -250);
  await agents.clock.until(() => alarm("b"), 30_000);
  expect([alarm("a"), alarm("c")]).toEqual([false, false]);
  const told = log.matching("far apart");
  expect(told.map(({ level, fields }) => ({ level, fields }))).toEqual([
    { level: "warn", fields: { peer: "b", member: "name of b", offset_ms: -250, rtt_ms: 0 } },
  ]);
  for (const skewMs of [-240, -260, -201]) {
    agents.skewMs.set("b", skewMs);
    await agents.clock.advance(30_000);
    expect(alarm("b")).toBe(true);
  }
  expect(log.matching("far apart")).toHaveLength(1);

  agents.skewMs.set("b", 199);
  await agents.clock.until(() => !alarm("b"), 30_000);
  expect(log.matching("agree again").map(({ level }) => level)).toEqual(["info"]);
});

test("a single answer that waited raises no alarm", async () => {
  const agents = Agents.of("a", "b");
  agents.skewMs.set("b", 400);
  const { driver, log } = agents.get("a");
  await agents.clock.until(() => driver.view("b").rttMs !== null);
  agents.skewMs.set("b", 0);
  await agents.clock.advance(60_000);
  expect(log.matching("far apart")).toEqual([]);
});

test("one that is removed alarms no more", async () => {
  const agents = Agents.of("a", "b");
  agents.skewMs.set("b", 400);
  const { driver } = agents.get("a");
  await agents.clock.until(() => driver.view("b").clockAlarm, 30_000);
  driver.setMembers([{ peer: "a", name: "a" }]);
  expect(driver.view("b").clockAlarm).toBe(false);
});

test("a distance so long that probes are repeated before they are answered is measured all the same", async () => {
  const agents = Agents.of("a", "b");
  agents.mesh.latencyMs = 170;
  agents.skewMs.set("b", 100);
  await agents.clock.advance(20_000);
  expect(agents.get("a").driver.view("b")).toMatchObject({
    liveness: "alive",
    rttMs: 340,
    clockOffsetMs: 100,
  });
});

test("in an idle cluster nothing but probes and their answers is sent, each agent two a second, whatever their number", async () => {
  for (const size of [3, 20]) {
    const ids = Array.from({ length: size }, (_, i) => `h${i}`);
    const agents = Agents.of(...ids);
    for (const id of ids) agents.publish(id, "k");
    await agents.clock.until(() => ids.every((id) => agents.allHold(id, "k")), 10_000);
    await agents.clock.advance(20_000);
    const sent = new Map<string, number>();
    agents.mesh.filter = ({ name, body }) => {
      const kind = name === "swim" ? (body as { message: { type: string } }).message.type : name;
      sent.set(kind, (sent.get(kind) ?? 0) + 1);
      return true;
    };
    await agents.clock.advance(60_000);
    expect([...sent.keys()].toSorted()).toEqual(["ack", "ping"]);
    expect(Math.abs((sent.get("ping") ?? 0) / size - 60)).toBeLessThan(2);
  }
});

test("an agent whose timers come late says so, and trusts itself less until it is well again", async () => {
  const agents = Agents.of("a", "b");
  const { driver } = agents.get("a");
  await agents.clock.advance(3000);
  expect(driver.self()).toEqual({ score: 0, loopDelayMs: 0 });
  agents.lateMs.set("a", 400);
  agents.clock.advanceSync(100); // No answer comes in between, which would be a sign of health.
  agents.lateMs.delete("a");
  expect(driver.self()).toEqual({ score: 1, loopDelayMs: 400 });
  await agents.clock.advance(25_000);
  expect(driver.self()).toEqual({ score: 0, loopDelayMs: 0 });
});

test("one that is killed is dead within seconds, one that restarts is alive at once", async () => {
  const agents = Agents.of("a", "b", "c", "d");
  const told: string[] = [];
  agents.get("a").driver.onChange((peer) => told.push(peer));
  await agents.clock.advance(3000);
  expect(agents.liveness("d")).toEqual(["alive", "alive", "alive", "alive"]);
  agents.kill("d");
  await agents.clock.until(() => agents.liveness("d").every((liveness) => liveness === "dead"), 6000);
  expect(told).toContain("d");
  expect(agents.get("a").driver.isAlive("d")).toBe(false);
  expect(
    agents
      .get("a")
      .log.matching("member liveness")
      .map(({ fields }) => fields),
  ).toContainEqual({
    peer: "d",
    member: "name of d",
    liveness: "dead",
  });
  agents.start("d", 2);
  agents.setMembers(["a", "b", "c", "d"]);
  await agents.clock.until(() => agents.liveness("d").every((liveness) => liveness === "alive"), 1500);
});

test("a partition of any length heals by itself", async () => {
  const ids = ["a", "b", "c", "d", "e"];
  const agents = Agents.of(...ids);
  await agents.clock.advance(3000);
  agents.mesh.cut(["a", "b"], ["c", "d", "e"]);
  const sees = (id: string, liveness: string, of: readonly string[]): boolean =>
    of.every((peer) => agents.get(id).driver.view(peer).liveness === liveness);
  await agents.clock.until(() => sees("a", "dead", ["c", "d", "e"]) && sees("c", "dead", ["a", "b"]));
  expect(sees("a", "alive", ["b"]) && sees("c", "alive", ["d", "e"])).toBe(true);
  await agents.clock.advance(120_000);
  agents.publish("b", "newer");
  agents.mesh.heal();
  await agents.clock.until(() => ids.every((id) => sees(id, "alive", ids)), 3000);
  await agents.clock.until(() => agents.allHold("b", "newer"), 3000);
});

test("stopping is not leaving: one that stops is found dead, one that leaves has left", async () => {
  const agents = Agents.of("a", "b", "c", "d");
  await agents.clock.advance(3000);
  agents.get("c").driver.leave();
  await agents.clock.advance(1000);
  agents.kill("c");
  agents.get("d").driver.stop();
  agents.all.delete("d");
  const of = (peer: string): string[] => agents.liveness(peer);
  await agents.clock.until(() => of("d").every((liveness) => liveness === "dead"), 30_000);
  expect(of("c")).toEqual(["left", "left"]);
});

test("a member that is removed is no longer listened to", async () => {
  const agents = Agents.of("a", "b", "c");
  agents.publish("c", "k");
  await agents.clock.until(() => agents.allHold("c", "k"));
  agents.get("a").driver.setMembers([
    { peer: "a", name: "a" },
    { peer: "b", name: "b" },
  ]);
  await agents.clock.advance(10_000);
  expect(agents.get("a").driver.view("c")).toMatchObject({ liveness: "unknown", report: null, rttMs: null });
  expect(agents.get("b").driver.view("c").liveness).toBe("alive");
});

test.each([
  ["no object", "x"],
  ["no message", { facts: 1 }],
  ["an unknown type", { message: { type: "boo", incarnation: 1, rumours: [] } }],
  [
    "an incarnation beyond refuting",
    {
      message: {
        type: "gossip",
        incarnation: 1,
        rumours: [{ peer: "b", status: "dead", incarnation: 2 ** 53 }],
      },
    },
  ],
])("bad input is dropped and told: %s", async (_, body) => {
  const agents = Agents.of("a", "b");
  await agents.clock.advance(1000);
  const before = agents.get("b").driver.view("a");
  agents.get("a").transport.send("b", "control", "swim", body);
  await agents.clock.advance(0);
  expect(agents.get("b").log.matching("malformed membership message")).toHaveLength(1);
  expect(agents.get("b").driver.view("a").liveness).toBe(before.liveness);
});

test("after stop nothing is sent and no timer runs", async () => {
  const agents = Agents.of("a", "b");
  await agents.clock.advance(3000);
  for (const { driver } of agents.all.values()) driver.stop();
  await agents.clock.advance(1000);
  const { delivered } = agents.mesh;
  await agents.clock.advance(60_000);
  expect(agents.mesh.delivered).toBe(delivered);
  expect(agents.clock.timers).toBe(0);
});
