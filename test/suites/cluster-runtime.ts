import { beforeEach, describe, expect, test } from "vitest";

import type { ClusterRuntime } from "#agent/ports/registry.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import { makeCluster } from "#test/support/registry-log.ts";

export interface ClusterRuntimeHarness {
  /** Of an agent that is in no cluster. */
  readonly runtime: ClusterRuntime;
  /** Which cluster a power cut would leave on its disk. */
  identityOnDisk(): ClusterIdentity | null;
  /** Another agent founds a cluster with these zones and takes this one in; resolves when this one may follow. */
  otherFounds(zones: readonly string[]): Promise<void>;
  /** Lets time pass until the promise settles. */
  wait<T>(promise: Promise<T>): Promise<T>;
}

const IDENTITY: ClusterIdentity = { clusterId: "c1", incarnation: 1, uid: 1, contacts: [] };

/** What every implementation of ClusterRuntime (agent/ports/registry.ts) must do. */
export function clusterRuntimeSuite(name: string, make: () => Promise<ClusterRuntimeHarness>): void {
  describe(name, () => {
    let harness: ClusterRuntimeHarness;
    let runtime: ClusterRuntime;

    beforeEach(async () => {
      harness = await make();
      ({ runtime } = harness);
    });

    const create = async (): Promise<void> => {
      const { result } = await harness.wait(runtime.registry.submit(makeCluster(), { by: "agent" }));
      expect(result.ok).toBe(true);
    };
    const isEmpty = (): boolean =>
      runtime.registry.state.cluster === null && runtime.registry.state.members.size === 0;

    test("a cluster that was founded is on disk, empty, and can be written at once", async () => {
      await harness.wait(runtime.found(IDENTITY));
      expect(harness.identityOnDisk()).toEqual(IDENTITY);
      expect(isEmpty()).toBe(true);
      await create();
      expect(runtime.registry.state.cluster).not.toBeNull();
    });

    test("who follows has it on disk, and sees what the others wrote as soon as that has come", async () => {
      await harness.otherFounds(["a", "b"]);
      const identity = { ...IDENTITY, uid: 2 };
      await harness.wait(runtime.follow(identity));
      expect(harness.identityOnDisk()).toEqual(identity);
      await harness.wait(runtime.registry.readBarrier({ timeoutMs: 5000 }));
      expect([...runtime.registry.state.zones.values()].map((zone) => zone.name)).toEqual(["a", "b"]);
    });

    test("what is forgotten is gone from disk and memory, and another cluster may be entered", async () => {
      await harness.wait(runtime.found(IDENTITY));
      await create();
      await harness.wait(runtime.forget());
      expect(harness.identityOnDisk()).toBeNull();
      expect(isEmpty()).toBe(true);
      const another = { ...IDENTITY, clusterId: "c2" };
      await harness.wait(runtime.found(another));
      expect(harness.identityOnDisk()).toEqual(another);
      expect(isEmpty()).toBe(true);
      await create();
    });

    const heldZones = async (): Promise<string[]> => {
      const copy = await harness.wait(runtime.copy());
      return [...(copy?.state.zones.values() ?? [])].map(({ name: zone }) => zone);
    };
    const zone = async (zoneName: string): Promise<void> => {
      const { result } = await harness.wait(
        runtime.registry.submit({ type: "zone.create", name: zoneName }, { by: "agent" }),
      );
      expect(result.ok).toBe(true);
    };

    test("what it holds can be copied while it works", async () => {
      expect(await harness.wait(runtime.copy())).toBeNull();
      await harness.wait(runtime.found(IDENTITY));
      await create();
      await zone("a");
      const copy = await harness.wait(runtime.copy());
      expect(copy?.identity).toEqual(IDENTITY);
      expect(copy?.state.index).toBe(runtime.registry.state.index);
      expect(await heldZones()).toEqual(["a"]);
      await harness.wait(runtime.forget());
      expect(await harness.wait(runtime.copy())).toBeNull();
    });

    test("a recovered state takes the place of all, on disk and in memory, and can be written at once", async () => {
      await harness.wait(runtime.found(IDENTITY));
      await create();
      await zone("a");
      const copy = await harness.wait(runtime.copy());
      if (copy === null) throw new Error("nothing is held");
      await zone("lost, for the copy is older");
      const state = { ...copy.state, index: copy.state.index + 1000, term: copy.state.term + 1 };
      const next = { ...IDENTITY, incarnation: 2, lineage: "l" };
      await harness.wait(runtime.recover(next, state));
      expect(harness.identityOnDisk()).toEqual(next);
      await zone("b");
      expect([...runtime.registry.state.zones.values()].map((one) => one.name)).toEqual(["a", "b"]);
      expect(runtime.registry.state.index).toBeGreaterThan(state.index);
      expect(await heldZones()).toEqual(["a", "b"]);
    });

    test("a host that is in no cluster carries one on from a copy", async () => {
      await harness.wait(runtime.found(IDENTITY));
      await create();
      const copy = await harness.wait(runtime.copy());
      if (copy === null) throw new Error("nothing is held");
      const { state } = copy;
      await harness.wait(runtime.forget());
      const next = { ...IDENTITY, incarnation: 2, lineage: "l" };
      await harness.wait(
        runtime.recover(next, { ...state, index: state.index + 1000, term: state.term + 1 }),
      );
      expect(harness.identityOnDisk()).toEqual(next);
      await zone("a");
      expect(await heldZones()).toEqual(["a"]);
    });

    test("there may be nothing to forget", async () => {
      await harness.wait(runtime.forget());
      await harness.wait(runtime.forget());
      expect(harness.identityOnDisk()).toBeNull();
    });
  });
}
