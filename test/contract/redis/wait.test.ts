import { request as httpRequest } from "node:http";

import type { LightMyRequestResponse } from "fastify";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Listeners } from "#agent/api/listeners.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { BOOTSTRAP_WAITERS_MAX } from "#shared/lib/limits.ts";
import { ADMIN, FakeApi, SEED_TIME } from "#test/support/fake-api.ts";

// Goal: `?wait=` on GET /v1/bootstrap answers when the state changes, and neither before nor never.

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

const attempt = { action: "join_cluster", attempt: 1, startedAt: SEED_TIME } as const;
const INITIATED = { name: "initiated", ...attempt } as const;
const RUNNING = { name: "running", ...attempt } as const;
const failure = { code: "connect_error", details: { message: "m" } } as const;
const ERROR = { name: "error", ...attempt, endedAt: SEED_TIME, failure } as const;

/** A read under way; `settled` tells whether it has been answered. */
class Pending {
  readonly answer: Promise<LightMyRequestResponse>;
  settled = false;

  constructor(query: string, headers: Record<string, string> = {}) {
    this.answer = api.app.inject({ method: "GET", url: `/v1/bootstrap?${query}`, headers });
    void this.answer.finally(() => {
      this.settled = true;
    });
  }

  async word(): Promise<string> {
    const answer = await this.answer;
    expect(answer.statusCode).toBe(200);
    return answer.json().bootstrap_status.state as string;
  }
}

/** Starts a read and lets it get as far as it gets. */
async function begin(query: string, headers: Record<string, string> = {}): Promise<Pending> {
  const pending = new Pending(query, headers);
  await turns();
  return pending;
}

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe("GET /v1/bootstrap?wait=", () => {
  test("answers at the next state", async () => {
    api.bootstrap.state = INITIATED;
    const pending = await begin("wait=30s");
    expect(pending.settled).toBe(false);
    api.bootstrap.state = RUNNING;
    expect(await pending.word()).toBe("joining_cluster");
  });

  test("steps of the attempt wake nobody", async () => {
    api.bootstrap.state = RUNNING;
    const pending = await begin("wait=30s");
    api.bootstrap.steps = [{ name: "contact", state: "running", start: SEED_TIME, end: null }];
    api.bootstrap.state = { ...RUNNING };
    await turns();
    expect(pending.settled).toBe(false);
    api.bootstrap.state = ERROR;
    expect(await pending.word()).toBe("error");
  });

  test("answers with the same state when the time is over", async () => {
    api.bootstrap.state = RUNNING;
    const pending = await begin("wait=30s");
    await api.clock.advance(29_999);
    await turns();
    expect(pending.settled).toBe(false);
    await api.clock.advance(1);
    expect(await pending.word()).toBe("joining_cluster");
  });

  test("with state=, answers at once what has come between two calls", async () => {
    api.bootstrap.state = ERROR;
    expect(await (await begin("wait=30s&state=joining_cluster")).word()).toBe("error");
    const pending = await begin("wait=30s&state=error");
    expect(pending.settled).toBe(false);
    api.bootstrap.state = INITIATED;
    expect(await pending.word()).toBe("initiated");
  });

  test.each(["wait=5", "wait=soon", "wait=11m", "wait=", "wait=1s&wait=2s", "wait=1s&state=asleep"])(
    "%s is refused",
    async (query) => {
      const { statusCode, json } = await new Pending(query).answer;
      expect([statusCode, json().error_code]).toEqual([400, "config_error"]);
    },
  );

  test("who was let in without a name is told the word alone, once this host is a member", async () => {
    api.bootstrap.state = RUNNING;
    const pending = await begin("wait=30s");
    await api.createCluster();
    expect((await pending.answer).json()).toEqual({ bootstrap_status: { state: "completed" } });
  });

  test("a member wants a name from those who wait, too", async () => {
    await api.createCluster();
    expect((await new Pending("wait=30s").answer).statusCode).toBe(401);
    const pending = await begin("wait=30s", ADMIN);
    api.bootstrap.state = { name: "idle", reason: "it left" };
    expect(await pending.word()).toBe("idle");
  });

  test("only so many may wait; the others are told to come again", async () => {
    const waiting = [];
    for (let i = 0; i < BOOTSTRAP_WAITERS_MAX; i += 1) waiting.push(new Pending("wait=30s"));
    await turns();
    const { statusCode, json, headers } = await new Pending("wait=30s").answer;
    expect([statusCode, json().error_code, headers["retry-after"]]).toEqual([503, "overloaded", "1"]);
    expect((await new Pending("").answer).statusCode).toBe(200);
    api.bootstrap.state = INITIATED;
    for (const pending of waiting) expect(await pending.word()).toBe("initiated");
    const again = await begin("wait=30s");
    expect(again.settled).toBe(false);
    api.bootstrap.state = RUNNING;
    await again.answer;
  });

  test("a server that closes answers those who wait", async () => {
    const pending = await begin("wait=30s");
    await api.app.close();
    expect(await pending.word()).toBe("idle");
  });

  test("a caller that hangs up makes room", async () => {
    const deps = { app: api.app, clock: new SystemClock(), log: api.log };
    const listen = [{ type: "tcp", scheme: "http", address: "127.0.0.1", port: 0 }] as const;
    const listeners = new Listeners(deps, { listen, tls: null, hostAddresses: () => [] });
    await listeners.start();
    const all = Array.from({ length: BOOTSTRAP_WAITERS_MAX - 1 }, () => new Pending("wait=10m"));
    await turns();
    const timers = api.clock.timers;
    const held = httpRequest(`${listeners.urls[0] ?? ""}/v1/bootstrap?wait=10m`);
    held.on("error", () => undefined);
    held.end();
    await expect.poll(() => api.clock.timers).toBe(timers + 1);
    const probe = async (): Promise<number> => {
      const pending = await begin("wait=1ms");
      await api.clock.advance(1);
      return (await pending.answer).statusCode;
    };
    expect(await probe()).toBe(503);
    held.destroy();
    await expect.poll(probe).toBe(200);
    expect(api.log.matching("request failed")).toEqual([]);
    api.bootstrap.state = INITIATED;
    await Promise.all(all.map(({ answer }) => answer));
    await listeners.close(0);
  });
});
