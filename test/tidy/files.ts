import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

export const ROOT = new URL("../..", import.meta.url).pathname;

const SKIPPED: ReadonlySet<string> = new Set(["node_modules", ".git", ".muster-dev"]);

/** All files of the repository that people write, relative to its root. */
export function repositoryFiles(): readonly string[] {
  return [...walk(ROOT)].map((path) => relative(ROOT, path)).filter((path) => path !== "package-lock.json");
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (SKIPPED.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile()) yield path;
  }
}
