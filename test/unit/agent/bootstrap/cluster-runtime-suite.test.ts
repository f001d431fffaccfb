import { Cluster } from "#agent/cluster.ts";
import { MembershipDriver } from "#agent/membership/driver.ts";
import { Replica } from "#agent/registry/replica.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import { Prng } from "#shared/lib/prng.ts";
import { clusterRuntimeSuite } from "#test/suites/cluster-runtime.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeMesh } from "#test/support/fake-mesh.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";
import { FakeRuntime } from "./fake-host.ts";

const ZONES = (name: string) => ({ type: "zone.create", name }) as const;
const BY = { by: "agent" } as const;

clusterRuntimeSuite("Cluster over Replica", async () => {
  const clock = new FakeClock();
  const mesh = new FakeMesh({ clock });
  const prng = new Prng(1);
  const wait = async <T>(promise: Promise<T>): Promise<T> => {
    let open = true;
    const seen = promise.finally(() => (open = false));
    seen.catch(() => undefined);
    await clock.until(() => !open);
    return seen;
  };
  const agent = (peer: string, disk: MemoryDisk): Cluster => {
    const transport = mesh.join(peer);
    const deps = { transport, clock, log: new RecordingLog(), random: () => prng.next() };
    const membership = new MembershipDriver(deps, { starts: 1 });
    const registry = new Replica({
      ...deps,
      stores: openMemoryStores(disk),
      createCore: (options, start) => new RaftCore(options, start),
      membership,
      session: 1,
    });
    return new Cluster({ registry, transport, membership, clock });
  };
  const disk = new MemoryDisk();
  return {
    runtime: agent("peer-2", disk),
    identityOnDisk: () => disk.durable.cluster,
    otherFounds: async (zones) => {
      const other = agent("peer-1", new MemoryDisk());
      await wait(other.found({ clusterId: "c1", incarnation: 1, uid: 1, contacts: [] }));
      const member = makeMember(2, { peer: "peer-2" });
      for (const command of [makeCluster(), { type: "member.add", member } as const, ...zones.map(ZONES)]) {
        await wait(other.registry.submit(command, BY));
      }
    },
    wait,
  };
});

clusterRuntimeSuite("FakeRuntime", async () => {
  const disk = new MemoryDisk();
  const runtime = new FakeRuntime(disk);
  return {
    runtime,
    identityOnDisk: () => disk.durable.cluster,
    otherFounds: async (zones) => {
      const other = new LocalRegistry();
      for (const command of [makeCluster(), ...zones.map(ZONES)]) await other.submit(command, BY);
      runtime.follows = other;
    },
    wait: (promise) => promise,
  };
});
