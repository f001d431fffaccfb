import { createServer, type Server } from "node:net";

import { expect, test } from "vitest";

import { explainFailure } from "#agent/explain-failure.ts";
import { StoreDamaged, WriteFailed } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";

function listen(server: Server, port: number, address: string): Promise<Error | number> {
  return new Promise((resolve) => {
    server.once("error", resolve);
    server.listen(port, address, () => {
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : 0);
    });
  });
}

test("an address in use, as the system reports it and wrapped by a library", async () => {
  const [first, second] = [createServer(), createServer()];
  const port = (await listen(first, 0, "127.0.0.1")) as number;
  const error = (await listen(second, port, "127.0.0.1")) as Error;
  first.close();
  const sentence = `127.0.0.1:${port} is in use by another process; give this agent other addresses (--api-listen, --mesh-listen)`;
  expect(explainFailure(error)).toBe(sentence);
  expect(explainFailure(new Error("start failed", { cause: error }))).toBe(sentence);
  expect(explainFailure(new AggregateError([new Error("other"), error]))).toBe(sentence);
});

test("an address of another host", async () => {
  const error = await listen(createServer(), 0, "192.0.2.1");
  expect(explainFailure(error)).toContain("192.0.2.1 is no address of this host");
});

test("what our own parts say is said as it is", () => {
  const locked = new AppError("path_error", {
    path: "/d",
    cause: "another agent runs on this data directory",
  });
  expect(explainFailure(locked)).toBe("/d: another agent runs on this data directory");
  expect(explainFailure(new StoreDamaged("the log is damaged", "join anew"))).toBe(
    "the log is damaged; join anew",
  );
});

test("a store that cannot be written", () => {
  const cause = new Error("IO error: /d/store/000003.log: No space left on device");
  expect(explainFailure(new WriteFailed(cause, { full: true }))).toMatch(
    /^the store cannot be written \(IO error: .*No space left on device\); make room/,
  );
});

test("a folder that this user may not make", () => {
  const cause = "EACCES: permission denied, mkdir '/var/lib/muster'";
  const sentence = explainFailure(new AppError("path_error", { path: "/var/lib/muster", cause }));
  expect(sentence).toMatch(/^\/var\/lib\/muster: permission denied; run as .* --data-dir/);
});

test("a defect is not explained away", () => {
  expect(explainFailure(new TypeError("x is not a function"))).toBeNull();
  expect(explainFailure("a string")).toBeNull();
});
