import { execFileSync } from "node:child_process";
import { Writable } from "node:stream";

import { expect, test, vi } from "vitest";

import { createLog, type LogOptions, type RootLog } from "#agent/log/logger.ts";

function record(options: Partial<LogOptions> = {}): { readonly log: RootLog; readonly text: () => string } {
  let text = "";
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const log = createLog({ level: "info", format: "json", host: "h1", ...options }, sink);
  return {
    log,
    text: () => {
      log.warn({}, "the end"); // What is urgent takes along what waits before it.
      return text.replaceAll(/^.*the end.*\n?/gmu, "");
    },
  };
}

test("one JSON object per line, with level, time, host and the fields of the part", () => {
  const { log, text } = record();
  log.child({ part: "mesh" }).info({ peers: 3 }, "connected");
  log.debug({}, "too light for this level");
  const lines = text().trimEnd().split("\n");
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    level: "info",
    host: "h1",
    part: "mesh",
    peers: 3,
    msg: "connected",
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
  });
});

test("no secret gets into the log: in fields, deep in them, in lists, in a child or a grandchild", () => {
  const { log, text } = record();
  const secret = "correct horse";
  log.info({ password: secret, headers: { Authorization: secret, "set-cookie": [secret] } }, "a");
  log.info({ request: { body: { credentials: { username: "u", password: secret } } } }, "b");
  log.info({ password: secret }, "the same name again");
  log.info({ users: [{ verifier: { stored_key: secret } }], privateKey: secret }, "c");
  log.child({ token: secret }).child({ api_key: secret }).info({ salt: secret }, "d");
  log.info({ a: { b: { c: { d: { e: { f: { harmless: secret } } } } } } }, "too deep to be looked through");
  expect(text()).not.toContain(secret);
  expect(text().trimEnd().split("\n")).toHaveLength(6);
});

test("a join token is masked wherever it stands, under whatever name", () => {
  const { log, text } = record();
  const token = `muster1.${"eyJpZCI6IngifQ-_".repeat(4)}`;
  log.info({ note: token, list: [`of ${token}, given`], deep: { error: { message: token } } }, "a");
  log.child({ from: token }).info({}, "b");
  expect(text()).not.toContain(token.slice(8));
  expect(text()).toContain("of [secret], given");
});

test("an error keeps its kind, its stack and its cause", () => {
  const { log, text } = record();
  log.fatal({ err: new TypeError("boom", { cause: new Error("inner") }) }, "dead");
  const { level, err } = JSON.parse(text()) as { level: string; err: { type: string; stack: string } };
  expect([level, err.type]).toEqual(["fatal", "TypeError"]);
  expect(err.stack).toContain("inner");
});

test("pretty lines are written before the call returns, too", () => {
  const { log, text } = record({ format: "pretty" });
  log.warn({ peer: "x" }, "slow");
  expect(text()).toMatch(/WARN: slow\n\s+peer: "x"/);
});

test("lines that are not urgent are written together, a moment later", () => {
  vi.useFakeTimers();
  try {
    const chunks: string[] = [];
    const sink = { write: (text: string) => void chunks.push(text) };
    const log = createLog({ level: "info", format: "json", host: "h1" }, sink);
    log.info({}, "one");
    vi.advanceTimersByTime(30);
    log.info({}, "two");
    expect(chunks).toEqual([]);
    vi.advanceTimersByTime(20);
    expect(chunks.map((chunk) => chunk.match(/"msg":"\w+"/g))).toEqual([['"msg":"one"', '"msg":"two"']]);
    log.info({ text: "x".repeat(40_000) }, "three"); // Too much to wait for company.
    expect(chunks).toHaveLength(2);
  } finally {
    vi.useRealTimers();
  }
});

test("a process that ends has written all its lines", () => {
  const script = `
    import { createLog } from "#agent/log/logger.ts";
    const log = createLog({ level: "info", format: "json", host: "h1" });
    log.info({}, "last words");
    process.exit(0);`;
  const out = execFileSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" });
  expect(out).toContain("last words");
});
