import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Listeners } from "#agent/api/listeners.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { EVENT_QUEUE_MAX, EVENT_STREAMS_MAX } from "#shared/lib/limits.ts";
import { ADMIN, FakeApi } from "#test/support/fake-api.ts";

let api: FakeApi;
let listeners: Listeners;
let port: number;
beforeEach(async () => {
  api = new FakeApi();
  await api.createCluster();
  const deps = { app: api.app, clock: new SystemClock(), log: api.log };
  const listen = [{ type: "tcp", scheme: "http", address: "127.0.0.1", port: 0 }] as const;
  listeners = new Listeners(deps, { listen, tls: null, hostAddresses: () => [] });
  await listeners.start();
  port = Number(new URL(listeners.urls[0] ?? "").port);
});
afterEach(async () => {
  await listeners.close(0);
});

/** An event's id is the index, stamped with the cluster's id and incarnation. */
const stamped = (index: number) => `22222222-1-${index}`;

interface SentEvent {
  readonly event: string;
  readonly id: string;
  readonly data: { readonly index: number; readonly changes?: readonly { readonly id: string }[] };
}

/** A reader of the stream; `next` waits for the next event, and answers null at the end. */
class Reader {
  readonly response: IncomingMessage;
  readonly #chunks: AsyncIterator<Buffer>;
  #text = "";
  comments = 0;

  constructor(response: IncomingMessage) {
    this.response = response;
    this.#chunks = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  async next(): Promise<SentEvent | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end < 0) {
        const { done, value } = await this.#chunks.next();
        if (done === true) return null;
        this.#text += value.toString();
        continue;
      }
      const lines = this.#text.slice(0, end).split("\n");
      this.#text = this.#text.slice(end + 2);
      const field = (name: string) =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (lines[0]?.startsWith(":") === true) this.comments += 1;
      const [event, data] = [field("event"), field("data")];
      if (event === undefined || data === undefined) continue;
      return { event, id: field("id") ?? "", data: JSON.parse(data) as SentEvent["data"] };
    }
  }
}

async function open(query = "", headers: Record<string, string> = {}): Promise<Reader> {
  const path = `/muster/v1/events${query}`;
  const sent = request({ host: "127.0.0.1", port, path, headers: { ...ADMIN, ...headers } });
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return new Reader(response);
}

let names = 0;
/** The first change makes a zone, each further one renames it. Answers with its index. */
async function change(): Promise<number> {
  names += 1;
  const name = `${"x".repeat(100)}${names}`;
  const made = api.registry.state.zones.has(1);
  const command = made
    ? ({ type: "zone.rename", id: 1, name } as const)
    : ({ type: "zone.create", name } as const);
  return (await api.registry.submit(command, { by: "admin" })).index;
}

describe("GET events", () => {
  test("says where it begins, then each change as it is applied", async () => {
    const reader = await open();
    expect(reader.response.headers["content-type"]).toBe("text/event-stream");
    expect(await reader.next()).toEqual({ event: "start", id: stamped(1), data: { index: 1 } });
    const index = await change();
    expect(await reader.next()).toMatchObject({
      event: "changes",
      id: stamped(index),
      data: { index, changes: [{ topic: "zones", op: "set", id: "1" }] },
    });
  });

  test.each([
    ["?from=N", (index: number) => open(`?from=${index}`)],
    ["?from=ID", (index: number) => open(`?from=${stamped(index)}`)],
    ["Last-Event-ID", (index: number) => open("", { "last-event-id": stamped(index) })],
  ])("%s: what follows that index, each once, without a gap", async (_how, openAfter) => {
    const first = await change();
    const [second, third] = [await change(), await change()];
    const reader = await openAfter(first);
    const told = [await reader.next(), await reader.next(), await reader.next()];
    expect(told.map((event) => [event?.event, event?.id])).toEqual([
      ["start", stamped(first)],
      ["changes", stamped(second)],
      ["changes", stamped(third)],
    ]);
    const fourth = await change();
    expect((await reader.next())?.id).toBe(stamped(fourth));
  });

  test("Last-Event-ID is newer than the URL an EventSource was opened with", async () => {
    const [first, second] = [await change(), await change()];
    const reader = await open(`?from=${first}`, { "last-event-id": stamped(second) });
    expect(await reader.next()).toMatchObject({ event: "start", id: stamped(second) });
  });

  test("from before what is kept: reset, then on from here", async () => {
    const reader = await open("?from=0");
    expect(await reader.next()).toEqual({ event: "reset", id: stamped(1), data: { index: 1 } });
    const index = await change();
    expect((await reader.next())?.id).toBe(stamped(index));
  });

  test("only so much is kept", async () => {
    const first = await change();
    for (let i = 0; i < EVENT_QUEUE_MAX; i += 1) await change();
    expect((await (await open(`?from=${first}`)).next())?.event).toBe("start");
    expect((await (await open(`?from=${first - 1}`)).next())?.event).toBe("reset");
  });

  test("from an index that this history has not reached: reset, once it is clear that it will not come", async () => {
    const reader = await open("?from=999999");
    expect(await reader.next()).toEqual({ event: "reset", id: stamped(1), data: { index: 1 } });
  });

  test("from an index that its own history will reach: nothing until then, and no reset", async () => {
    const { index } = api.registry.state;
    const reader = await open("", { "last-event-id": stamped(index + 2) });
    const [first] = [reader.next(), await change(), await change()];
    expect(await first).toMatchObject({ event: "start", id: stamped(index + 2) });
    const next = await change();
    expect((await reader.next())?.id).toBe(stamped(next));
  });

  test.each(["22222222-2-1", "33333333-1-1"])("from an index of another history (%s): reset", async (id) => {
    const reader = await open("", { "last-event-id": id });
    expect(await reader.next()).toEqual({ event: "reset", id: stamped(1), data: { index: 1 } });
  });

  test.each(["-1", "x", "22222222-1-", "1.5"])("?from=%s is refused", async (from) => {
    const { response } = await open(`?from=${from}`);
    expect(response.statusCode).toBe(400);
    response.resume();
  });

  test.each([
    ["a newer state", 500],
    ["a state of the same index", 1],
    ["an older state", 0],
  ])("%s in the place of all that was there resets the readers", async (_what, index) => {
    const reader = await open();
    expect((await reader.next())?.event).toBe("start");
    api.registry.replace({ ...api.registry.state, index });
    expect(await reader.next()).toEqual({ event: "reset", id: stamped(index), data: { index } });
    expect(await reader.next()).toBe(null);
  });

  test("a comment now and then keeps it alive", async () => {
    const reader = await open();
    await reader.next();
    await api.clock.advance(15_000);
    await change();
    await reader.next();
    expect(reader.comments).toBe(1);
  });

  test("a reader that takes nothing is told and closed, and costs no memory meanwhile", async () => {
    const reader = await open();
    expect((await reader.next())?.event).toBe("start");
    reader.response.pause();
    // Far more than the sockets hold.
    for (let i = 0; i < EVENT_QUEUE_MAX * 12; i += 1) await change();
    const events: string[] = [];
    for (let event = await reader.next(); event !== null; event = await reader.next())
      events.push(event.event);
    expect(events.at(-1)).toBe("reset");
    expect(events.length).toBeLessThan(EVENT_QUEUE_MAX * 12);
  });

  test("only so many readers at once; one that leaves makes room", async () => {
    const readers = await Promise.all(Array.from({ length: EVENT_STREAMS_MAX }, () => open()));
    const refused = await open();
    expect(refused.response.statusCode).toBe(503);
    refused.response.resume();
    readers[0]?.response.destroy();
    await expect.poll(async () => (await open()).response.statusCode).toBe(200);
    for (const { response } of readers) response.destroy();
  });

  test("HEAD tells the type and ends; strangers get nothing", async () => {
    const head = await api.app.inject({ method: "HEAD", url: "/muster/v1/events", headers: ADMIN });
    expect([head.statusCode, head.headers["content-type"]]).toEqual([200, "text/event-stream"]);
    expect((await api.app.inject({ method: "GET", url: "/muster/v1/events" })).statusCode).toBe(401);
  });
});
