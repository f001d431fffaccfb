import { transportSuite } from "#test/suites/transport.ts";
import { acceptedConnections, Bed, unite, until, untilMeshed } from "./bed.ts";

transportSuite("Mesh on libp2p", async () => {
  const bed = new Bed();
  const [a, b, c] = [await bed.add(), await bed.add(), await bed.add()];
  unite(bed.nodes);
  await untilMeshed(bed.nodes);
  await until(async () => (await acceptedConnections(bed.nodes)) === 3); // No second connection is on its way.
  return {
    nodes: [a.mesh, b.mesh, c.mesh],
    kill: () => c.mesh.close(),
    [Symbol.asyncDispose]: () => bed[Symbol.asyncDispose](),
  };
});
