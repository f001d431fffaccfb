import { describe, expect, test } from "vitest";

import type { Backups } from "#agent/ports/backup.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import { makeCluster, RegistryLog } from "#test/support/registry-log.ts";

const IDENTITY: ClusterIdentity = { clusterId: "cluster-1", incarnation: 1, uid: 1, contacts: [] };

/** What every implementation of Backups (agent/ports/backup.ts) must do. */
export function backupsSuite(name: string, make: () => Backups): void {
  describe(name, () => {
    function registryOfOne(): RegistryLog {
      const registry = new RegistryLog();
      registry.must(makeCluster());
      return registry;
    }

    test("what was saved is read by its path, whole, with what its head says of it", async () => {
      const backups = make();
      const { state } = registryOfOne();
      const { path, head } = await backups.save(state, IDENTITY);
      const { index, term } = state;
      expect(head).toMatchObject({
        cluster_id: "cluster-1",
        cluster_name: "test",
        incarnation: 1,
        index,
        term,
      });
      const read = await backups.read(path);
      expect([read.path, read.head]).toEqual([path, head]);
      expect(encodeState(read.state)).toBe(encodeState(state));
    });

    test("it is the state as it was when it was asked for, and what is read is nobody else's", async () => {
      const backups = make();
      const registry = registryOfOne();
      const saving = backups.save(registry.state, IDENTITY);
      registry.must({ type: "zone.create", name: "later" });
      const { path } = await saving;
      const first = await backups.read(path);
      expect(first.state.zones.size).toBe(0);
      first.state.users.clear();
      expect((await backups.read(path)).state.users.size).toBe(1);
    });

    test("each has a path of its own", async () => {
      const backups = make();
      const registry = registryOfOne();
      const one = await backups.save(registry.state, IDENTITY);
      registry.must({ type: "zone.create", name: "later" });
      const two = await backups.save(registry.state, { ...IDENTITY, incarnation: 2 });
      expect((await backups.read(one.path)).head).toEqual(one.head);
      expect((await backups.read(two.path)).head).toMatchObject({
        incarnation: 2,
        index: registry.state.index,
      });
    });

    test("one that is not there is a path_error that names it", async () => {
      const error: unknown = await make()
        .read("/nowhere/x.backup")
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(AppError);
      expect(error).toMatchObject({ kind: "path_error", facts: { path: "/nowhere/x.backup" } });
    });
  });
}
