import { beforeEach, describe, expect, test } from "vitest";

import type { Registry, Submitted } from "#agent/ports/registry.ts";
import { INDEX_WAITERS_MAX } from "#shared/lib/limits.ts";

export interface RegistryHarness {
  /** Of a cluster with members and no zones, whose majority lives. */
  readonly registry: Registry;
  /** Lets time pass until the promise settles. */
  wait<T>(promise: Promise<T>): Promise<T>;
  /** The others are gone; resolves when this agent has noticed, and stopped leading if it led. */
  loseQuorum(): Promise<void>;
  /** A snapshot that holds zones of others takes the state's place here; entries may follow it. */
  replace(): Promise<void>;
}

const SOON = { timeoutMs: 5000 } as const;
const BY = { by: "admin" } as const;

/** What every implementation of Registry (agent/ports/registry.ts) must do, whatever the part its agent plays. */
export function registrySuite(name: string, make: () => Promise<RegistryHarness>): void {
  describe(name, () => {
    let harness: RegistryHarness;
    let registry: Registry;

    beforeEach(async () => {
      harness = await make();
      ({ registry } = harness);
    });

    const zone = (zoneName: string, options: { key?: string; by?: string } = {}): Promise<Submitted> =>
      harness.wait(registry.submit({ type: "zone.create", name: zoneName }, { ...BY, ...options }));
    const zones = (): string[] => [...registry.state.zones.values()].map((each) => each.name);

    describe("submit", () => {
      test("has been applied here when it is answered", async () => {
        const before = registry.state.index;
        const { index, result } = await zone("a");
        expect(result).toEqual({ ok: true, value: expect.objectContaining({ id: 1 }) });
        expect(index).toBeGreaterThan(before);
        expect(registry.state.index).toBeGreaterThanOrEqual(index);
        expect(registry.status().applied).toBe(registry.state.index);
        expect(zones()).toEqual(["a"]);
      });

      test("a refusal is a result, and changes nothing", async () => {
        await zone("a");
        const { result } = await zone("a");
        expect(result).toMatchObject({ ok: false, refusal: { kind: "zone_exists" } });
        expect(zones()).toEqual(["a"]);
      });

      test("many at once take effect in the order in which they were given", async () => {
        const names = Array.from({ length: 20 }, (_, n) => `z${n}`);
        const answers = await Promise.all(names.map((each) => zone(each)));
        expect(zones()).toEqual(names);
        const indexes = answers.map(({ index }) => index);
        expect(indexes).toEqual(indexes.toSorted((a, b) => a - b));
      });

      test("a repeated key gets the first answer, and the command takes effect once", async () => {
        const first = await zone("a", { key: "k" });
        await zone("b");
        expect(await zone("a", { key: "k" })).toEqual(first);
        expect(zones()).toEqual(["a", "b"]);
      });

      test("a refusal is remembered under its key, too", async () => {
        await zone("a");
        const first = await zone("a", { key: "k" });
        expect(first.result.ok).toBe(false);
        expect(await zone("a", { key: "k" })).toEqual(first);
      });

      test("a key used for another command rejects; another caller's equal key is another key", async () => {
        await zone("a", { key: "k" });
        await expect(zone("b", { key: "k" })).rejects.toMatchObject({
          name: "AppError",
          kind: "idempotency_key_reused",
          facts: { key: "k" },
        });
        expect((await zone("b", { key: "k", by: "somebody else" })).result.ok).toBe(true);
      });

      test("takes place only while what is expected is so", async () => {
        const submit = (name: string, version: number): Promise<Submitted> => {
          const expect = { topic: "zones", id: "1", version } as const;
          return harness.wait(registry.submit({ type: "zone.rename", id: 1, name }, { ...BY, expect }));
        };
        const { index } = await zone("a");
        const late = { ok: false, refusal: { kind: "precondition_failed", facts: { what: "zones 1" } } };
        expect((await submit("b", 0)).result).toEqual(late);
        const renamed = await submit("b", index);
        expect(renamed.result.ok).toBe(true);
        expect((await submit("c", index)).result).toEqual(late);
        expect(zones()).toEqual(["b"]);
        expect(registry.state.versions.get("zones/1")).toBe(renamed.index);
      });

      test("a caller that has given up before gets its own reason, and nothing is written", async () => {
        const reason = new Error("the caller hung up");
        const given = registry.submit(
          { type: "zone.create", name: "a" },
          { ...BY, signal: AbortSignal.abort(reason) },
        );
        await expect(given).rejects.toBe(reason);
        await zone("b");
        expect(zones()).toEqual(["b"]);
      });
    });

    describe("without a quorum", () => {
      beforeEach(async () => {
        await zone("before");
        await harness.loseQuorum();
      });

      test("writes and read barriers reject and name who is missing; what was written is still there", async () => {
        const { leader, missing } = registry.status();
        expect(missing.length).toBeGreaterThan(0);
        const lost = { name: "AppError", kind: "quorum_lost", facts: { leader, missing } };
        const writing = registry.submit({ type: "zone.create", name: "a" }, { ...BY, timeoutMs: 300 });
        await expect(harness.wait(writing)).rejects.toMatchObject(lost);
        await expect(harness.wait(registry.readBarrier({ timeoutMs: 300 }))).rejects.toMatchObject(lost);
        expect(zones()).toEqual(["before"]);
      });

      test("the status says so", () => {
        expect(registry.status()).toMatchObject({ quorum: false, leader: null, halted: null });
        expect(registry.status().role).not.toBe("leader");
        expect(registry.status().ageMs).not.toBe(0);
      });
    });

    test("with a quorum, the status names the leader among the voters and misses nobody", () => {
      const { leader, config, quorum, missing, halted, commit, applied, ageMs } = registry.status();
      expect(config.voters).toContain(leader);
      expect({ quorum, missing, halted }).toEqual({ quorum: true, missing: [], halted: null });
      expect(commit).toBeGreaterThanOrEqual(applied);
      expect(ageMs).not.toBeNull();
    });

    describe("waiting", () => {
      test("a read barrier gives an index that covers what was acknowledged before and is applied here", async () => {
        const { index } = await zone("a");
        const barrier = await harness.wait(registry.readBarrier(SOON));
        expect(barrier).toBeGreaterThanOrEqual(index);
        expect(registry.state.index).toBeGreaterThanOrEqual(barrier);
      });

      test("for an index that is applied, there is nothing to wait for", async () => {
        const { index } = registry.state;
        expect(await registry.waitForIndex(index, { timeoutMs: 0 })).toBe(index);
        expect(await registry.waitForIndex(0, { timeoutMs: 0 })).toBe(index);
      });

      test("for an index that comes in time, until it is applied", async () => {
        const wanted = registry.state.index + 2;
        let got: number | null = null;
        const waiting = registry.waitForIndex(wanted, SOON).then((index) => (got = index));
        await zone("a");
        expect(got).toBeNull();
        await zone("b");
        expect(await harness.wait(waiting)).toBe(wanted);
      });

      test("for one that does not come, until the time is up; both numbers are told", async () => {
        const { index } = registry.state;
        const waiting = registry.waitForIndex(index + 10, { timeoutMs: 300 });
        await expect(harness.wait(waiting)).rejects.toMatchObject({
          name: "AppError",
          kind: "index_not_reached",
          facts: { index, wanted: index + 10 },
        });
      });

      test("is bounded; a caller that gives up gets its own reason and makes room", async () => {
        const stop = new AbortController();
        const reason = new Error("the caller hung up");
        const options = { timeoutMs: 60_000, signal: stop.signal };
        const wanted = registry.state.index + 1000;
        const all = Array.from({ length: INDEX_WAITERS_MAX }, () => registry.waitForIndex(wanted, options));
        const settled = Promise.allSettled(all);
        const more = (): Promise<number> => registry.waitForIndex(wanted, { timeoutMs: 10 });
        await expect(harness.wait(more())).rejects.toMatchObject({ kind: "overloaded" });
        stop.abort(reason);
        for (const each of await settled) expect(each).toEqual({ status: "rejected", reason });
        await expect(harness.wait(more())).rejects.toMatchObject({ kind: "index_not_reached" });
      });

      test("a signal that was given before ends both kinds at once", async () => {
        const reason = new Error("the caller hung up");
        const options = { ...SOON, signal: AbortSignal.abort(reason) };
        await expect(registry.readBarrier(options)).rejects.toBe(reason);
        await expect(registry.waitForIndex(registry.state.index + 1, options)).rejects.toBe(reason);
      });
    });

    describe("listeners", () => {
      test("hear of each change once, before its writer does, when the state has it", async () => {
        const heard: string[] = [];
        using _watch = registry.onChange((changes) => {
          for (const { topic, op, id, index } of changes) {
            expect(index).toBe(registry.state.index);
            heard.push(`${topic} ${op} ${id} at ${index}, zones: ${zones().join(" ")}`);
          }
        });
        const writing = registry.submit({ type: "zone.create", name: "a" }, BY);
        void writing.then(() => heard.push("answered"));
        const { index } = await harness.wait(writing);
        expect(heard).toEqual([`zones set 1 at ${index}, zones: a`, "answered"]);
      });

      test("hear nothing of what changes nothing", async () => {
        await zone("a", { key: "k" });
        let heard = 0;
        using _watch = registry.onChange(() => (heard += 1));
        await zone("a");
        await zone("a", { key: "k" });
        expect(heard).toBe(0);
      });

      test("one that throws disturbs neither the writer nor the others; one that left hears no more", async () => {
        const heard: string[] = [];
        using _bad = registry.onChange(() => {
          throw new Error("a defect in a listener");
        });
        const gone = registry.onChange(() => heard.push("gone"));
        using _good = registry.onChange(() => heard.push("good"));
        gone[Symbol.dispose]();
        expect((await zone("a")).result.ok).toBe(true);
        expect(heard).toEqual(["good"]);
      });

      test("a snapshot in the state's place is told as such, once; only what follows it is told as changes", async () => {
        const resets: number[] = [];
        const changes: number[] = [];
        let goneHeard = false;
        const before = registry.state.index;
        using _reset = registry.onReset((index) => {
          expect(registry.state.index).toBe(index);
          expect(zones().length).toBeGreaterThan(0);
          resets.push(index);
        });
        using _changes = registry.onChange((all) => changes.push(...all.map(({ index }) => index)));
        registry.onReset(() => (goneHeard = true))[Symbol.dispose]();
        const waiting = registry.waitForIndex(before + 1, { timeoutMs: 60_000 });
        await harness.replace();
        expect(resets).toHaveLength(1);
        const [reset = 0] = resets;
        expect(reset).toBeGreaterThan(before);
        expect(changes.filter((index) => index <= reset)).toEqual([]);
        expect(await harness.wait(waiting)).toBeGreaterThan(before);
        expect(goneHeard).toBe(false);
      });

      test("ordinary entries are no reset", async () => {
        let resets = 0;
        using _reset = registry.onReset(() => (resets += 1));
        await zone("a");
        expect(resets).toBe(0);
      });
    });

    test("handing over ends, whether or not there is somebody", async () => {
      await harness.wait(registry.handOver(2000));
      expect((await zone("after")).result.ok).toBe(true);
    });
  });
}
