import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { parseArgs } from "node:util";

import { measure, type Crash, type Measured } from "./membership-measure.ts";

// `npm run sim:scale` lets up to 1,000 agents run the membership protocol in virtual time, and writes what it cost and how
// soon crashes were known to docs/results/membership-scale.md. The seeds decide everything, so the table is always the same.
// Options: --print (write no file), --agents N (that size only).

const FILE = new URL("../../docs/results/membership-scale.md", import.meta.url).pathname;
const BEGIN = "<!-- begin: written by npm run sim:scale, not by hand -->";
const END = "<!-- end -->";

/** Few seeds where each takes long: ten seconds of one core for 1,000 agents. */
const SIZES = [
  { size: 10, seeds: 21 },
  { size: 32, seeds: 21 },
  { size: 100, seeds: 11 },
  { size: 320, seeds: 5 },
  { size: 1000, seeds: 3 },
];
const LOSSES = [0, 0.1];

const INTRODUCTION = `# Membership at scale

Written by \`npm run sim:scale\`; not to be edited. Agents run the product's protocol (\`shared/membership\`) in virtual time over a
network with up to 10 ms of delay. Nothing here is a measurement of a machine: the same seeds give the same table.

**Idle** is what one agent sends in a second without events: JSON in the mesh's frames, fingerprints of host facts and clock stamps
included, which ride on probes. Encryption, the muxer and TCP/IP add some 90 bytes to each message. **Silent** is a host that
stops and keeps its connections (SIGSTOP, a cable pulled out); **closed** is one whose connections close (kill -9). Times are
seconds since the crash: when the first agent suspects it, when the first holds it to be dead, and when half, 99 % and all
do; medians over the seeds, and for all also the worst. **Wrong** counts healthy hosts that were suspected, and beliefs that one is
dead, over all seeds (some 40 s of virtual time each).
`;

const HEAD = [
  "agents",
  "lost",
  "seeds",
  "idle B/s",
  "idle msg/s",
  "silent: suspected",
  "first",
  "50 %",
  "99 %",
  "all (worst)",
  "closed: suspected",
  "first",
  "50 %",
  "99 %",
  "all (worst)",
  "wrongly suspected",
  "wrongly dead",
];

const { values } = parseArgs({ options: { print: { type: "boolean" }, agents: { type: "string" } } });

function median(runs: readonly Measured[], of: (measured: Measured) => number): number {
  const sorted = runs.map(of).toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function crashCells(runs: readonly Measured[], of: (measured: Measured) => Crash): string[] {
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  const middle = (field: keyof Crash): string => seconds(median(runs, (run) => of(run)[field]));
  const worst = seconds(Math.max(...runs.map((run) => of(run).allMs)));
  const keys = ["suspectedMs", "firstDeadMs", "halfMs", "mostMs"] as const;
  return [...keys.map(middle), `${middle("allMs")} (${worst})`];
}

function row(size: number, lossRatio: number, runs: readonly Measured[]): string {
  const sum = (of: (measured: Measured) => number): number => runs.reduce((total, run) => total + of(run), 0);
  const cells = [
    size,
    `${lossRatio * 100} %`,
    runs.length,
    median(runs, ({ idleBytes }) => idleBytes).toFixed(0),
    median(runs, ({ idleMessages }) => idleMessages).toFixed(2),
    ...crashCells(runs, ({ silent }) => silent),
    ...crashCells(runs, ({ closed }) => closed),
    sum(({ falseSuspicions }) => falseSuspicions),
    sum(({ falseDeaths }) => falseDeaths),
  ];
  return line(cells);
}

function line(cells: readonly (string | number)[]): string {
  return `| ${cells.join(" | ")} |`;
}

const lines = [line(HEAD), line(HEAD.map(() => "---:"))];
for (const text of lines) console.log(text);
for (const { size, seeds } of SIZES.filter(
  ({ size }) => values.agents === undefined || size === Number(values.agents),
)) {
  for (const lossRatio of LOSSES) {
    const runs = Array.from({ length: seeds }, (_, i) => measure({ seed: i + 1, size, lossRatio }));
    const text = row(size, lossRatio, runs);
    lines.push(text);
    console.log(text);
  }
}
if (values.print !== true && values.agents === undefined) await save(lines.join("\n"));

/** Puts the table between the markers; what else stands in the file stays. */
async function save(table: string): Promise<void> {
  const fresh = `${INTRODUCTION}\n${BEGIN}\n\n${END}\n`;
  const before = await readFile(FILE, "utf8").catch(() => fresh);
  const [start, end] = [before.indexOf(BEGIN), before.indexOf(END)];
  if (start < 0 || end < start)
    throw new Error(`${FILE} has lost its markers; remove it to have it written anew`);
  const text = `${before.slice(0, start)}${BEGIN}\n\n${table}\n\n${before.slice(end)}`;
  await mkdir(dirname(FILE), { recursive: true });
  await writeFile(FILE, text);
}
