import { expect, test } from "vitest";

import { run } from "./commands.ts";
import { Network } from "./network.ts";
import { whyNot } from "./requirements.ts";

// Do the faults happen at all? A scenario that passes because nothing was broken proves nothing.

const PACKETS = 400;

/** Prints how many datagrams came until a second passed without any. */
const RECEIVER = `
  const socket = require("node:dgram").createSocket("udp4");
  let count = 0;
  let timer;
  const wait = (ms) => { clearTimeout(timer); timer = setTimeout(() => { console.log(count); socket.close(); }, ms); };
  socket.on("message", () => { count += 1; wait(1000); });
  socket.bind(7777, () => wait(3000));
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
  const node = (host: number, ...args: string[]): Promise<string> => {
    const [program = "", ...rest] = [...network.onHost(host), process.execPath, ...args];
    return run(program, ...rest);
  };
  const received = node(to, "-e", RECEIVER);
  // The receiver waits three seconds for the first; it has long begun to listen by then.
  await new Promise((resolve) => setTimeout(resolve, 500));
  await node(from, "-e", SENDER, network.addressOf(to));
  return Number(await received);
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
  expect(Math.abs(half - PACKETS / 2)).toBeLessThan(60);
});
