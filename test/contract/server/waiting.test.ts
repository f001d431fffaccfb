import { once } from "node:events";
import { request as httpRequest } from "node:http";

import type { LightMyRequestResponse } from "fastify";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Listeners } from "#agent/api/listeners.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { INDEX_WAITERS_MAX } from "#shared/lib/limits.ts";
import { Prng } from "#shared/lib/prng.ts";
import type { Command } from "#shared/registry/command.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import { ADMIN, FakeApi } from "#test/support/fake-api.ts";
import { RegistryLog } from "#test/support/registry-log.ts";

const MINUTE = 60_000;
/** How often deadlines are looked at. */
const LOOK_MS = 100;

let api: FakeApi;
beforeEach(async () => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

const NODE = "00000000-0000-4000-8000-686f73742d32";
/** What makes each kind of answer change. */
const CHANGES = {
  zone: { type: "zone.rename", id: 1, name: "other" },
  otherZone: { type: "zone.create", name: "new" },
  weights: { type: "zones.set_weights", weights: { 1: { 2: 5 } } },
  node: { type: "node.update", uuid: NODE, uri: "changed" },
  member: { type: "member.activate", peer: "12D3KooWOther" },
  cluster: { type: "cluster.configure", candidate_pool_size: 5 },
  user: { type: "user.update", name: "admin", display_name: "other" },
  token: {
    type: "token.create",
    id: "t1",
    keys: { stored_key: "AAAA", server_key: "AAAA" },
    ttl_ms: 60_000,
    created_by: "admin",
    note: "",
  },
} as const satisfies Record<string, Command>;
type Kind = keyof typeof CHANGES;

/** Every route that shows something of the registry, and which changes it shows. */
const ROUTES: Readonly<Record<string, { readonly path: string; readonly woken: readonly Kind[] }>> = {
  "/api/v1/zone": { path: "/api/v1/zone", woken: ["zone", "otherZone"] },
  "/api/v1/zone/:zone": { path: "/api/v1/zone/1", woken: ["zone"] },
  "/api/v1/zones/weights": { path: "/api/v1/zones/weights", woken: ["weights"] },
  "/api/v1/registry/nodes/new": { path: "/api/v1/registry/nodes/new", woken: ["node", "member"] },
  "/api/v1/registry/node": { path: "/api/v1/registry/node", woken: ["node"] },
  "/api/v1/registry/node/:node": { path: `/api/v1/registry/node/${NODE}`, woken: ["node"] },
  "/muster/v1/members": { path: "/muster/v1/members", woken: ["member"] },
  "/muster/v1/hosts": { path: "/muster/v1/hosts", woken: ["member"] },
  "/muster/v1/hosts/:name": { path: "/muster/v1/hosts/host-2", woken: ["member"] },
  "/muster/v1/cluster": { path: "/muster/v1/cluster", woken: ["cluster"] },
  "/muster/v1/status": { path: "/muster/v1/status", woken: ["member", "cluster"] },
  "/muster/v1/tokens": { path: "/muster/v1/tokens", woken: ["token", "member"] },
  "/v1/nodes": { path: "/v1/nodes", woken: ["member"] },
  "/v1/nodes/:uid": { path: "/v1/nodes/2", woken: ["member"] },
  "/v1/nodes/status": { path: "/v1/nodes/status", woken: ["member"] },
  "/v1/nodes/:uid/status": { path: "/v1/nodes/2/status", woken: ["member"] },
  "/v1/nodes/check": { path: "/v1/nodes/check", woken: ["member"] },
  "/v1/nodes/check/:uid": { path: "/v1/nodes/check/2", woken: ["member"] },
  "/v1/cluster": { path: "/v1/cluster", woken: ["cluster"] },
  "/v1/cluster/check": { path: "/v1/cluster/check", woken: ["member"] },
  "/v1/cluster/policy": { path: "/v1/cluster/policy", woken: ["cluster"] },
  "/v1/license": { path: "/v1/license", woken: ["cluster"] },
  "/v1/users": { path: "/v1/users", woken: ["user"] },
  "/v1/users/:uid": { path: "/v1/users/1", woken: ["user"] },
};

/** Reads that show this agent and not the registry; and a backup, which is a file and no view of it. */
const OTHERS = [
  "/bootstrap",
  "/muster/v1/backup",
  "/muster/v1/events",
  "/muster/v1/health/live",
  "/muster/v1/health/ready",
  "/muster/v1/mesh",
  "/v1/boostrap",
  "/v1/bootstrap",
  "/v1/jsonschema",
  "/v1/local/node/master_healthcheck",
];

async function populate(): Promise<void> {
  await api.createCluster();
  const peer = await api.addMember();
  const uuid = api.registry.state.members.get(peer)?.uuid ?? "";
  expect(uuid).toBe(NODE);
  await change({ type: "zone.create", name: "a" });
  await change({ type: "zone.create", name: "b" });
  await change({ type: "cluster.configure", license: "a license" });
  await change({ type: "node.register", uuid, zone_id: 1, uri: "u", cfg: {} });
}

async function change(command: Command): Promise<number> {
  const { index, result } = await api.registry.submit(command, { by: "admin" });
  expect(result.ok).toBe(true);
  return index;
}

/** A read under way. */
class Pending {
  readonly answer: Promise<LightMyRequestResponse>;
  settled = false;

  constructor(url: string, method: "GET" | "HEAD" = "GET") {
    this.answer = api.app.inject({ method, url, headers: ADMIN });
    void this.answer.finally(() => {
      this.settled = true;
    });
  }
}

/** Starts a read and lets it get as far as it gets. */
async function begin(url: string, method: "GET" | "HEAD" = "GET"): Promise<Pending> {
  const pending = new Pending(url, method);
  await turns();
  return pending;
}

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

const index = (): number => api.registry.state.index;

describe("the route table", () => {
  test("every read of the registry, in every dialect, says what it shows", async () => {
    const shown: string[] = [];
    const others: string[] = [];
    api.app.addHook("onRoute", ({ method, url, config }) => {
      if (method === "GET") (config?.shows === undefined ? others : shown).push(url);
    });
    await api.app.ready();
    expect(shown.toSorted()).toEqual(Object.keys(ROUTES).toSorted());
    expect(others.toSorted()).toEqual(expect.arrayContaining(OTHERS));
    // What is new here shows the registry, or is no business of it: decide.
    expect(others.filter((url) => !OTHERS.includes(url) && !url.endsWith("/metrics"))).toEqual([]);
  });

  test.each(Object.values(ROUTES))(
    "$path takes every parameter and says how fresh it is",
    async ({ path }) => {
      await populate();
      for (const query of [
        "consistency=stale",
        "consistency=default",
        "consistency=linearizable",
        "min_index=1",
        "min_index=5&wait=500ms",
        "index=0",
        "index=0&wait=10m",
        `consistency=linearizable&min_index=1&index=0&wait=1s`,
      ]) {
        const { statusCode, headers } = await new Pending(`${path}?${query}`).answer;
        expect([query, statusCode, headers["x-muster-index"]]).toEqual([query, 200, String(index())]);
        expect(headers).toMatchObject({ "x-muster-leader": "host-1.example", "x-muster-age-ms": "0" });
      }
      for (const query of [
        "index=-1",
        "index=x",
        "index=1&index=2",
        "index=1&wait=11m",
        "index=1&wait=5",
        "wait=5s",
      ]) {
        const { statusCode } = await new Pending(`${path}?${query}`).answer;
        expect([query, statusCode]).toEqual([query, 400]);
      }
    },
  );
});

describe("a blocking read", () => {
  test.each(Object.values(ROUTES))("of $path waits for a change of what it shows: $woken", async (route) => {
    await populate();
    for (const [kind, command] of Object.entries(CHANGES)) {
      const pending = await begin(`${route.path}?index=${index()}&wait=1m`);
      expect(pending.settled).toBe(false);
      const changed = await change(command);
      await turns();
      expect([kind, pending.settled]).toEqual([kind, route.woken.includes(kind as Kind)]);
      if (!pending.settled) await api.clock.advance(2 * MINUTE);
      const { statusCode, headers } = await pending.answer;
      expect([statusCode, headers["x-muster-index"]]).toEqual([200, String(changed)]);
    }
  });

  test("shows what woke it, and is answered at once when that came before", async () => {
    await populate();
    const before = index();
    const pending = await begin(`/api/v1/zone/1?index=${before}`);
    await change(CHANGES.zone);
    expect((await pending.answer).json().data).toEqual([{ id: 1, name: "other" }]);
    const again = await new Pending(`/api/v1/zone/1?index=${before}`).answer;
    expect(again.json().data).toEqual([{ id: 1, name: "other" }]);
  });

  test("with HEAD waits as well", async () => {
    await populate();
    const pending = await begin(`/api/v1/zone?index=${index()}`, "HEAD");
    expect(pending.settled).toBe(false);
    await change(CHANGES.zone);
    expect((await pending.answer).headers["x-muster-index"]).toBe(String(index()));
  });

  test.each([
    ["&wait=30s", 30_000],
    ["", 5 * MINUTE],
    ["&wait=10m", 10 * MINUTE],
    ["&wait=0s", 0],
  ])(
    "is answered with what is there when its time is over, a sixteenth later at most: %s",
    async (wait, ms) => {
      await populate();
      const pending = await begin(`/api/v1/zone?index=${index()}${wait}`);
      if (ms > 0) {
        await api.clock.advance(ms - 1);
        expect(pending.settled).toBe(false);
      }
      await api.clock.advance(ms / 16 + 1 + LOOK_MS);
      await turns();
      expect(pending.settled).toBe(true);
      expect((await pending.answer).statusCode).toBe(200);
      expect(api.clock.timers).toBe(1); // The event streams' own.
    },
  );

  test("those who came together do not leave together", async () => {
    await populate();
    const all = await Promise.all(
      Array.from({ length: 64 }, () => begin(`/api/v1/zone?index=${index()}&wait=10m`)),
    );
    await api.clock.advance(10 * MINUTE);
    const left: number[] = [];
    for (let step = 0; step < 8; step += 1) {
      await api.clock.advance((10 * MINUTE) / 16 / 8);
      await turns();
      left.push(all.filter(({ settled }) => !settled).length);
    }
    expect(new Set(left).size).toBeGreaterThan(4);
    await api.clock.advance(LOOK_MS);
    await Promise.all(all.map(({ answer }) => answer));
  });

  test("waits for an index that is not there yet, and for a change after that", async () => {
    await populate();
    const pending = await begin(`/api/v1/zone?index=${index() + 1}`);
    await change(CHANGES.zone);
    await turns();
    expect(pending.settled).toBe(false);
    await change(CHANGES.weights);
    await turns();
    expect(pending.settled).toBe(false);
    await change(CHANGES.otherZone);
    expect((await pending.answer).json().data).toHaveLength(3);
  });

  test("of one record hears of its creation, its end and its second life", async () => {
    await populate();
    const url = `/api/v1/registry/node/${NODE}`;
    const deleted = await begin(`${url}?index=${index()}`);
    await change({ type: "node.unregister", uuid: NODE });
    expect((await deleted.answer).statusCode).toBe(404);
    const from = (await deleted.answer).headers["x-muster-index"];
    const created = await begin(`${url}?index=${String(from)}`);
    expect(created.settled).toBe(false);
    await change({ type: "node.register", uuid: NODE, zone_id: 1, uri: "again", cfg: {} });
    expect((await created.answer).statusCode).toBe(200);
    // Both between two calls.
    const before = index();
    await change({ type: "node.unregister", uuid: NODE });
    expect((await new Pending(`${url}?index=${before}`).answer).statusCode).toBe(404);
    await change({ type: "node.register", uuid: NODE, zone_id: 1, uri: "third", cfg: {} });
    expect((await new Pending(`${url}?index=${before}`).answer).statusCode).toBe(200);
  });

  test("is woken by a snapshot, and what the snapshot changed is not waited for", async () => {
    await populate();
    const before = index();
    const pending = await begin(`/api/v1/zone?index=${before}`);
    const ahead = new RegistryLog(decodeState(encodeState(api.registry.state)));
    for (const command of [CHANGES.zone, CHANGES.weights]) ahead.apply(command);
    api.registry.replace(decodeState(encodeState(ahead.state)));
    const { headers } = await pending.answer;
    expect(headers["x-muster-index"]).toBe(String(before + 2));
    expect((await new Pending(`/api/v1/zone?index=${before}`).answer).statusCode).toBe(200);
    expect((await begin(`/api/v1/zone?index=${before + 1}&wait=1s`)).settled).toBe(false);
    await api.clock.advance(2000);
  });

  test("takes a barrier or an index first, and waits from then on", async () => {
    await populate();
    const pending = await begin(`/api/v1/zone?consistency=linearizable&min_index=1&index=${index()}`);
    await change(CHANGES.zone);
    expect((await pending.answer).statusCode).toBe(200);
    api.registry.quorum = false;
    const refused = await new Pending(`/api/v1/zone?consistency=linearizable&index=${index()}`).answer;
    expect(refused.statusCode).toBe(503);
  });

  test("is told when the agent leaves its cluster meanwhile", async () => {
    await populate();
    const pending = await begin(`/api/v1/zone?index=${index()}`);
    api.bootstrap.state = { name: "idle" };
    api.registry.replace({ ...new FakeApi().registry.state });
    const { statusCode, json } = await pending.answer;
    expect([statusCode, json().error.message]).toEqual([503, "not_in_cluster"]);
  });

  test("is no news in the log, however long it took", async () => {
    await populate();
    const pending = await begin(`/api/v1/zone?index=${index()}&wait=1m`);
    await api.clock.advance(2 * MINUTE);
    await pending.answer;
    expect(api.log.matching("request").map(({ level }) => level)).toEqual(["debug"]);
  });

  test("index and wait are a dialect's own where nothing of the registry is shown", async () => {
    await populate();
    expect((await new Pending("/v1/jsonschema?index=x&wait=y").answer).statusCode).toBe(200);
  });
});

describe("a reader that always asks for what follows", () => {
  /** What a zone list showed, as one text. */
  const shown = (answer: LightMyRequestResponse): string => JSON.stringify(answer.json().data);

  test.each([1, 2, 3, 4, 5])(
    "sees the end of any sequence of changes, whatever happens between (seed %i)",
    async (seed) => {
      const random = new Prng(seed);
      await populate();
      const writer = { done: false };
      const reader = (async () => {
        let from = "0";
        let last = "";
        while (!writer.done || from !== String(index())) {
          const at = index();
          const pending = new Pending(`/api/v1/zone?index=${from}&wait=${random.below(20)}s`);
          // A reader that restarts gives up its call, and goes on from the index that it has.
          if (random.below(4) === 0) {
            await turns(random.below(3));
            continue;
          }
          while (!pending.settled && (!writer.done || index() > at)) {
            await turns(1);
            if (writer.done && !pending.settled) await api.clock.advance(MINUTE);
          }
          if (!pending.settled) await api.clock.advance(MINUTE);
          const answer = await pending.answer;
          expect(Number(answer.headers["x-muster-index"])).toBeGreaterThanOrEqual(Number(from));
          from = String(answer.headers["x-muster-index"]);
          last = shown(answer);
        }
        return last;
      })();
      for (let n = 0; n < 60; n += 1) {
        const kind = random.below(10);
        if (kind === 0) {
          api.registry.replace(decodeState(encodeState(api.registry.state)));
        } else {
          await change(
            kind < 4
              ? { type: "zones.set_weights", weights: { 1: { 2: n } } }
              : { type: "zone.rename", id: 1 + random.below(2), name: `n${n}` },
          );
        }
        await turns(random.below(4));
      }
      writer.done = true;
      expect(await reader).toBe(shown(await new Pending("/api/v1/zone").answer));
    },
  );
});

describe("how many may wait", () => {
  test("is limited for all together, told in the dialect's form; who hangs up makes room", async () => {
    await populate();
    const deps = { app: api.app, clock: new SystemClock(), log: api.log };
    const listen = [{ type: "tcp", scheme: "http", address: "127.0.0.1", port: 0 }] as const;
    const listeners = new Listeners(deps, { listen, tls: null, hostAddresses: () => [] });
    await listeners.start();
    const { port } = new URL(listeners.urls[0] ?? "");
    const all = Array.from(
      { length: INDEX_WAITERS_MAX - 2 },
      (_, n) => new Pending(`${n % 2 === 0 ? "/api/v1/zone" : "/muster/v1/members"}?index=${index()}`),
    );
    const early = new Pending(`/muster/v1/members?min_index=${index() + 1}&wait=10m`);
    await turns(200);
    const path = `/api/v1/zone?index=${index()}`;
    const held = httpRequest({ host: "127.0.0.1", port, path, headers: ADMIN });
    held.on("error", () => undefined);
    held.end();
    await once(held, "finish");

    const probe = `/muster/v1/members?index=${index()}&wait=0s`;
    await expect.poll(async () => (await begin(probe)).settled, { interval: 5 }).toBe(true);
    const refused = await new Pending(probe).answer;
    expect([refused.statusCode, refused.json().error.code, refused.headers["retry-after"]]).toEqual([
      503,
      "overloaded",
      "1",
    ]);
    const orchestrator = await new Pending(path).answer;
    expect([orchestrator.statusCode, orchestrator.json().error.message]).toEqual([503, "overloaded"]);
    const byIndex = await new Pending(`/muster/v1/members?min_index=${index() + 9}`).answer;
    expect(byIndex.json().error.code).toBe("overloaded");
    expect((await new Pending("/api/v1/zone").answer).statusCode).toBe(200);

    held.destroy();
    await expect
      .poll(async () => {
        const pending = await begin(probe);
        await api.clock.advance(LOOK_MS);
        return (await pending.answer).statusCode;
      })
      .toBe(200);

    await change(CHANGES.zone);
    await change(CHANGES.member);
    const codes = await Promise.all([early, ...all].map(async ({ answer }) => (await answer).statusCode));
    expect(codes.every((code) => code === 200)).toBe(true);
    expect(api.clock.timers).toBe(1);
    await listeners.close(0);
  });

  test("a server that closes answers those who wait", async () => {
    await populate();
    const pending = await begin(`/api/v1/zone?index=${index()}`);
    const closing = api.app.close();
    expect((await pending.answer).statusCode).toBe(200);
    await closing;
  });
});
