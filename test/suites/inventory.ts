import { Value } from "typebox/value";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { Inventory } from "#agent/ports/inventory.ts";
import { HostFacts } from "#shared/model/hardware.ts";

export interface InventoryHarness extends AsyncDisposable {
  /** Started, all facts found; nothing of the host changes by itself. */
  readonly inventory: Inventory;
  /** The host has that much memory free from now on; the next collection finds it. Bytes, a multiple of 1024. */
  setMemoryFree(bytes: number): Promise<void>;
  /** Lets time pass until the condition holds. */
  until(condition: () => boolean): Promise<void>;
}

const MINE = { persistent: "/mine/persist", ephemeral: "/mine/tmp", bigstore: "/mine/big" } as const;

/** What every implementation of agent/ports/inventory.ts must do. */
export function inventorySuite(name: string, make: () => Promise<InventoryHarness>): void {
  describe(name, () => {
    let harness: InventoryHarness;
    let inventory: Inventory;

    beforeEach(async () => {
      harness = await make();
      ({ inventory } = harness);
    });
    afterEach(() => harness[Symbol.asyncDispose]());

    const folders = (): object =>
      Object.fromEntries(inventory.current().live.storage.map(({ kind, path }) => [kind, path]));

    test("the facts fit the schema, so that others take them", () => {
      expect([...Value.Errors(HostFacts, inventory.current())]).toEqual([]);
    });

    test("the storage of the facts is that of the paths", () => {
      const { persistent, ephemeral } = inventory.paths();
      expect(folders()).toEqual({ persistent, ephemeral });
    });

    test("a refresh finds what is new, answers with it and tells of it", async () => {
      const heard: HostFacts[] = [];
      inventory.onChange((facts) => heard.push(facts));
      await harness.setMemoryFree(4096);
      const facts = await inventory.refresh();
      expect(facts.live.memory_free).toBe(4096);
      expect(inventory.current()).toEqual(facts);
      expect(heard.at(-1)).toEqual(facts);
    });

    test("a refresh that finds nothing new tells nobody", async () => {
      const before = inventory.current();
      let heard = 0;
      inventory.onChange(() => (heard += 1));
      const { collected_at_ms: _, ...after } = await inventory.refresh();
      expect(before).toMatchObject(after);
      expect(heard).toBe(0);
    });

    test("who has left hears nothing", async () => {
      let heard = 0;
      inventory.onChange(() => (heard += 1))[Symbol.dispose]();
      await harness.setMemoryFree(4096);
      await inventory.refresh();
      expect(heard).toBe(0);
    });

    test("facts once given do not change", async () => {
      const given = inventory.current();
      const text = JSON.stringify(given);
      await harness.setMemoryFree(4096);
      await inventory.refresh();
      expect(JSON.stringify(given)).toBe(text);
    });

    test("chosen folders count at once, and soon in the facts, of which listeners hear", async () => {
      let heard: HostFacts | null = null;
      inventory.onChange((facts) => (heard = facts));
      inventory.setPaths(MINE);
      expect(inventory.paths()).toEqual(MINE);
      await harness.until(() => heard !== null);
      expect(heard).toEqual(inventory.current());
      expect(folders()).toEqual(MINE);
      expect((await inventory.refresh()).live.storage).toEqual(inventory.current().live.storage);
    });
  });
}
