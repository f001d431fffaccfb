import { once } from "node:events";

import { Listeners } from "#agent/api/listeners.ts";
import { SystemClock } from "#agent/clock/system-clock.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import type { NewMember } from "#shared/registry/command.ts";
import { FakeApi } from "#test/support/fake-api.ts";

// A process with the real API over a registry of one, filled with as many registered nodes as its argument says: what a
// read costs in a big cluster, without its hosts. Prints where it listens, and ends with its parent.

const nodes = Number(process.argv[2]);

await using api = new FakeApi();
// It keeps every line; a bench has millions.
api.log.debug = () => undefined;
await api.createCluster();
const submit = api.registry.submit.bind(api.registry);
await submit({ type: "zone.create", name: "bench" }, { by: "bench" });
for (let i = 2; i <= nodes; i += 1) {
  await submit({ type: "member.add", member: member(i) }, { by: "bench" });
}
for (const { uuid, name } of api.registry.state.members.values()) {
  const logins = { user: "user1:pass1", cfg: { listen: "0.0.0.0:3301" } };
  await submit({ type: "node.register", zone_id: 1, uuid, uri: `${name}:3301`, ...logins }, { by: "bench" });
}
if (api.registry.state.nodes.size !== nodes)
  throw new Error(`${api.registry.state.nodes.size} nodes registered`);

const listeners = new Listeners(
  { app: api.app, clock: new SystemClock(), log: api.log },
  {
    listen: [{ type: "tcp", scheme: "http", address: "127.0.0.1", port: 0 }],
    tls: null,
    hostAddresses: () => [],
  },
);
await listeners.start();
process.stdout.write(`${listeners.urls[0]}\n`);
process.stdin.resume();
await once(process.stdin, "close");
await listeners.close(0);

function member(number: number): NewMember {
  const address = `10.0.${number >> 8}.${number & 255}`;
  return {
    peer: `12D3KooWBench${number}`,
    uuid: `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`,
    name: `host-${number}.example`,
    addr: address,
    external_addrs: [],
    mesh_addrs: [`/ip4/${address}/tcp/9444`],
    api_urls: [`https://${address}:9443`],
    rack_id: null,
    software_version: SOFTWARE_VERSION,
  };
}
