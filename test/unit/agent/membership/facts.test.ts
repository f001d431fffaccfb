import { expect, test } from "vitest";

import type { Wire } from "#agent/ports/transport.ts";
import { Agents, reportOf } from "./agents.ts";

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `h${i}`);

test("a report reaches everybody within about a second, by few messages", async () => {
  const agents = Agents.of(...names(40));
  await agents.clock.advance(2000);
  let bodies = 0;
  agents.mesh.filter = ({ name, body }) => {
    if (name === "answer" && JSON.stringify(body).includes("fresh")) bodies += 1;
    return true;
  };
  agents.publish("h0", "fresh");
  await agents.clock.until(() => agents.allHold("h0", "fresh"), 1500);
  // Each of the others pulls it once; the network carries no second copy.
  expect(bodies).toBe(39);
});

test.each([100, 300, 500, 700, 900])(
  "nobody waits for its next probe to pass on what it has heard (%i ms after the last one)",
  async (ms) => {
    const agents = Agents.of(...names(40));
    await agents.clock.advance(2000 + ms);
    agents.publish("h0", "fresh");
    await agents.clock.until(() => agents.allHold("h0", "fresh"), 500);
  },
);

test("a newer report replaces the older; versions are (starts, count)", async () => {
  const agents = Agents.of("a", "b", "c");
  agents.publish("a", "one");
  agents.publish("a", "two");
  await agents.clock.until(() => agents.allHold("a", "two"), 5000);
  expect(agents.get("b").driver.view("a").version).toEqual({ incarnation: 1, count: 2 });

  agents.kill("a");
  await agents.clock.advance(5000);
  agents.start("a", 2);
  agents.setMembers(["a", "b", "c"]);
  await agents.clock.advance(10_000);
  // What others remember of its last life does not come back as its own.
  expect(agents.get("a").driver.view("a").report).toBeNull();
  agents.publish("a", "three");
  await agents.clock.until(() => agents.allHold("a", "three"), 5000);
  expect(agents.get("c").driver.view("a").version).toEqual({ incarnation: 2, count: 1 });
});

test("a host whose count of starts was lost still replaces its old report", async () => {
  const agents = Agents.of("a", "b", "c");
  agents.kill("a");
  agents.start("a", 7);
  agents.setMembers(["a", "b", "c"]);
  agents.publish("a", "old");
  await agents.clock.until(() => agents.allHold("a", "old"), 5000);
  agents.kill("a");
  agents.start("a", 1);
  agents.setMembers(["a", "b", "c"]);
  agents.publish("a", "new");
  await agents.clock.until(() => agents.allHold("a", "new"), 15_000);
});

test("what is lost on the way comes by the periodic exchange", async () => {
  const agents = Agents.of("a", "b", "c");
  await agents.clock.advance(1000);
  agents.mesh.filter = ({ name }) => !name.startsWith("facts.");
  agents.publish("a", "k");
  await agents.clock.advance(3000);
  expect(agents.get("b").driver.view("a").report).toBeNull();
  agents.mesh.filter = null;
  await agents.clock.until(() => agents.allHold("a", "k"), 20_000);
});

test("of a large table only the part that differs is told", async () => {
  const ids = names(40);
  const agents = Agents.of(...ids);
  for (const id of ids) agents.publish(id, "k");
  await agents.clock.until(() => ids.every((id) => agents.allHold(id, "k")), 10_000);
  await agents.clock.advance(10_000);
  const told: number[] = [];
  agents.mesh.filter = ({ name, body }) => {
    if (name !== "facts.digest") return true;
    const { versions, buckets } = body as { versions: object; buckets: readonly number[] };
    if (buckets.length > 0) told.push(Object.keys(versions).length);
    return buckets.length > 0 || told.length > 0; // The news itself is lost on the way to all.
  };
  agents.publish("h7", "later");
  await agents.clock.until(() => agents.allHold("h7", "later"), 20_000);
  expect(told.length).toBeGreaterThan(0);
  expect(Math.max(...told)).toBeLessThan(10);
});

test("many large reports come in batches", async () => {
  const ids = names(12);
  const agents = Agents.of(...ids);
  agents.mesh.cut(["h0"], ids.slice(1));
  await agents.clock.advance(1000);
  const urls = Array.from({ length: 240 }, (_, i) => `https://${"x".repeat(480)}/${i}`);
  for (const id of ids.slice(1)) agents.publish(id, "large", urls);
  await agents.clock.until(
    () => ids.slice(1).every((id) => agents.get("h1").driver.view(id).report !== null),
    30_000,
  );
  const sizes: number[] = [];
  agents.mesh.filter = ({ to, name, body }) => {
    if (to === "h0" && name === "answer") sizes.push(JSON.stringify(body).length);
    return true;
  };
  agents.mesh.heal();
  await agents.clock.until(() => ids.slice(1).every((id) => agents.allHold(id, "large")), 30_000);
  expect(Math.max(...sizes)).toBeLessThan(1024 * 1024 + 1000);
  expect(Math.max(...sizes)).toBeGreaterThan(512 * 1024);
});

test("a bad record costs only itself; strangers and own facts are not taken from others", async () => {
  const agents = Agents.of("a", "b", "good", "bad");
  await agents.clock.advance(1000);
  for (const id of ["b", "good", "bad"]) agents.kill(id);
  const liar = agents.mesh.join("b");
  const record = (peer: string, change: object = {}): Wire => ({
    version: [9, 9],
    report: { ...reportOf(peer, "forged"), ...change },
  });
  liar.onRequest("facts.pull", () =>
    Promise.resolve({
      records: [record("bad", { facts: {} }), record("stranger"), record("a"), null, record("good")],
    }),
  );
  const versions = { bad: [9, 9], good: [9, 9], stranger: [9, 9] };
  liar.send("a", "control", "facts.digest", { versions, buckets: [] });
  const { driver, log } = agents.get("a");
  await agents.clock.until(() => driver.view("good").report !== null, 1000);
  expect(driver.view("bad").report).toBeNull();
  expect(driver.view("stranger").report).toBeNull();
  expect(driver.view("a").report).toBeNull();
  // Asked again for the bad one, as it lacks it, until nothing more comes.
  expect(log.matching("malformed host facts").length).toBeGreaterThan(0);
});

test("malformed digests and pulls are dropped, and a stranger's too", async () => {
  const agents = Agents.of("a", "b");
  await agents.clock.advance(1000);
  const { transport } = agents.get("b");
  transport.send("a", "control", "facts.digest", { versions: { b: [1] }, buckets: [] });
  transport.send("a", "control", "facts.compare", { table: [1, 2, 3] });
  await agents.clock.advance(0);
  expect(agents.get("a").log.matching("malformed digest")).toHaveLength(1);
  expect(agents.get("a").log.matching("malformed comparison")).toHaveLength(1);
  await expect(
    transport.request("a", "bulk", "facts.pull", { peers: 7 }, { timeoutMs: 1000 }),
  ).rejects.toThrow("peers");
  const stranger = agents.mesh.join("stranger");
  stranger.send("a", "control", "facts.digest", { versions: { b: [1, 1] }, buckets: [] });
  const heard: string[] = [];
  stranger.onMessage("facts.digest", (from) => heard.push(from));
  stranger.send("a", "control", "facts.compare", { table: Array.from({ length: 64 }, () => 1) });
  await agents.clock.advance(100);
  expect(heard).toEqual([]);
  expect(agents.get("a").driver.view("b").report).toBeNull();
});

test("an own report that nobody would take is not published, and said so", async () => {
  const agents = Agents.of("a", "b");
  const long = Array.from({ length: 256 }, () => "x".repeat(512));
  const { driver, log } = agents.get("a");
  driver.publish({ ...reportOf("a", "k", long), meshAddrs: long });
  driver.publish(reportOf("b", "k"));
  driver.publish(reportOf("a", "k".repeat(2000)));
  expect(driver.view("a").report === null).toBe(true);
  expect(log.matching("not fit to be published").length).toBe(3);
});
