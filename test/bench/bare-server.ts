import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Socket } from "node:net";

import { Level } from "level";

// The least that three processes in Node can do for a write that a majority has on disk: plain HTTP, plain TCP, synced puts of a
// fixed record, and nothing else. Run as `bare-server.ts DIR follower` or `bare-server.ts DIR leader PORT PORT`; says where it listens.

const RECORD = Buffer.alloc(400, 7);
const ADDRESS = "127.0.0.1";
/** Each record begins with its number, which is the answer. */
const NUMBER_BYTES = 4;

const [dir = "", role, ...ports] = process.argv.slice(2);
const db = new Level<string, Buffer>(dir, { valueEncoding: "buffer" });
await db.open();
let written = 0;

async function save(): Promise<void> {
  written += 1;
  await db.put(String(written), RECORD, { sync: true });
}

function follow(): void {
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on("data", (data) => void save().then(() => socket.write(data.subarray(0, NUMBER_BYTES))));
  });
  server.listen(0, ADDRESS, () => process.send?.(server.address()));
}

/** One write at a time: answered once this disk and one follower's have it. */
function lead(followers: readonly Socket[]): void {
  let number = 0;
  let acknowledge: () => void = () => undefined;
  const heard = (answers: Buffer): void => {
    for (let at = 0; at < answers.length; at += NUMBER_BYTES) {
      if (answers.readUInt32BE(at) === number) acknowledge(); // Else the slower one's, of the write before.
    }
  };
  for (const follower of followers) follower.setNoDelay(true).on("data", heard);
  const server = createHttpServer((request, response) => {
    request.resume().on("end", () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      acknowledge = resolve;
      number += 1;
      const record = Buffer.from(RECORD);
      record.writeUInt32BE(number);
      for (const follower of followers) follower.write(record);
      void Promise.all([save(), promise]).then(() => response.end('{"ok":true}'));
    });
  });
  server.listen(0, ADDRESS, () => process.send?.(server.address()));
}

if (role === "follower") follow();
else lead(ports.map((port) => connect(Number(port), ADDRESS)));
