import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem, tmpdir } from "node:os";
import { join } from "node:path";

import { short } from "#test/bench/statistics.ts";

interface Row {
  readonly chapter: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}

/** What was measured, printed as it comes and written down in the end. Nothing here asserts. */
export class Report {
  #rows: Row[] = [];
  #chapter = "";

  chapter(title: string): void {
    this.#chapter = title;
    console.log(`\n${title}`);
  }

  row(what: string, value: number, unit: string): void {
    this.#rows.push({ chapter: this.#chapter, what, value, unit });
    console.log(`  ${what.padEnd(72)} ${short(value).padStart(8)} ${unit}`);
  }

  /** Begins a new pair of files. */
  clear(): void {
    this.#rows = [];
  }

  /** As Markdown and as JSON lines, in `folder`; one pair of files per set of chapters, replaced each time. */
  write(folder: string, name: string, how: string): void {
    mkdirSync(folder, { recursive: true });
    const head = `<!-- Written by \`${how}\`; not to be edited. -->\n\n# Measured: ${name}\n\n${machine()}\n`;
    const chapters = [...new Set(this.#rows.map(({ chapter }) => chapter))].map((chapter) => {
      const rows = this.#rows.filter((row) => row.chapter === chapter);
      const lines = rows.map(({ what, value, unit }) => `| ${what} | ${short(value)} | ${unit} |`);
      return `\n## ${chapter}\n\n| what | median | unit |\n|---|---:|---|\n${lines.join("\n")}\n`;
    });
    writeFileSync(join(folder, `bench-${name}.md`), head + chapters.join(""));
    const json = this.#rows.map((row) => JSON.stringify(row)).join("\n");
    writeFileSync(join(folder, `bench-${name}.jsonl`), `${json}\n`);
  }
}

export function machine(): string {
  const [cpu] = cpus();
  const disk = execFileSync("findmnt", ["-no", "FSTYPE", "-T", tmpdir()], { encoding: "utf8" }).trim();
  const load = loadavg()[0]?.toFixed(1);
  return (
    `${cpus().length} × ${cpu?.model.trim() ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${disk}, Linux ${release()}, ` +
    `Node ${process.version}; load average at the start ${load}`
  );
}
