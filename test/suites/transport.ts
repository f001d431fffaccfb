import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { PeerEvent, Transport, Wire } from "#agent/ports/transport.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { MemberId } from "#shared/lib/ids.ts";

/** Three members of one cluster, all connected to each other. */
export interface TransportHarness extends AsyncDisposable {
  readonly nodes: readonly [Transport, Transport, Transport];
  /** The third one is gone at once, without a word, as by kill -9. */
  kill(): Promise<void>;
}

const STRANGER = "12D3KooWAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const SOON = { timeoutMs: 10_000 } as const;

/** What every implementation of Transport must do. */
export function transportSuite(name: string, make: () => Promise<TransportHarness>): void {
  describe(name, () => {
    let harness: TransportHarness;
    let [a, b, c]: readonly Transport[] = [];

    beforeEach(async () => {
      harness = await make();
      [a, b, c] = harness.nodes;
    });

    afterEach(async () => {
      await harness[Symbol.asyncDispose]();
    });

    const three = (): readonly [Transport, Transport, Transport] =>
      [a, b, c] as [Transport, Transport, Transport];

    test("everyone sees the two others as connected", () => {
      const ids = three().map(({ self }) => self);
      for (const node of three()) {
        expect(node.connected().toSorted()).toEqual(ids.filter((id) => id !== node.self).toSorted());
      }
    });

    test("messages arrive in order, with their sender, on either stream", async () => {
      const [from, to] = three();
      for (const stream of ["control", "bulk"] as const) {
        const topic = `count.${stream}`;
        const { promise: done, resolve } = Promise.withResolvers<void>();
        const got: [MemberId, Wire][] = [];
        to.onMessage(topic, (sender, body) => {
          got.push([sender, body]);
          if (got.length === 500) resolve();
        });
        for (let n = 0; n < 500; n += 1) expect(from.send(to.self, stream, topic, { n })).toBe(true);
        await done;
        expect(got).toEqual(Array.from({ length: 500 }, (_, n) => [from.self, { n }]));
      }
    });

    test("a message to nobody is dropped and says so", () => {
      const [from] = three();
      expect(from.send(STRANGER, "control", "any", null)).toBe(false);
    });

    test("a message that nobody handles does no harm", async () => {
      const [from, to] = three();
      to.onRequest("echo", async (_from, body) => body);
      expect(from.send(to.self, "control", "unknown", 1)).toBe(true);
      await expect(from.request(to.self, "control", "echo", 2, SOON)).resolves.toBe(2);
    });

    test("many requests at once, both ways, each get their own answer", async () => {
      const [one, two] = three();
      for (const node of [one, two]) {
        node.onRequest("echo", async (from, body) => ({ from, body, at: node.self }));
      }
      const ask = async (from: Transport, to: Transport, n: number): Promise<void> => {
        const body = { n, text: "ünïcødé ".repeat(n) };
        await expect(
          from.request(to.self, n % 2 === 0 ? "bulk" : "control", "echo", body, SOON),
        ).resolves.toEqual({
          from: from.self,
          body,
          at: to.self,
        });
      };
      await Promise.all(
        Array.from({ length: 100 }, (_, n) => n).flatMap((n) => [ask(one, two, n), ask(two, one, n)]),
      );
    });

    test("an AppError crosses the wire as itself, anything else as an internal error that leaks nothing", async () => {
      const [from, to] = three();
      const facts = { leader: "m1", missing: ["m2", "m3"] };
      to.onRequest("refuse", () => Promise.reject(new AppError("quorum_lost", facts)));
      to.onRequest("fail", () => Promise.reject(new Error("the password is hunter2")));
      const refused = await failure(from.request(to.self, "control", "refuse", null, SOON));
      expect(refused).toMatchObject({ name: "AppError", kind: "quorum_lost", facts });
      const failed = await failure(from.request(to.self, "control", "fail", null, SOON));
      expect(failed).toMatchObject({ name: "AppError", kind: "internal_error" });
      expect(JSON.stringify(failed)).not.toContain("hunter2");
    });

    test("an unknown method is refused", async () => {
      const [from, to] = three();
      const refused = await failure(from.request(to.self, "control", "nobody.knows", null, SOON));
      expect(refused).toMatchObject({ kind: "peer_refused" });
    });

    test("a request to nobody is certainly not sent", async () => {
      const [from] = three();
      const failed = await failure(from.request(STRANGER, "control", "any", null, SOON));
      expect(failed).toMatchObject({ kind: "peer_unreachable", facts: { peer: STRANGER } });
    });

    test("a request without an answer ends at its deadline, and may have been sent", async () => {
      const [from, to] = three();
      const asked = Promise.withResolvers<void>();
      to.onRequest("never", () => {
        asked.resolve();
        return new Promise<Wire>(() => undefined);
      });
      const pending = failure(from.request(to.self, "control", "never", null, { timeoutMs: 300 }));
      await asked.promise;
      expect(await pending).toMatchObject({ kind: "peer_timeout", facts: { peer: to.self } });
    });

    test("a caller that gives up gets its own reason, and the handler hears of it", async () => {
      const [from, to] = three();
      const asked = Promise.withResolvers<void>();
      const heard = Promise.withResolvers<void>();
      to.onRequest("never", (_from, _body, signal) => {
        signal.addEventListener("abort", () => heard.resolve());
        asked.resolve();
        return new Promise<Wire>(() => undefined);
      });
      const controller = new AbortController();
      const pending = failure(
        from.request(to.self, "control", "never", null, { timeoutMs: 60_000, signal: controller.signal }),
      );
      await asked.promise;
      const reason = new Error("no longer needed");
      controller.abort(reason);
      expect(await pending).toBe(reason);
      await heard.promise;
      const late = from.request(to.self, "control", "never", null, { ...SOON, signal: controller.signal });
      expect(await failure(late)).toBe(reason);
    });

    test("two handlers for one name are a defect", () => {
      const [node] = three();
      node.onMessage("topic", () => undefined);
      node.onRequest("method", async () => null);
      expect(() => node.onMessage("topic", () => undefined)).toThrow("topic");
      expect(() => node.onRequest("method", async () => null)).toThrow("method");
    });

    describe("a cluster that was recovered by one of its members", () => {
      const FORMER = { clusterId: "c", incarnation: 1 };
      const NOW = { clusterId: "c", incarnation: 2, lineage: "x" };
      const APART = { ...NOW, lineage: "y" };

      /** Resolves when the node sees exactly these as connected. */
      const sees = async (node: Transport, others: readonly Transport[]): Promise<void> => {
        const wanted = others
          .map(({ self }) => self)
          .toSorted()
          .join();
        const isSo = (): boolean => node.connected().toSorted().join() === wanted;
        const seen = Promise.withResolvers<void>();
        using _watch = node.onPeer(() => {
          if (isSo()) seen.resolve();
        });
        if (!isSo()) await seen.promise;
      };

      const watch = (node: Transport): PeerEvent[] => {
        const events: PeerEvent[] = [];
        node.onPeer((event) => void events.push(event));
        return events;
      };

      const outlived = (node: Transport): Promise<PeerEvent> =>
        new Promise((resolve) => {
          node.onPeer((event) => {
            if (event.type === "outlived") resolve(event);
          });
        });

      const settle = async (): Promise<void> => {
        const [one, two, three_] = three();
        for (const node of three()) node.setCluster(FORMER);
        await Promise.all([sees(one, [two, three_]), sees(two, [one, three_]), sees(three_, [one, two])]);
      };

      test("is told to the members of the former incarnation, and lets none of them in", async () => {
        await settle();
        const [one, two, saved] = three();
        const told = [outlived(one), outlived(two)];
        const calm = watch(saved);
        const got: Wire[] = [];
        saved.onMessage("word", (_from, body) => void got.push(body));
        expect(one.send(saved.self, "control", "word", "of the former")).toBe(true);
        saved.setCluster(NOW); // Before it can have come.
        const event = { type: "outlived", peer: saved.self, incarnation: 2 };
        expect(await Promise.all(told)).toEqual([event, event]);
        expect(saved.connected()).toEqual([]);
        expect(one.send(saved.self, "control", "any", 1)).toBe(false);
        await sees(one, [two]);
        one.setCluster(NOW);
        await Promise.all([sees(saved, [one]), sees(one, [saved])]);
        saved.onRequest("echo", async (_from, body) => body);
        expect(one.send(saved.self, "control", "word", "of this one")).toBe(true);
        await one.request(saved.self, "control", "echo", 1, SOON);
        expect(got).toEqual(["of this one"]);
        expect(calm.filter(({ type }) => type === "outlived")).toEqual([]);
      });

      test("and once more apart from it, is another cluster to it, which outlives nobody", async () => {
        await settle();
        const [one, two, three_] = three();
        const events = [watch(one), watch(two)];
        one.setCluster(NOW);
        two.setCluster(APART);
        await Promise.all([sees(one, []), sees(two, []), sees(three_, [])]);
        three_.setCluster(APART);
        await Promise.all([sees(two, [three_]), sees(one, [])]);
        three_.setCluster(NOW);
        await Promise.all([sees(one, [three_]), sees(two, [])]);
        const other = events.flat().filter(({ type }) => type === "outlived");
        expect(other.filter(({ peer }) => peer === three_.self)).toEqual([]);
      });
    });

    test("a peer that dies is told of once, and takes its pending requests with it", async () => {
      const [from, , to] = three();
      const asked = Promise.withResolvers<void>();
      to.onRequest("never", () => {
        asked.resolve();
        return new Promise<Wire>(() => undefined);
      });
      const events: PeerEvent[] = [];
      const down = Promise.withResolvers<void>();
      using _listening = from.onPeer((event) => {
        events.push(event);
        down.resolve();
      });
      const pending = failure(from.request(to.self, "control", "never", null, { timeoutMs: 15_000 }));
      await asked.promise;
      await harness.kill();
      await down.promise;
      expect(events).toEqual([{ type: "down", peer: to.self, reason: expect.any(String) }]);
      expect(from.connected()).not.toContain(to.self);
      expect(from.send(to.self, "control", "any", null)).toBe(false);
      expect(await pending).toMatchObject({ kind: "peer_timeout", facts: { peer: to.self } });
      const next = await failure(from.request(to.self, "control", "never", null, SOON));
      expect(next).toMatchObject({ kind: "peer_unreachable" });
    });
  });
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => new Error("it succeeded"),
    (error: unknown) => error,
  );
}
