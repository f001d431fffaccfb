import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

import { expect, test } from "vitest";

import { run } from "./commands.ts";
import { Network } from "./network.ts";
import { whyNot } from "./requirements.ts";

// Do the faults happen at all? A scenario that passes because nothing was broken proves nothing.

/** As many as a receiver that gets no processor for a while finds in its buffer. */
const PACKETS = 200;

/** Says when it listens; told that the sender is done, prints how many came. */
const RECEIVER = `
  const socket = require("node:dgram").createSocket("udp4");
  let count = 0;
  socket.on("message", () => { count += 1; });
  socket.bind(7777, () => console.log("listens"));
  process.stdin.resume().on("end", () => setTimeout(() => { console.log(count); socket.close(); }, 200));
`;

/** Spread over time, so that no buffer overflows. */
const SENDER = `
  const socket = require("node:dgram").createSocket("udp4");
  (async () => {
    for (let i = 0; i < ${PACKETS}; i += 1) {
      await new Promise((sent) => socket.send("x", 7777, process.argv[1], sent));
      await new Promise((later) => setTimeout(later, 1));
    }
    socket.close();
  })();
`;

/** Of so many datagrams from one host to another, so many came. */
async function passed(network: Network, from: number, to: number): Promise<number> {
  const onHost = (host: number, ...args: string[]): [string, ...string[]] => [
    ...(network.onHost(host) as [string]),
    process.execPath,
    ...args,
  ];
  const [program, ...args] = onHost(to, "-e", RECEIVER);
  const receiver = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(receiver.stdout)[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe("listens");
  await run(...onHost(from, "-e", SENDER, network.addressOf(to)));
  receiver.stdin.end();
  return Number((await lines.next()).value);
}

test("the network passes, loses, cuts and moves as it is told", async (context) => {
  const reason = whyNot();
  if (reason !== null) context.skip(reason);
  await using network = new Network();
  await network.start();
  await network.addHost(1);
  await network.addHost(2);
  expect(await passed(network, 1, 2)).toBe(PACKETS);

  await network.cutOneWay([1], [2]);
  const [there, back] = await Promise.all([passed(network, 1, 2), passed(network, 2, 1)]);
  expect({ there, back }).toEqual({ there: 0, back: PACKETS });

  await network.move(2, 102);
  expect(await passed(network, 1, 2)).toBe(0);

  await network.heal();
  expect(await passed(network, 1, 2)).toBe(PACKETS);

  await network.lose(0.5);
  const half = await passed(network, 1, 2);
  // Six standard deviations.
  expect(Math.abs(half - PACKETS / 2)).toBeLessThan(43);
});
