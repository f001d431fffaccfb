import { SystemClock } from "#agent/clock/system-clock.ts";
import { loadIdentity } from "#agent/mesh/identity.ts";
import { Mesh } from "#agent/mesh/mesh.ts";
import type { PeerAddresses } from "#agent/ports/transport.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { CLUSTER } from "./bed.ts";

// One mesh in a process of its own, to be killed: node child.ts DIR LISTEN. Prints its address; is told of its members.
const [, , dir = "", listen = ""] = process.argv;
const identity = await loadIdentity(dir);
const mesh = new Mesh(
  { log: new RecordingLog(), clock: new SystemClock(), identity },
  { listen: [listen], software: "child" },
);
mesh.onRequest("never", () => new Promise(() => undefined));
await mesh.start();
mesh.setCluster(CLUSTER);
process.on("message", (members) => mesh.setMembers(members as PeerAddresses[]));
process.send?.({ peer: mesh.self, meshAddrs: mesh.listenAddrs() });
