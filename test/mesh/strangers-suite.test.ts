import { strangersSuite } from "#test/suites/strangers.ts";
import { addressOf, Bed, newIdentity } from "./bed.ts";

strangersSuite("Mesh on libp2p", async () => {
  const bed = new Bed();
  const { mesh: joiner } = await bed.add();
  const { mesh: sponsor } = await bed.add();
  const { peerId } = await newIdentity();
  return {
    joiner,
    sponsor,
    sponsorAt: addressOf(sponsor),
    nobody: { peer: peerId, meshAddrs: ["/ip4/127.0.0.1/tcp/1"] },
    [Symbol.asyncDispose]: () => bed[Symbol.asyncDispose](),
  };
});
