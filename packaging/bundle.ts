import { copyFile, cp, mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";

import { rolldown, type Plugin } from "rolldown";

// `npm run bundle [-- --out DIR]`: the agent and its command as plain JavaScript, with every library inside, and the LevelDB addon
// beside it. It starts faster and keeps less memory than the sources, which Node has to strip of their types first
// (docs/results/bench-start.md). `node build/muster.js` is then what `npm run muster` is.

const ROOT = join(import.meta.dirname, "..");

/** Files that are started by their path, as processes or threads. All others are reached from these. */
const ENTRIES = {
  muster: "agent/muster.js",
  main: "agent/main.ts",
  "slow-child": "agent/inventory/slow-child.ts",
  "certificate-child": "agent/api/certificate-child.ts",
  "verify-worker": "agent/backup/verify-worker.ts",
};

const ADDON = "classic-level.node";
/** For the C library of the machine it is built on; both are in the package. */
const PREBUILT = isGlibc() ? ADDON : "classic-level.musl.node";

function isGlibc(): boolean {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime !== undefined;
}

/** The sources name such files where they lie; here all are in one folder. */
const besideEachOther: Plugin = {
  name: "beside each other",
  transform: {
    filter: { id: /\/agent\/.*\.ts$/ },
    handler: (code) => ({
      code: code.replaceAll(
        /new URL\("[./\w-]*?([\w-]+)\.ts", import\.meta\.url\)/g,
        (_all, name: string) => {
          if (!(name in ENTRIES))
            throw new Error(`${name} is started by its path and is no entry of the bundle`);
          return `new URL("./${name}.js", import.meta.url)`;
        },
      ),
      // Lines stay what they were, which is all that a stack trace is read for.
      map: null,
    }),
  },
};

/** Its own loader looks for a folder of builds for every machine. */
const addonBesideIt: Plugin = {
  name: "the addon beside it",
  load: {
    filter: { id: /\/classic-level\/binding\.js$/ },
    handler: () => `module.exports = require("./${ADDON}");`,
  },
  resolveId: {
    filter: { id: /\.node$/ },
    handler: (id) => ({ id: `./${basename(id)}`, external: true }),
  },
};

/**
 * To import them evaluates all that they export, and with it Node's whole fetch, of which nothing is used here: a megabyte or two.
 * Asked for in this way they give what is taken.
 */
const noMoreThanUsed: Plugin = {
  name: "no more than used",
  resolveId: {
    filter: { id: /^node:https?$/ },
    handler: (id, _importer, { kind }) => (kind === "import-statement" ? `\0${id}` : null),
  },
  load: {
    filter: { id: /^\0node:https?$/ },
    handler: (id) => `export const { createServer, request } = process.getBuiltinModule("${id.slice(1)}");`,
  },
};

/** One character beyond Latin-1 makes the engine keep the whole text with two bytes for each. */
const plainText: Plugin = {
  name: "plain text",
  generateBundle: (_options, files) => {
    for (const file of Object.values(files)) {
      if (file.type !== "chunk") continue;
      file.code = file.code.replaceAll(
        /[^\0-\x7F]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
      );
    }
  },
};

async function bundle(out: string): Promise<void> {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const build = await rolldown({
    cwd: ROOT,
    input: ENTRIES,
    platform: "node",
    plugins: [besideEachOther, addonBesideIt, noMoreThanUsed, plainText],
    onLog: (level, log) => {
      if (level === "warn") throw new Error(`the bundler warns: ${log.message}`);
    },
  });
  await build.write({
    dir: out,
    format: "esm",
    // What the text of the code takes, it takes in memory, too; but functions and classes keep their names, for stack traces. Private
    // ones do not: the maps, which nobody loads who does not ask for it (NODE_OPTIONS=--enable-source-maps), tell those.
    sourcemap: true,
    minify: {
      compress: true,
      mangle: { toplevel: false, keepNames: { function: true, class: true } },
      codegen: { removeWhitespace: true },
    },
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
  });
  await build.close();
  const prebuilds = `node_modules/classic-level/prebuilds/${process.platform}-${process.arch}`;
  await copyFile(join(ROOT, prebuilds, PREBUILT), join(out, ADDON));
  await cp(join(ROOT, "LICENSE"), join(out, "LICENSE"));
}

const { values } = parseArgs({ options: { out: { type: "string", default: join(ROOT, "build") } } });
await bundle(values.out);
process.stdout.write(`bundled into ${values.out}\n`);
