import { describe, expect, test } from "vitest";

import { requestLevel, RequestLog } from "#agent/api/request-log.ts";
import type { Log } from "#agent/ports/log.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

describe("the level of a request's line", () => {
  test.each([
    ["GET", 200, 3, undefined, "debug"],
    ["HEAD", 200, 1000, undefined, "debug"],
    ["GET", 200, 1000.5, undefined, "info"],
    ["GET", 200, 3_600_000, "stream", "debug"],
    ["GET", 401, 3, undefined, "info"],
    ["GET", 401, 3, "stream", "info"],
    ["PUT", 200, 3, undefined, "info"],
    ["DELETE", 404, 3, undefined, "info"],
    ["GET", 503, 3, undefined, "warn"],
    ["POST", 500, 3, undefined, "warn"],
    ["GET", 200, 3, "probe", "debug"],
    ["GET", 503, 5000, "probe", "debug"],
  ] as const)("%s %i after %d ms (%s): %s", (method, status, ms, routine, level) => {
    expect(requestLevel({ method, status, ms, routine })).toBe(level);
  });
});

describe("the log as Fastify wants it", () => {
  test("a child that logs nothing is never made", () => {
    const made: object[] = [];
    const child = new RecordingLog();
    const log: Log = Object.assign(new RecordingLog(), {
      child: (fields: object) => {
        made.push(fields);
        return child;
      },
    });
    const perRequest = new RequestLog(() => log).child({ request: "r-1" });
    expect(made).toEqual([]);
    perRequest.warn({ a: 1 }, "first");
    perRequest.fatal("second");
    expect(made).toEqual([{ request: "r-1" }]);
    expect(child.lines).toEqual([
      { level: "warn", fields: { a: 1 }, text: "first" },
      { level: "error", fields: {}, text: "second" },
    ]);
  });
});
