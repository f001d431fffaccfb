import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { ClusterIdentity, StoreDisk, Stores } from "#agent/ports/store.ts";
import type { Entry, SnapshotMeta } from "#shared/consensus/messages.ts";
import { epochMs } from "#shared/lib/time.ts";

type OpenStores = Stores & { readonly disk: StoreDisk } & AsyncDisposable;

/** One disk; each `open` is a new life of an agent on it, the one before having been closed. */
export interface StoreHarness {
  open(): Promise<OpenStores>;
  remove(): Promise<void>;
}

export const entry = (index: number, term = 1, data = `{"n":${index}}`): Entry => ({
  index,
  term,
  kind: "command",
  data,
});

export const entries = (from: number, to: number, term = 1): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term));

const meta = (index: number): SnapshotMeta => ({
  index,
  term: 2,
  config: { voters: ["a"], outgoing: [], learners: ["b"] },
});

type Recovered = Parameters<Stores["recover"]>[0];

const RECOVERED: Recovered = {
  identity: { clusterId: "c", incarnation: 2, lineage: "l", uid: 3, contacts: [] },
  hardState: { term: 8, vote: null, commit: 1000 },
  meta: { index: 1000, term: 8, config: { voters: ["a"], outgoing: [], learners: [] } },
  body: Buffer.from("the recovered state"),
};

const IDENTITY: ClusterIdentity = {
  clusterId: "c",
  incarnation: 1,
  uid: 7,
  contacts: [{ peer: "a", meshAddrs: ["/ip4/10.0.0.1/tcp/9444"] }],
};

/** What every implementation of agent/ports/store.ts must do. */
export function storeSuite(name: string, make: () => Promise<StoreHarness>): void {
  describe(name, () => {
    let harness: StoreHarness;
    let stores: OpenStores;

    beforeEach(async () => {
      harness = await make();
      stores = await harness.open();
    });

    afterEach(async () => {
      await stores[Symbol.asyncDispose]();
      await harness.remove();
    });

    const reopen = async (): Promise<void> => {
      await stores[Symbol.asyncDispose]();
      stores = await harness.open();
    };

    const append = (list: readonly Entry[], more: { truncateFrom?: number; term?: number } = {}) =>
      stores.log.append({
        truncateFrom: more.truncateFrom ?? null,
        entries: list,
        hardState: more.term === undefined ? null : { term: more.term, vote: "a", commit: 0 },
        sync: true,
      });

    describe("log", () => {
      test("a fresh one is empty", async () => {
        expect(await stores.log.load()).toEqual({
          hardState: { term: 0, vote: null, commit: 0 },
          entries: [],
          cut: 0,
        });
      });

      test("gives back entries and hard state, of every kind and any text, after reopening", async () => {
        const all: Entry[] = [
          { index: 1, term: 1, kind: "noop", data: "" },
          { index: 2, term: 1, kind: "config", data: '{"voters":["ä","\u{1F600}"]}' },
          { index: 3, term: 2, kind: "command", data: 'line\nline  two  "quoted" \u0000' },
        ];
        await append(all, { term: 2 });
        await reopen();
        const loaded = await stores.log.load();
        expect(loaded.entries).toEqual(all);
        expect(loaded.hardState).toEqual({ term: 2, vote: "a", commit: 0 });
      });

      test("keeps order beyond ten, a hundred and a thousand entries", async () => {
        await append(entries(1, 1500), { term: 1 });
        await reopen();
        const { entries: loaded } = await stores.log.load();
        expect(loaded.map(({ index }) => index)).toEqual(entries(1, 1500).map(({ index }) => index));
      });

      test("truncates and appends in one step", async () => {
        await append(entries(1, 10), { term: 1 });
        await append(entries(6, 7, 2), { truncateFrom: 6, term: 2 });
        await append(entries(8, 8, 2));
        await reopen();
        const { entries: loaded } = await stores.log.load();
        expect(loaded).toEqual([...entries(1, 5), ...entries(6, 8, 2)]);
      });

      test("truncates right after reopening, before anything was loaded", async () => {
        await append(entries(1, 5), { term: 1 });
        await reopen();
        await append([entry(3, 2)], { truncateFrom: 3 });
        expect((await stores.log.load()).entries).toEqual([...entries(1, 2), entry(3, 2)]);
      });

      test("truncates everything", async () => {
        await append(entries(4, 6), { term: 1 });
        await append([entry(2, 3)], { truncateFrom: 1 });
        expect((await stores.log.load()).entries).toEqual([entry(2, 3)]);
      });

      test("refuses a gap", async () => {
        await append(entries(1, 2), { term: 1 });
        await expect(append([entry(4)])).rejects.toThrow();
      });

      test("forgets the beginning, and goes on at the end", async () => {
        await append(entries(1, 10), { term: 1 });
        await stores.log.compact(6);
        await stores.log.compact(6);
        await append([entry(11)]);
        await reopen();
        expect((await stores.log.load()).entries).toEqual(entries(7, 11));
        await stores.log.compact(20);
        expect((await stores.log.load()).entries).toEqual([]);
        await append([entry(30)]);
        expect((await stores.log.load()).entries).toEqual([entry(30)]);
      });

      test("appends while it forgets", async () => {
        await append(entries(1, 100), { term: 1 });
        await Promise.all([stores.log.compact(90), append(entries(101, 105))]);
        await append([entry(103, 2)], { truncateFrom: 103 });
        await reopen();
        expect((await stores.log.load()).entries).toEqual([...entries(91, 102), entry(103, 2)]);
      });

      test("a reset leaves nothing but the hard state; the log may go on anywhere", async () => {
        await append(entries(1, 10), { term: 1 });
        await stores.log.reset({ term: 4, vote: null, commit: 50 });
        await reopen();
        expect(await stores.log.load()).toEqual({
          hardState: { term: 4, vote: null, commit: 50 },
          entries: [],
          cut: 0,
        });
        await append([entry(51, 4)]);
        expect((await stores.log.load()).entries).toEqual([entry(51, 4)]);
      });
    });

    describe("snapshots", () => {
      test("there is none at first", async () => {
        expect(await stores.snapshots.load()).toBeNull();
      });

      test.each([0, 1, 3_000_000])("gives back a body of %d bytes", async (size) => {
        const body = new Uint8Array(size);
        for (let i = 0; i < size; i += 1) body[i] = (i * 7919) ^ (i >> 8);
        await stores.snapshots.save(meta(5), body);
        await reopen();
        const loaded = await stores.snapshots.load();
        expect(loaded?.meta).toEqual(meta(5));
        expect(Buffer.compare(Buffer.from(loaded?.body ?? []), Buffer.from(body))).toBe(0);
      });

      test("the newest counts", async () => {
        for (let i = 1; i <= 12; i += 1) await stores.snapshots.save(meta(i), Buffer.from(`state ${i}`));
        await reopen();
        const loaded = await stores.snapshots.load();
        expect(loaded?.meta.index).toBe(12);
        expect(Buffer.from(loaded?.body ?? []).toString()).toBe("state 12");
      });
    });

    describe("the disk under them", () => {
      test("takes probes, has room, and holds what was written", async () => {
        await append(entries(1, 2000), { term: 1 });
        await stores.snapshots.save(
          meta(5),
          new Uint8Array(3_000_000).map((_, i) => (i * 7919) ^ (i >> 8)),
        );
        await stores.disk.probe();
        await stores.disk.probe();
        const { freeBytes, totalBytes } = await stores.disk.space();
        expect(freeBytes).toBeGreaterThan(0);
        expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
        for (let i = 0; i < 10; i += 1) {
          expect(await stores.disk.scrub()).toBeNull();
          await append([entry(2001 + i)]);
        }
        await stores.log.compact(1990);
        for (let i = 0; i < 10; i += 1) expect(await stores.disk.scrub()).toBeNull();
        expect(stores.disk.failure).toBeNull();
      });

      test("opened anew, it has all that was written, and takes more", async () => {
        const { starts } = await stores.identity.host();
        await append(entries(1, 5), { term: 1 });
        await stores.snapshots.save(meta(2), Buffer.from("state"));
        expect(await stores.disk.scrub()).toBeNull();
        await stores.disk.reopen();
        await append([entry(4, 2)], { truncateFrom: 4, term: 2 });
        expect((await stores.log.load()).entries).toEqual([...entries(1, 3), entry(4, 2)]);
        expect((await stores.snapshots.load())?.meta.index).toBe(2);
        expect((await stores.identity.host()).starts).toBe(starts); // The same life of the agent.
        expect(await stores.disk.scrub()).toBeNull();
        await stores.disk.probe();
      });
    });

    describe("identity and bootstrap", () => {
      test("the uuid stays, the starts are counted once per life", async () => {
        const first = await stores.identity.host();
        expect(first.starts).toBe(1);
        expect(await stores.identity.host()).toEqual(first);
        await reopen();
        expect(await stores.identity.host()).toEqual({ uuid: first.uuid, starts: 2 });
      });

      test("whose store it is stays, whether or not the start was counted before", async () => {
        expect(await stores.identity.peer()).toBeNull();
        await stores.identity.savePeer("p");
        expect(await stores.identity.host()).toMatchObject({ starts: 1 });
        await reopen();
        expect(await stores.identity.peer()).toBe("p");
        expect(await stores.identity.host()).toMatchObject({ starts: 2 });
        expect(await stores.identity.peer()).toBe("p");
        await stores.forgetCluster();
        expect(await stores.identity.peer()).toBe("p");
        await stores.identity.savePeer("q", "p");
        await reopen();
        expect(await stores.identity.peer()).toBe("q");
      });

      test("the cluster's identity", async () => {
        expect(await stores.identity.cluster()).toBeNull();
        await stores.identity.saveCluster(IDENTITY);
        await reopen();
        expect(await stores.identity.cluster()).toEqual(IDENTITY);
      });

      test("the bootstrap state", async () => {
        expect(await stores.bootstrap.load()).toEqual({ name: "idle" });
        const at = { startedAt: epochMs(1000), endedAt: epochMs(2000) };
        const steps = [
          { name: "preflight", state: "done", start: at.startedAt, end: at.endedAt },
          { name: "survey", state: "failed", start: at.startedAt, end: null },
        ] as const;
        const joined = { action: "join_cluster", attempt: 4, ...at, steps } as const;
        const failure = {
          code: "path_error",
          details: { message: "no", path: "/x", errno: "EROFS" },
        } as const;
        const recovering = { action: "recover_cluster", attempt: 5, startedAt: at.startedAt } as const;
        for (const state of [
          { name: "initiated", action: "join_cluster", attempt: 1, startedAt: at.startedAt },
          { name: "running", action: "create_cluster", attempt: 2, startedAt: at.startedAt },
          {
            name: "error",
            action: "join_cluster",
            attempt: 3,
            failure: { code: "connect_error", details: { message: "nobody there", tried: ["a"] } },
            ...at,
          },
          { name: "completed", action: "join_cluster", attempt: 4, ...at },
          { name: "completed", ...joined },
          { name: "error", ...joined, failure },
          { name: "initiated", ...recovering, member: { ...joined, incarnation: 2 } },
          { name: "running", ...recovering, member: { ...joined, incarnation: 2 } },
          { name: "completed", ...joined, recovery: { failure, attempt: 5, ...at, steps } },
          { name: "idle", reason: "removed from the cluster", retired: "p" },
        ] as const) {
          await stores.bootstrap.save(state);
          await reopen();
          expect(await stores.bootstrap.load()).toEqual(state);
        }
      });

      test("leaving a cluster removes what belongs to it, and nothing else", async () => {
        const host = await stores.identity.host();
        await stores.bootstrap.save({ name: "idle", reason: "left" });
        await stores.identity.saveCluster(IDENTITY);
        await append(entries(1, 3), { term: 1 });
        await stores.snapshots.save(meta(2), Buffer.from("state"));
        await stores.forgetCluster();
        await append([entry(9)]); // Another cluster's log may begin anywhere.
        await stores.forgetCluster();
        await reopen();
        expect((await stores.log.load()).entries).toEqual([]);
        expect((await stores.log.load()).hardState.term).toBe(0);
        expect(await stores.snapshots.load()).toBeNull();
        expect(await stores.identity.cluster()).toBeNull();
        expect((await stores.identity.host()).uuid).toBe(host.uuid);
        expect(await stores.bootstrap.load()).toEqual({ name: "idle", reason: "left" });
      });
    });

    describe("recovery", () => {
      const former = async (): Promise<void> => {
        await stores.identity.savePeer("a");
        await stores.bootstrap.save({ name: "idle", reason: "left" });
        await stores.identity.saveCluster(IDENTITY);
        await append(entries(1, 40), { term: 1 });
        for (const index of [10, 20, 30])
          await stores.snapshots.save(meta(index), Buffer.from(`state ${index}`));
        await stores.log.compact(15);
      };
      const shown = async () => {
        const snapshot = await stores.snapshots.load();
        return {
          identity: await stores.identity.cluster(),
          ...(await stores.log.load()),
          snapshot: snapshot && { meta: snapshot.meta, body: Buffer.from(snapshot.body).toString() },
        };
      };
      const asRecovered = (recovered: Recovered) => ({
        identity: recovered.identity,
        hardState: recovered.hardState,
        entries: [],
        cut: 0,
        snapshot: { meta: recovered.meta, body: Buffer.from(recovered.body).toString() },
      });

      test("puts one state in the place of everything; who this host is stays, and the log goes on after it", async () => {
        await former();
        const host = await stores.identity.host();
        await stores.recover(RECOVERED);
        expect(await shown()).toEqual(asRecovered(RECOVERED));
        await reopen();
        expect(await shown()).toEqual(asRecovered(RECOVERED));
        expect((await stores.identity.host()).uuid).toBe(host.uuid);
        expect(await stores.identity.peer()).toBe("a");
        expect(await stores.bootstrap.load()).toEqual({ name: "idle", reason: "left" });
        await append(entries(1001, 1003, 9), { term: 9 });
        await append([entry(1002, 10)], { truncateFrom: 1002, term: 10 });
        await stores.log.compact(1001);
        await reopen();
        expect((await stores.log.load()).entries).toEqual([entry(1002, 10)]);
        for (let i = 0; i < 5; i += 1) expect(await stores.disk.scrub()).toBeNull();
      });

      test("comes before anything was read, on a fresh disk, and more than once", async () => {
        await stores.recover(RECOVERED);
        expect(await shown()).toEqual(asRecovered(RECOVERED));
        await append(entries(1001, 1010, 9), { term: 9 });
        await reopen();
        const identity = { ...RECOVERED.identity, incarnation: 3, lineage: "m" };
        const again = { ...RECOVERED, identity };
        await stores.recover(again);
        await reopen();
        expect(await shown()).toEqual(asRecovered(again));
        await stores.forgetCluster();
        expect(await stores.held()).toBeNull();
      });

      test("what is held is read whole beside whatever is written, and nothing is changed by it", async () => {
        expect(await stores.held()).toBeNull();
        await append(entries(1, 3), { term: 1 });
        expect(await stores.held()).toBeNull(); // It is no cluster's.
        await stores.identity.saveCluster(IDENTITY);
        const looks: Promise<void>[] = [];
        const look = async (atLeast: number): Promise<void> => {
          const held = await stores.held();
          if (held === null) throw new Error("nothing is held");
          const first = held.entries[0]?.index ?? 0;
          expect(held.entries.map(({ index }) => index)).toEqual(held.entries.map((_, i) => first + i));
          expect(first).toBeLessThanOrEqual((held.snapshot?.meta.index ?? 0) + 1);
          expect(held.entries.at(-1)?.index).toBeGreaterThanOrEqual(atLeast);
        };
        for (let at = 3; at < 120; at += 3) {
          looks.push(look(at));
          await append(entries(at + 1, at + 3));
          if (at % 10 !== 0) continue;
          await stores.snapshots.save(meta(at), Buffer.from(`state ${at}`));
          const forgetting = stores.log.compact(at);
          looks.push(look(at));
          await forgetting;
        }
        await Promise.all(looks);
        const held = await stores.held();
        await reopen();
        expect(await stores.held()).toEqual(held);
        expect(held).toEqual({
          identity: IDENTITY,
          hardState: (await stores.log.load()).hardState,
          entries: (await stores.log.load()).entries,
          snapshot: await stores.snapshots.load(),
        });
      });
    });
  });
}
