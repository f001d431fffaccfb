import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, expect, test, vi } from "vitest";

import { appendResult, type RunResult } from "#test/histories/report.ts";

const RESULT: RunResult = {
  scenario: "leader killed",
  seed: 7,
  acknowledged: 100,
  refused: 2,
  unknown: 1,
  lost: 0,
  doubled: 0,
  unavailable_ms: 1800,
  notes: "3 agents",
};

afterEach(() => {
  vi.unstubAllEnvs();
});

test("results are added to the named file, one JSON line each, whoever writes at the same time", async () => {
  const dir = await mkdtemp(join(tmpdir(), "muster-results-"));
  try {
    const path = join(dir, "not there yet", "results.jsonl");
    vi.stubEnv("MUSTER_RESULTS", path);
    const results = Array.from({ length: 20 }, (_, seed) => ({ ...RESULT, seed }));
    await Promise.all(results.map(appendResult));
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    const seeds = lines
      .map((line) => JSON.parse(line) as RunResult)
      .toSorted((a, b) => (a.seed ?? 0) - (b.seed ?? 0));
    expect(seeds).toEqual(results);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("without a file nothing is written", async () => {
  vi.stubEnv("MUSTER_RESULTS", "");
  await expect(appendResult(RESULT)).resolves.toBeUndefined();
});
