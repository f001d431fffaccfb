import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { Replica } from "#agent/registry/replica.ts";
import { openStores } from "#agent/store/open.ts";
import { RaftCore } from "#shared/consensus/core.ts";
import {
  IDEMPOTENCY_KEYS_MAX,
  LOG_TAIL_ENTRIES,
  SESSION_WINDOW_MAX,
  SNAPSHOT_ENTRIES,
} from "#shared/lib/limits.ts";
import { Prng } from "#shared/lib/prng.ts";
import type { Command } from "#shared/registry/command.ts";
import { encodeState } from "#shared/registry/snapshot.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { FakeMesh } from "#test/support/fake-mesh.ts";
import { RecordingLog } from "#test/support/recording-log.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

// A day of writes on one agent and a real disk: whatever they leave behind stays within bounds. The day passes in the log's own
// time, by which keys are forgotten. `BOUNDS_COMMANDS=2000000` makes it a day at 23 writes a second.

const COMMANDS = Number(process.env["BOUNDS_COMMANDS"] ?? 40_000);
const WAVE = 1000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Members that come and go in that day. Each leaves a tombstone for good: so many removals, so many tombstones. */
const GUESTS = 20;

/**
 * The tail behind a snapshot, and what makes the next one due: so many entries, or a quarter of the last one when that is more.
 * A wave may come on top, and while a snapshot is being written so may those that are quicker than the disk.
 */
function entriesMax(stateChars: number, entryChars: number): number {
  return LOG_TAIL_ENTRIES + Math.max(SNAPSHOT_ENTRIES, stateChars / 4 / entryChars) + WAVE + 2 * GUESTS;
}
/** Level keeps removed records until it merges its tables: some times what is there. */
const FOLDER_BYTES_MAX = 48 * 1024 * 1024;
/** The registry itself, with a full table of keys. */
const STATE_CHARS_MAX = 4 * 1024 * 1024;

async function folderBytes(dir: string): Promise<number> {
  const sizes = (await readdir(dir)).map(
    async (name) => (await stat(join(dir, name)).catch(() => null))?.size,
  );
  return (await Promise.all(sizes)).reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

test("a day of writes leaves no more behind than an hour", { timeout: 900_000 }, async () => {
  const root = await mkdtemp(join(tmpdir(), "muster-bounds-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(root, { recursive: true, force: true }));
  const dir = join(root, "store");
  const log = new RecordingLog();
  const clock = new FakeClock();
  const stores = stack.use(await openStores(dir, { log }));
  const options = { electionTicks: 20, heartbeatTicks: 2 };
  const replica = new Replica(
    {
      transport: new FakeMesh({ clock }).join("peer-1"),
      stores,
      clock,
      log,
      random: () => 0.5,
      createCore: (core, start) => new RaftCore(core, start),
      membership: { isAlive: () => true, self: () => ({ score: 0, loopDelayMs: 0 }) },
      session: (await stores.identity.host()).starts,
    },
    options,
  );
  stack.defer(() => replica.stop());
  await replica.found({ clusterId: "c1", incarnation: 1, uid: 1, contacts: [] });
  const submit = (command: Command, key?: string) =>
    replica.submit(command, { by: "admin", ...(key === undefined ? {} : { key }) });
  expect((await submit(makeCluster(makeMember(1)))).result.ok).toBe(true);
  expect((await submit({ type: "zone.create", name: "stays" })).result.ok).toBe(true);

  const random = new Prng(1);
  const most = { entries: 0, folder: 0, state: 0, results: 0, keys: 0 };
  let guests = 0;
  for (let done = 0; done < COMMANDS; done += WAVE) {
    const wave = Array.from({ length: WAVE }, (_, i) =>
      submit(
        { type: "zone.rename", id: 1, name: `name ${done + i}` },
        random.chance(0.3) ? `key ${done + i}` : undefined,
      ),
    );
    await Promise.all(wave);
    clock.jumpWall(DAY_MS / (COMMANDS / WAVE));
    while (guests < (GUESTS * (done + WAVE)) / COMMANDS) {
      const peer = `guest-${(guests += 1)}`;
      await submit({ type: "member.add", member: makeMember(100 + guests, { peer }) });
      await submit({ type: "member.remove", peer });
    }
    const { state } = replica;
    const results = [...state.sessions.values()].reduce((sum, session) => sum + session.results.size, 0);
    most.results = Math.max(most.results, results);
    most.keys = Math.max(most.keys, state.keys.size);
    most.folder = Math.max(most.folder, await folderBytes(dir));
    if (done % (10 * WAVE) !== 0) continue;
    most.state = Math.max(most.state, encodeState(state).length);
    await expect
      .poll(
        async () => {
          await clock.advance(200); // A quiet turn, in which a snapshot that became due meanwhile is begun.
          const { entries } = await stores.log.load();
          const chars = entries.reduce((sum, { data }) => sum + data.length, 0) / entries.length;
          most.entries = Math.max(most.entries, entries.length);
          return entries.length - entriesMax(most.state, chars);
        },
        { timeout: 60_000 },
      )
      .toBeLessThanOrEqual(0);
  }

  const { state } = replica;
  expect(state.zones.get(1)?.name).toBe(`name ${COMMANDS - 1}`);
  expect(most.entries).toBeGreaterThan(SNAPSHOT_ENTRIES); // It was forgotten, not left out.
  expect(most.folder).toBeLessThanOrEqual(FOLDER_BYTES_MAX);
  expect(most.state).toBeLessThanOrEqual(STATE_CHARS_MAX);
  expect(most.results).toBeLessThanOrEqual(SESSION_WINDOW_MAX);
  expect(most.keys).toBeGreaterThan(0);
  expect(most.keys).toBeLessThanOrEqual(IDEMPOTENCY_KEYS_MAX);
  expect(state.versions.size).toBeLessThanOrEqual(4);
  expect(state.sessions.size).toBe(1);
  expect(state.members.size).toBe(1);
  expect(state.tombstones.size).toBe(GUESTS);
  expect(log.matching("took a snapshot").length).toBeGreaterThan(COMMANDS / SNAPSHOT_ENTRIES / 4);
});
