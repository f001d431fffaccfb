import { Writable } from "node:stream";

import { createLog } from "#agent/log/logger.ts";
import { logSuite } from "#test/suites/log.ts";
import { RecordingLog } from "#test/support/recording-log.ts";

logSuite("pino", () => {
  const written: { level: string; msg: string }[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().trimEnd().split("\n")) {
        written.push(JSON.parse(line) as { level: string; msg: string });
      }
      done();
    },
  });
  return {
    log: createLog({ level: "trace", format: "json", host: "h1" }, sink),
    lines: () => written.map(({ level, msg, ...fields }) => ({ level, fields, text: msg })),
  };
});

logSuite("RecordingLog", () => {
  const log = new RecordingLog();
  return { log, lines: () => log.lines };
});
