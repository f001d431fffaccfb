import type { Registry } from "#agent/ports/registry.ts";
import { registrySuite, type RegistryHarness } from "#test/suites/registry.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { makeCluster, RegistryLog } from "#test/support/registry-log.ts";
import { Replicas } from "./replicas.ts";

/** Few enough entries that a member which was away for thirty of them needs a snapshot. */
const EAGER = { snapshotEntries: 10, logTailEntries: 2 };

/** The real thing, on one of `count` members. */
async function replicaOf(
  count: number,
  role: ReturnType<Registry["status"]>["role"],
): Promise<RegistryHarness> {
  const replicas = await Replicas.form(count, EAGER);
  const host = replicas.hosts.find(({ replica }) => replica.status().role === role);
  if (host === undefined) throw new Error(`there is no ${role} among ${count}`);
  const others = replicas.hosts.filter((other) => other !== host);
  return {
    registry: host.replica,
    wait: (promise) => replicas.wait(promise),
    loseQuorum: async () => {
      for (const other of others) await replicas.kill(other);
      await replicas.clock.until(() => host.replica.status().leader === null);
    },
    replace: async () => {
      const peers = others.map(({ peer }) => peer);
      replicas.mesh.cut([host.peer], peers);
      for (let n = 1; n <= 30; n += 1) await replicas.zone(replicas.anyUp(host), `other-${n}`);
      replicas.mesh.heal();
      await replicas.settled();
    },
  };
}

registrySuite("Replica that leads", () => replicaOf(3, "leader"));
registrySuite("Replica that follows", () => replicaOf(3, "follower"));
registrySuite("Replica that learns", () => replicaOf(4, "learner"));

registrySuite("LocalRegistry", async () => {
  const clock = new FakeClock();
  const registry = new LocalRegistry({ clock });
  await registry.submit(makeCluster(), { by: "agent" });
  return {
    registry,
    wait: async (promise) => {
      let open = true;
      const seen = promise.finally(() => (open = false));
      seen.catch(() => undefined);
      await clock.until(() => !open);
      return seen;
    },
    loseQuorum: async () => {
      registry.quorum = false;
    },
    replace: async () => {
      const other = new RegistryLog();
      other.must(makeCluster());
      for (const name of ["other-1", "other-2"]) other.must({ type: "zone.create", name });
      registry.replace(other.state);
    },
  };
});
