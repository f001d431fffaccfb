import { spawn, type ChildProcess } from "node:child_process";
import { on } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Notifier, notifySettings } from "#agent/systemd/notify.ts";
import { createLog } from "#agent/log/logger.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

// The real systemd-notify sends to a real datagram socket (.ci/setup installs both programs): only systemd is missing.

const RECEIVER = new URL("receiver.py", import.meta.url).pathname;
const quiet = createLog({ level: "error", format: "json", host: "test" }, { write: () => undefined });

let dir: string;
let receiver: ChildProcess;
let received: AsyncIterator<unknown>;
let socket: string;

async function next(): Promise<Record<string, unknown>> {
  const { value } = (await received.next()) as { value: [string] };
  return JSON.parse(value[0]) as Record<string, unknown>;
}

/** The next datagram without the barrier that systemd-notify sends after each message. */
async function nextMessage(): Promise<unknown> {
  for (;;) {
    const { lines } = await next();
    if (!(lines as string[]).includes("BARRIER=1")) return lines;
  }
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "muster-notify-"));
  socket = join(dir, "notify.sock");
  receiver = spawn("python3", [RECEIVER, socket], { stdio: ["ignore", "pipe", "inherit"] });
  if (receiver.stdout === null) throw new Error("the receiver has no output");
  received = on(createInterface(receiver.stdout), "line")[Symbol.asyncIterator]();
  expect(await next()).toEqual({ bound: true });
});

afterEach(() => {
  receiver.kill();
  rmSync(dir, { recursive: true });
});

describe("a real datagram socket", () => {
  test("READY with a status, then STOPPING", async () => {
    const notifier = new Notifier({ log: quiet, clock: new FakeClock() }, { socket, watchdogMs: null });
    await notifier.ready("ready at https://127.0.0.1:9443", () => true);
    await notifier.stopping();
    expect(await nextMessage()).toEqual(["READY=1", "STATUS=ready at https://127.0.0.1:9443"]);
    expect(await nextMessage()).toEqual(["STOPPING=1"]);
  });

  test("the watchdog is fed at half its time, only while healthy, and not while stopping", async () => {
    const clock = new FakeClock();
    let healthy = true;
    const notifier = new Notifier({ log: quiet, clock }, { socket, watchdogMs: 30_000 });
    await notifier.ready("up", () => healthy);
    expect(await nextMessage()).toEqual(["READY=1", "STATUS=up"]);
    await clock.advance(14_999);
    await clock.advance(1);
    expect(await nextMessage()).toEqual(["WATCHDOG=1"]);
    healthy = false;
    await clock.advance(60_000);
    healthy = true;
    await clock.advance(15_000);
    await notifier.stopping();
    await clock.advance(60_000);
    expect(clock.timers).toBe(0);
    expect(await nextMessage()).toEqual(["WATCHDOG=1"]);
    expect(await nextMessage()).toEqual(["STOPPING=1"]);
  });
});

test("a manager that is gone is logged and harms nothing", async () => {
  const notifier = new Notifier(
    { log: quiet, clock: new FakeClock() },
    { socket: "/nowhere", watchdogMs: null },
  );
  await notifier.ready("up", () => true);
});

describe("settings from the environment", () => {
  test.each<[string, Record<string, string>, ReturnType<typeof notifySettings>]>([
    ["nobody listens", {}, null],
    ["an empty socket", { NOTIFY_SOCKET: "" }, null],
    ["no watchdog", { NOTIFY_SOCKET: "/s" }, { socket: "/s", watchdogMs: null }],
    ["a watchdog", { NOTIFY_SOCKET: "/s", WATCHDOG_USEC: "30000000" }, { socket: "/s", watchdogMs: 30_000 }],
    [
      "a watchdog for this process",
      { NOTIFY_SOCKET: "/s", WATCHDOG_USEC: "2000", WATCHDOG_PID: "7" },
      { socket: "/s", watchdogMs: 2 },
    ],
    [
      "a watchdog for another process",
      { NOTIFY_SOCKET: "/s", WATCHDOG_USEC: "2000", WATCHDOG_PID: "8" },
      { socket: "/s", watchdogMs: null },
    ],
    ["nonsense", { NOTIFY_SOCKET: "/s", WATCHDOG_USEC: "soon" }, { socket: "/s", watchdogMs: null }],
  ])("%s", (_, env, settings) => {
    expect(notifySettings(env, 7)).toEqual(settings);
  });
});
