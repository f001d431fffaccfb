import { beforeEach, describe, expect, test } from "vitest";

import { proofs, scram } from "./fake-host.ts";
import { FakeStrangers } from "./fake-strangers.ts";
import { Inquiry } from "#agent/bootstrap/inquiry.ts";
import { Sponsor } from "#agent/bootstrap/sponsor.ts";
import type { ClusterIdentity } from "#agent/ports/store.ts";
import type { Command } from "#shared/registry/command.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { MemoryDisk, openMemoryStores } from "#test/support/memory-store.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

const ME = "me";
const IDENTITY: ClusterIdentity = { clusterId: "c1", incarnation: 1, uid: 4, contacts: [] };
const BY = { by: "agent" };

let strangers: FakeStrangers;
let clock: FakeClock;
let others: LocalRegistry;
let own: LocalRegistry;
let heard: number;
let outlived: { peer: string; incarnation: number }[];

/** Three members and this host; in the others' registry it was removed, its own copy ends before that. */
beforeEach(async () => {
  strangers = new FakeStrangers();
  clock = new FakeClock();
  heard = 0;
  outlived = [];
  const commands: Command[] = [
    makeCluster(makeMember(1, { peer: "a" })),
    { type: "member.add", member: makeMember(2, { peer: "b" }) },
    { type: "member.add", member: makeMember(3, { peer: "c" }) },
    { type: "member.add", member: makeMember(4, { peer: ME }) },
  ];
  [others, own] = [new LocalRegistry(), new LocalRegistry()];
  for (const command of commands) for (const registry of [others, own]) await registry.submit(command, BY);
  await others.submit({ type: "member.remove", peer: ME }, BY);
  own.quorum = false; // Nobody is heard.
});

/** A member that answers strangers; `registry`: what it knows. */
function answers(peer: string, registry = others, identity: ClusterIdentity | null = IDENTITY): void {
  const sponsor = new Sponsor({
    self: peer,
    transport: strangers.transportOf(peer, []),
    registry,
    identity: { ...openMemoryStores(new MemoryDisk()).identity, cluster: () => Promise.resolve(identity) },
    scram,
    proofs,
    clock,
    log: new RecordingLog(),
    isMember: () => true,
    isAlive: () => true,
    answerCopy: () => Promise.reject(new Error("nobody asks for copies here")),
  });
  sponsor.start();
}

function inquire(isMember = true): Inquiry {
  const inquiry = new Inquiry({
    self: ME,
    transport: strangers.transportOf(ME, []),
    registry: own,
    identity: { cluster: () => Promise.resolve(IDENTITY) },
    clock,
    log: new RecordingLog(),
    isMember: () => isMember,
    onRemoved: async () => {
      heard += 1;
    },
    onOutlived: async (peer, incarnation) => void outlived.push({ peer, incarnation }),
  });
  inquiry.start();
  return inquiry;
}

describe("a host that hears nothing of its cluster", () => {
  test("learns from two members that it was removed", async () => {
    answers("a");
    answers("b");
    await using _inquiry = inquire();
    await clock.until(() => heard > 0, 30_000);
  });

  test.each<[string, () => void]>([
    ["one member alone, where there are more", () => answers("a")],
    [
      "one of two, when the other one knows it as a member",
      () => {
        answers("a");
        answers("b", own);
      },
    ],
    [
      "members of another cluster",
      () => {
        for (const peer of ["a", "b", "c"]) answers(peer, others, { ...IDENTITY, clusterId: "c2" });
      },
    ],
    [
      "a removal that members of another incarnation tell of",
      () => {
        for (const peer of ["a", "b", "c"]) answers(peer, others, { ...IDENTITY, incarnation: 2 });
      },
    ],
    [
      "answers that are no answers",
      () => {
        for (const peer of ["a", "b", "c"]) answers(peer);
        strangers.meddle = ({ count, body }) => (count === 0 ? body : { removed_at: 99 });
      },
    ],
  ])("does not believe %s", async (_what, prepare) => {
    prepare();
    let said = 0;
    const { meddle } = strangers;
    strangers.meddle = (one) => {
      said += 1;
      return meddle(one);
    };
    await using _inquiry = inquire();
    await clock.until(() => said >= 4, 60_000);
    await Promise.all(strangers.busy);
    await clock.advance(10_000);
    expect(heard).toBe(0);
  });

  test("learns from one member that the cluster was recovered without it", async () => {
    answers("b", own, { ...IDENTITY, incarnation: 2 });
    answers("c", own);
    await using _inquiry = inquire();
    await clock.until(() => outlived.length > 0, 30_000);
    expect(outlived[0]).toEqual({ peer: "b", incarnation: 2 });
    expect(heard).toBe(0);
  });

  test.each<[string, ClusterIdentity]>([
    ["another cluster", { ...IDENTITY, clusterId: "c2", incarnation: 2 }],
    ["an earlier incarnation", { ...IDENTITY, incarnation: 0 }],
  ])("is not outlived by %s", async (_what, identity) => {
    answers("b", own, identity);
    let said = 0;
    strangers.meddle = ({ body }) => {
      said += 1;
      return body;
    };
    await using _inquiry = inquire();
    await clock.until(() => said >= 4, 60_000);
    await Promise.all(strangers.busy);
    expect(outlived).toEqual([]);
  });

  test("asks nobody while it hears a leader, or is no member, or is alone", async () => {
    for (const peer of ["a", "b", "c"]) answers(peer);
    let said = 0;
    strangers.meddle = ({ body }) => {
      said += 1;
      return body;
    };
    own.quorum = true;
    {
      await using _inquiry = inquire();
      await clock.advance(30_000);
    }
    own.quorum = false;
    const status = own.status.bind(own);
    own.status = () => ({ ...status(), leader: "a" }); // It catches up with what a leader told it.
    {
      await using _inquiry = inquire();
      await clock.advance(30_000);
    }
    own.status = status;
    {
      await using _inquiry = inquire(false);
      await clock.advance(30_000);
    }
    for (const peer of ["a", "b", "c"]) own.state.members.delete(peer);
    await using _inquiry = inquire();
    await clock.advance(30_000);
    expect(said).toBe(0);
  });
});
