import { afterEach, describe, expect, test } from "vitest";

import { Prng } from "#shared/lib/prng.ts";
import type { Command } from "#shared/registry/command.ts";
import { nodesByUuid } from "#shared/registry/queries/nodes.ts";
import { Replicas, type Host } from "#test/unit/agent/registry/replicas.ts";

import { Follower } from "./follower.ts";
import { Served } from "./served.ts";

// Several agents: real servers over real replicas; the network, the disks and the time are the test's.

/** Small enough that a few dozen writes make a snapshot and forget the log behind it. */
const EAGER = { snapshotEntries: 20, logTailEntries: 5 };

/** Deaths in a row may cost the voters their leader and each other; only that it ends is of interest here. Virtual milliseconds. */
const SETTLE_MS = 300_000;

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

function serve(replicas: Replicas, host: Host): Served {
  const served = new Served(replicas, host);
  closing.push(() => served.cutOff());
  return served;
}

describe("If-Match", () => {
  test("two agents, the same tag, at the same time: exactly one takes effect", async () => {
    const replicas = await Replicas.form(4);
    const agents = replicas.hosts.map((host) => serve(replicas, host));
    await replicas.zone(replicas.host(1), "z");
    for (let round = 0; round < 24; round += 1) {
      await replicas.settled();
      const [one, other] = [agents[round % 4], agents[(round + 1 + (round % 3)) % 4]];
      if (one === undefined || other === undefined) throw new Error("no agent");
      const { headers } = await one.call("GET", "/api/v1/zone/1");
      const rival = await other.call("GET", "/api/v1/zone/1");
      expect(rival.headers.etag).toBe(headers.etag);
      const put = (at: Served, name: string) =>
        at.call("PUT", "/api/v1/zone/1", { "if-match": headers.etag }, { name });
      const answers = await Promise.all([put(one, `a${round}`), put(other, `b${round}`)]);
      expect(answers.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b)).toEqual([200, 412]);
      const winner = answers[0]?.statusCode === 200 ? `a${round}` : `b${round}`;
      expect(replicas.leader?.replica.state.zones.get(1)?.name).toBe(winner);
    }
  });
});

describe("a blocking read", () => {
  test("is woken by the snapshot that its agent installs, with an index from which nothing is missed", async () => {
    const replicas = await Replicas.form(4, EAGER);
    const learner = replicas.host(4);
    const agent = serve(replicas, learner);
    await replicas.zone(replicas.host(1), "z");
    await replicas.settled();
    const { index } = learner.replica.state;
    const others = replicas.hosts.slice(0, 3).map(({ peer }) => peer);
    replicas.mesh.cut([learner.peer], others);
    const waiting = agent.call("GET", `/api/v1/zone?index=${index}&wait=5m`);
    for (let n = 0; n < 60; n += 1) await replicas.zone(replicas.host(1), `n${n}`);
    replicas.mesh.heal();
    const answer = await waiting;
    expect(learner.log.matching("installed a snapshot").length).toBeGreaterThan(0);
    const shown = Number(answer.headers["x-muster-index"]);
    expect(shown).toBeGreaterThan(index);
    await replicas.settled();
    const rest = await agent.call("GET", `/api/v1/zone?index=${shown}&wait=1s`);
    expect(rest.json().data).toHaveLength(61);
  });
});

describe("a follower of the event stream", () => {
  /** Changes that make records, change them and end them. */
  function draw(random: Prng, zones: number): Command {
    const id = 1 + random.below(zones + 1);
    const uuid = `uuid-${1 + random.below(4)}`;
    const kinds: readonly Command[] = [
      { type: "zone.create", name: `n${random.below(1000)}` },
      { type: "zone.rename", id, name: `m${random.below(1000)}` },
      { type: "zone.delete", id },
      { type: "zones.set_weights", weights: { [id]: { [id + 1]: random.below(9) } } },
      { type: "node.register", uuid, zone_id: id, uri: "u", cfg: {} },
      { type: "node.update", uuid, uri: `u${random.below(1000)}` },
      { type: "node.unregister", uuid },
    ];
    return kinds[random.below(kinds.length)] ?? { type: "zone.create", name: "z" };
  }

  test.each([1, 2, 3, 4, 5, 6])(
    "holds what the registry holds, through deaths of its agent, agents that are behind, and snapshots (seed %i)",
    async (seed) => {
      const random = new Prng(seed);
      const replicas = await Replicas.form(5, EAGER);
      const changed = new Set<number>();
      const hear = ({ replica }: Host): Disposable =>
        replica.onChange(([first]) => void (first !== undefined && changed.add(first.index)));
      const agents = new Map<Host, Served>();
      const open = async (host: Host): Promise<void> => {
        const served = serve(replicas, host);
        await served.listen();
        agents.set(host, served);
        hear(host);
      };
      for (const host of replicas.hosts) await open(host);
      const agentOf = (host: Host): Served => {
        const served = agents.get(host);
        if (served === undefined) throw new Error(`${host.peer} is not served`);
        return served;
      };

      let at = replicas.host(1 + random.below(5));
      const follower = new Follower(agentOf(at));
      const stop = new AbortController();
      const running = follower.run(stop.signal);
      const writes = async (count: number): Promise<void> => {
        for (let n = 0; n < count; n += 1) {
          const writer = replicas.anyUp(at);
          await replicas.write(writer, draw(random, writer.replica.state.zones.size));
        }
      };
      const move = (to: Host): void => {
        at = to;
        follower.moveTo(agentOf(to));
      };
      const others = (host: Host): string[] =>
        replicas.hosts.filter((other) => other !== host).map(({ peer }) => peer);

      for (let round = 0; round < 6; round += 1) {
        await writes(random.below(10));
        const victim = replicas.host(1 + random.below(5));
        switch (random.below(4)) {
          case 0: {
            // Its agent dies; another goes on with it. The dead one comes back.
            const dead = at;
            move(replicas.anyUp(dead));
            await agentOf(dead).cutOff();
            await replicas.kill(dead);
            await writes(random.below(40));
            await replicas.restart(dead);
            await open(dead);
            break;
          }
          case 1: {
            // It comes to an agent that is behind, and then is less so, or installs a snapshot.
            replicas.mesh.cut([victim.peer], others(victim));
            await replicas.clock.advance(5000);
            if (victim !== at) await writes(1 + random.below(60));
            move(victim);
            await replicas.clock.advance(500);
            replicas.mesh.heal();
            break;
          }
          case 2: {
            // It is away, and comes back to an agent that has started anew since and cannot tell what was before.
            follower.pause();
            await agentOf(victim).cutOff();
            await replicas.kill(victim);
            await writes(1 + random.below(30));
            await replicas.restart(victim);
            await open(victim);
            await writes(random.below(10));
            await replicas.settled(SETTLE_MS);
            move(victim);
            break;
          }
          default:
            // Its own agent is cut off for so long that it needs a snapshot.
            move(victim);
            await replicas.clock.advance(100);
            replicas.mesh.cut([victim.peer], others(victim));
            await replicas.clock.advance(5000);
            await writes(60);
            replicas.mesh.heal();
        }
        await replicas.settled(SETTLE_MS);
      }
      const last = Math.max(...changed);
      await replicas.clock.until(() => follower.index >= last, 120_000);
      stop.abort();
      await replicas.wait(running);

      const { zones, nodes, weights } = at.replica.state;
      expect(Object.fromEntries(follower.zones)).toEqual(
        Object.fromEntries([...zones].map(([id, zone]) => [String(id), zone])),
      );
      expect([...follower.nodes.keys()].toSorted()).toEqual(
        nodesByUuid(at.replica.state).map(({ uuid }) => uuid),
      );
      for (const [uuid, node] of nodes) expect(follower.nodes.get(uuid)).toMatchObject({ uri: node.uri });
      expect(follower.weights).toEqual(weights);
      expectNoGap(follower, changed);
    },
  );

  /** Between two resets every change was told, once and in order. */
  function expectNoGap({ told }: Follower, changed: ReadonlySet<number>): void {
    let position = 0;
    for (const { event, index } of told) {
      if (event === "reset") position = index;
      if (event === "start") expect(index).toBe(position);
      if (event !== "changes") continue;
      expect(index).toBeGreaterThan(position);
      for (let missed = position + 1; missed < index; missed += 1)
        expect([missed, changed.has(missed)]).toEqual([missed, false]);
      position = index;
    }
    expect(told.filter(({ event }) => event === "reset").length).toBeGreaterThan(0);
    expect(told.filter(({ event }) => event === "changes").length).toBeGreaterThan(0);
  }
});
