import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { PeerAddresses, StrangerChannel, StrangerTransport, Wire } from "#agent/ports/transport.ts";

export interface StrangersHarness extends AsyncDisposable {
  /** Who asks, and whom: two agents that are not members of anything. */
  readonly joiner: StrangerTransport & { readonly self: string };
  readonly sponsor: StrangerTransport & { readonly self: string };
  readonly sponsorAt: PeerAddresses;
  /** Where nobody is. */
  readonly nobody: PeerAddresses;
}

const SOON = { timeoutMs: 5000 } as const;
const unreachable = (peer: string) => ({ name: "AppError", kind: "peer_unreachable", facts: { peer } });

/**
 * What every implementation of StrangerTransport (agent/ports/transport.ts) must do. Who asks speaks first, as in the join
 * protocol: a handler that is done before it has heard anything may leave the asker with no channel at all.
 */
export function strangersSuite(name: string, make: () => Promise<StrangersHarness>): void {
  describe(name, () => {
    let harness: StrangersHarness;
    let over: AbortController;

    beforeEach(async () => {
      harness = await make();
      over = new AbortController();
    });
    afterEach(async () => {
      over.abort();
      await harness[Symbol.asyncDispose]();
    });

    const open = (): Promise<StrangerChannel> => harness.joiner.openJoin(harness.sponsorAt, over.signal);

    test("both sides know who the other is, and talk to and fro until the handler is done", async () => {
      const { joiner, sponsor } = harness;
      const asked: string[] = [];
      sponsor.onJoin(async (channel) => {
        asked.push(channel.remote);
        for (let n = 0; n < 3; n += 1) await channel.send({ echo: await channel.receive(SOON) });
      });
      await using channel = await open();
      expect(channel.remote).toBe(sponsor.self);
      for (const body of [null, "ünïcødé", { deep: [1, { more: true }] }] satisfies Wire[]) {
        await channel.send(body);
        expect(await channel.receive(SOON)).toEqual({ echo: body });
      }
      expect(asked).toEqual([joiner.self]);
      await expect(channel.receive(SOON)).rejects.toMatchObject(unreachable(sponsor.self));
    });

    test("messages arrive in the order in which they were sent, the last ones also after the end", async () => {
      harness.sponsor.onJoin(async (channel) => {
        await channel.receive(SOON);
        for (let n = 0; n < 5; n += 1) await channel.send(n);
      });
      await using channel = await open();
      await channel.send("begin");
      for (let n = 0; n < 5; n += 1) expect(await channel.receive(SOON)).toBe(n);
      await expect(channel.receive(SOON)).rejects.toMatchObject({ kind: "peer_unreachable" });
    });

    test("what arrives shares nothing with what was sent", async () => {
      const sent = { list: ["as it was sent"] };
      harness.sponsor.onJoin(async (channel) => {
        await channel.receive(SOON);
        await channel.send(sent);
        sent.list.push("later");
      });
      await using channel = await open();
      await channel.send("begin");
      expect(await channel.receive(SOON)).toEqual({ list: ["as it was sent"] });
    });

    test("silence ends at the deadline, or when the caller gives up; the channel is still good", async () => {
      const { sponsor } = harness;
      const speak = Promise.withResolvers<void>();
      sponsor.onJoin(async (channel) => {
        await speak.promise;
        await channel.send("at last");
      });
      await using channel = await open();
      const late = { name: "AppError", kind: "peer_timeout", facts: { peer: sponsor.self } };
      await expect(channel.receive({ timeoutMs: 30 })).rejects.toMatchObject(late);
      const given = new AbortController();
      const receiving = channel.receive({ ...SOON, signal: given.signal });
      given.abort();
      await expect(receiving).rejects.toMatchObject(late);
      await expect(channel.receive({ ...SOON, signal: AbortSignal.abort() })).rejects.toMatchObject(late);
      speak.resolve();
      expect(await channel.receive(SOON)).toBe("at last");
    });

    test("a handler that throws closes the channel", async () => {
      harness.sponsor.onJoin(async (channel) => {
        await channel.receive(SOON);
        throw new Error("a defect of the sponsor's");
      });
      await using channel = await open();
      await channel.send("begin");
      await expect(channel.receive(SOON)).rejects.toMatchObject({ kind: "peer_unreachable" });
    });

    test("a joiner that hangs up is noticed by the handler, and nothing can be sent any more", async () => {
      const { joiner, sponsor } = harness;
      const ended = Promise.withResolvers<unknown>();
      sponsor.onJoin(async (channel) => {
        ended.resolve(await channel.receive(SOON).catch((error: unknown) => error));
      });
      const channel = await open();
      await channel[Symbol.asyncDispose]();
      expect(await ended.promise).toMatchObject(unreachable(joiner.self));
      await expect(channel.send("too late")).rejects.toMatchObject(unreachable(sponsor.self));
    });

    test("two conversations are apart", async () => {
      harness.sponsor.onJoin(async (channel) => channel.send(await channel.receive(SOON)));
      await using one = await open();
      await using two = await open();
      await two.send("two");
      await one.send("one");
      expect(await Promise.all([one.receive(SOON), two.receive(SOON)])).toEqual(["one", "two"]);
    });

    test("so are those that begin at the same moment, and the end of one is not the end of another", async () => {
      harness.sponsor.onJoin(async (channel) => channel.send(await channel.receive(SOON)));
      const numbers = [0, 1, 2, 3, 4];
      const channels = await Promise.all(numbers.map(() => open()));
      const told: Wire[] = [];
      for (const [n, channel] of channels.entries()) {
        await channel.send(n);
        told.push(await channel.receive(SOON));
        await channel[Symbol.asyncDispose]();
      }
      expect(told).toEqual(numbers);
    });

    test("nobody there, or a caller that has given up: not reachable", async () => {
      const { joiner, sponsor, nobody, sponsorAt } = harness;
      sponsor.onJoin(async () => undefined);
      await expect(joiner.openJoin(nobody, over.signal)).rejects.toMatchObject(unreachable(nobody.peer));
      await expect(joiner.openJoin(sponsorAt, AbortSignal.abort())).rejects.toMatchObject(
        unreachable(sponsorAt.peer),
      );
    });

    test("an agent tells where it listens", () => {
      expect(harness.sponsor.listenAddrs().length).toBeGreaterThan(0);
    });
  });
}
