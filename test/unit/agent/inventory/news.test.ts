import { expect, test } from "vitest";

import { isNews } from "#agent/inventory/news.ts";
import type { HostFacts, LiveFacts } from "#shared/model/hardware.ts";
import { makeFacts } from "#test/support/builders.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

function facts(live: { memory?: number; disk?: number | null } & Partial<LiveFacts> = {}): HostFacts {
  const { memory = 10 * GIB, disk = 100 * GIB, ...rest } = live;
  return makeFacts({
    static: { memory_total: 16 * GIB },
    live: {
      memory_free: memory,
      uptime_s: 10,
      storage: [
        {
          kind: "persistent",
          path: "/p",
          size: 200 * GIB,
          free: disk,
          filesystem: null,
          device: null,
          mount_point: null,
          rotational: null,
        },
      ],
      ...rest,
    },
  });
}

test("the passing of time and the load are no news", () => {
  const later = { ...facts({ load: [9, 9, 9], uptime_s: 20 }), collected_at_ms: 2 };
  expect(isNews(facts(), later)).toBe(false);
});

test.each([
  ["memory, less than a twentieth", { memory: 9.6 * GIB }, false],
  ["memory, more than a twentieth", { memory: 9.4 * GIB }, true],
  ["memory, more of it", { memory: 10.6 * GIB }, true],
  ["disk, less than a twentieth", { disk: 96 * GIB }, false],
  ["disk, more than a twentieth", { disk: 94 * GIB }, true],
  ["disk, not known any more", { disk: null }, true],
  ["the clock has lost its source", { clock: { synchronized: false, source: null } }, true],
] as const)("%s", (_, live, news) => {
  expect(isNews(facts(), facts(live))).toBe(news);
});

test("of little, 64 MiB count, and so does the loss of half", () => {
  const told = facts({ disk: 200 * MIB });
  expect(isNews(told, facts({ disk: 140 * MIB }))).toBe(false);
  expect(isNews(told, facts({ disk: 130 * MIB }))).toBe(true);
  expect(isNews(facts({ disk: 20 * MIB }), facts({ disk: 11 * MIB }))).toBe(false);
  expect(isNews(facts({ disk: 20 * MIB }), facts({ disk: 9 * MIB }))).toBe(true);
});

test("what seldom changes is always news, and so is a probe that fails", () => {
  const base = facts();
  expect(isNews(base, { ...base, static: { ...base.static, memory_total: 8 * GIB } })).toBe(true);
  expect(isNews(base, { ...base, stale: ["storage"] })).toBe(true);
});

test("disk space that is found out is news, even if it is none", () => {
  expect(isNews(facts({ disk: null }), facts({ disk: 0 }))).toBe(true);
});
