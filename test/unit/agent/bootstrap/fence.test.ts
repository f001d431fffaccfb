import { beforeEach, expect, test } from "vitest";

import { Fence } from "#agent/bootstrap/fence.ts";
import type { PeerEvent } from "#agent/ports/transport.ts";
import { epochMs } from "#shared/lib/time.ts";
import { FakeBootstrap } from "#test/support/fake-bootstrap.ts";
import { LocalRegistry } from "#test/support/local-registry.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

const AT = { startedAt: epochMs(0), endedAt: epochMs(0) };
const OWN = { clusterId: "c", incarnation: 3, uid: 2, contacts: [] };

let registry: LocalRegistry;
let bootstrap: FakeBootstrap;
let steps: string[];
let broken: Error | null;
let say: (event: PeerEvent) => void;
let log: RecordingLog;

beforeEach(async () => {
  registry = new LocalRegistry();
  bootstrap = new FakeBootstrap({ at: epochMs(0) });
  bootstrap.state = { name: "completed", action: "join_cluster", attempt: 1, ...AT };
  [steps, broken, say, log] = [[], null, () => undefined, new RecordingLog()];
  await registry.submit(makeCluster(makeMember(1)), { by: "agent" });
  await registry.submit({ type: "member.add", member: makeMember(2) }, { by: "agent" });
  const transport = {
    onPeer: (listener: (event: PeerEvent) => void) => {
      say = listener;
      return { [Symbol.dispose]: () => undefined };
    },
  };
  const participation = {
    identity: OWN,
    stop: async () => {
      steps.push("stop");
      registry.state.members.clear(); // As the replica, which shows nothing once it has stopped.
    },
  };
  const removed = async (why: string): Promise<void> => {
    if (broken !== null) throw broken;
    steps.push(why);
    bootstrap.state = { name: "idle", reason: why };
  };
  new Fence({
    transport,
    registry,
    participation,
    bootstrap: Object.assign(bootstrap, { removed }),
    log,
  }).start();
});

const hear = async (peer: string, incarnation: number): Promise<void> => {
  say({ type: "outlived", peer, incarnation });
  await new Promise((resolve) => setImmediate(resolve));
};

test("a later incarnation, told by a member, ends this host's part in its own, and says how to come back", async () => {
  await hear("peer-1", 4);
  expect(steps).toEqual([
    "stop",
    expect.stringMatching(/recovered without this host \(incarnation 4\).*uid 2 /),
  ]);
  await hear("peer-1", 4);
  expect(steps).toHaveLength(2);
});

test.each([
  ["a stranger", "peer-9", 4],
  ["a member of this incarnation", "peer-1", 3],
  ["a member of an earlier one", "peer-1", 2],
])("%s ends nothing", async (_who, peer, incarnation) => {
  await hear(peer, incarnation);
  expect(steps).toEqual([]);
});

test("who recovers the cluster itself is not disturbed; it hears again should it fail", async () => {
  bootstrap.state = { name: "running", action: "recover_cluster", attempt: 2, startedAt: AT.startedAt };
  await hear("peer-1", 4);
  expect(steps).toEqual([]);
});

test("nothing goes on while the disk cannot be told, and the next word of it is enough", async () => {
  broken = new Error("EIO");
  await hear("peer-1", 4);
  expect(steps).toEqual(["stop"]);
  broken = null;
  await hear("peer-1", 4);
  expect(steps).toEqual(["stop", "stop", expect.stringContaining("incarnation 4")]);
  expect(log.matching("recovered without this host")).toHaveLength(1);
});
