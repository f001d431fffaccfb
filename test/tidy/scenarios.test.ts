import { existsSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { read, ROOT } from "#test/tidy/files.ts";

// docs/TESTING.md maps the scenarios of etcd's raft to our tests. A renamed test must not leave the table behind.

const FOLDER = "test/unit/shared/consensus";

interface Row {
  readonly theirs: string;
  /** Our file; null when the scenario has no meaning here. */
  readonly file: string | null;
  /** Titles of our tests. */
  readonly tests: readonly string[];
  /** Why there is none. */
  readonly why: string;
}

/** The rows of the table under "The scenarios of etcd". */
function rowsOf(document: string): Row[] {
  const [, section = ""] = document.split("### The scenarios of etcd\n");
  const [table = ""] = section.split("\n#");
  return table
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .slice(1)
    .map((line) => {
      const [theirs = "", here = "", what = ""] = line
        .split("|")
        .slice(1)
        .map((cell) => cell.trim());
      const file = /^`([\w.-]+)`$/.exec(here)?.[1] ?? null;
      const tests = [...what.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => title);
      return { theirs, file, tests, why: file === null && here === "–" ? what : "" };
    });
}

/** Titles of the tests in a source text; for a table of tests, the one that all rows share. */
function titlesIn(source: string): Set<string> {
  return new Set([...source.matchAll(/(?<!describe)\(\s*"([^"]+)",\s*\(/g)].map(([, title = ""]) => title));
}

function complaints(rows: readonly Row[]): string[] {
  return rows.flatMap(({ theirs, file, tests, why }) => {
    if (file === null) return why === "" ? [`${theirs}: neither a test nor a reason`] : [];
    if (!existsSync(join(ROOT, FOLDER, file))) return [`${theirs}: there is no file ${file}`];
    if (tests.length === 0) return [`${theirs}: names no test of ${file}`];
    const titles = titlesIn(read(`${FOLDER}/${file}`));
    return tests.filter((title) => !titles.has(title)).map((title) => `${file}: there is no test "${title}"`);
  });
}

describe("the scenarios of etcd", () => {
  const document = read("docs/TESTING.md");
  const rows = rowsOf(document);

  test("all have a test of ours that exists, or a reason", () => {
    expect(rows.length).toBeGreaterThan(40);
    expect(complaints(rows)).toEqual([]);
  });

  test("every file of traps is named", () => {
    const named = new Set(rows.map(({ file }) => file));
    for (const topic of ["election", "transfer", "membership", "replication", "disk", "snapshot"]) {
      expect(named).toContain(`traps-${topic}.test.ts`);
    }
  });

  test.each([
    { what: "a test that is not there", row: '| x | `quorum.test.ts` | "no such test" |' },
    {
      what: "a group of tests instead of a test",
      row: '| x | `traps-snapshot.test.ts` | "a follower that fetches a snapshot" |',
    },
    { what: "a file that is not there", row: '| x | `nowhere.test.ts` | "its own pre-vote is no vote" |' },
    { what: "a file without a test", row: "| x | `quorum.test.ts` | majorities |" },
    { what: "nothing", row: "| x |  |  |" },
    { what: "no reason", row: "| x | – |  |" },
  ])("a planted row with $what is found", ({ row }) => {
    const planted = `### The scenarios of etcd\n\n| etcd | here | test |\n|---|---|---|\n${row}\n\n## Next\n`;
    expect(rowsOf(planted)).toHaveLength(1);
    expect(complaints(rowsOf(planted))).toHaveLength(1);
  });
});
