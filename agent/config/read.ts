import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";

import { SOFTWARE_VERSION } from "#shared/lib/version.ts";

import { decide, type Config, type Settled } from "./decide.ts";
import { helpText } from "./help.ts";
import { nearest, type RawSetting } from "./raw.ts";
import { flagOf, SETTING_KEYS, SETTINGS, variableOf, type SettingKey } from "./schema.ts";

export type { Config } from "./decide.ts";

/** Read when it exists and `--config` names no other. */
const CONFIG_FILE = "/etc/muster/muster.json";
const CONFIG_FILE_BYTES_MAX = 1024 * 1024;

/** What the command line asks for. `problems` are sentences for the operator, each naming the key at fault and its source. */
export type Outcome =
  | { readonly type: "run"; readonly config: Config }
  | { readonly type: "print"; readonly text: string }
  | { readonly type: "refused"; readonly problems: readonly string[] };

/**
 * Reads the configuration: the file, then `MUSTER_*` variables, then flags; the later one wins, key by key.
 * Nothing else in the agent reads settings from the environment.
 */
export function readConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Outcome {
  const flags = readFlags(argv);
  if (flags.asked === "help") return { type: "print", text: helpText() };
  if (flags.asked === "version") return { type: "print", text: SOFTWARE_VERSION };

  const variables = readVariables(env);
  const named = flags.configFile ?? variables.configFile;
  const file = readFile(named ?? CONFIG_FILE, named === null);
  const problems = [...file.problems, ...variables.problems, ...flags.problems];
  if (problems.length > 0) return { type: "refused", problems };

  const decision = decide(new Map([...file.settings, ...variables.settings, ...flags.settings]), hostname());
  if ("problems" in decision) return { type: "refused", problems: decision.problems };
  if (flags.asked === "print-config") return { type: "print", text: unflatten(decision.settled) };
  return { type: "run", config: decision.config };
}

/** What one source says, and what in it cannot be understood. */
class Source {
  readonly settings = new Map<SettingKey, RawSetting>();
  readonly problems: string[] = [];
  configFile: string | null = null;
  asked: "help" | "version" | "print-config" | null = null;
}

function readFile(path: string, optional: boolean): Source {
  const source = new Source();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (optional && (code === "ENOENT" || code === "ENOTDIR")) return source;
    source.problems.push(`${path}: cannot be read (${code})`);
    return source;
  }
  if (text.length > CONFIG_FILE_BYTES_MAX) {
    source.problems.push(`${path}: is larger than ${CONFIG_FILE_BYTES_MAX} bytes`);
    return source;
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    source.problems.push(`${path}: is not JSON: ${error instanceof Error ? error.message : String(error)}`);
    return source;
  }
  if (!isRecord(parsed)) {
    source.problems.push(`${path}: must hold one JSON object`);
    return source;
  }
  for (const [key, value] of flatten(parsed)) {
    const origin = `${path}: \`${key}\``;
    if (isSetting(key)) source.settings.set(key, { value, origin });
    else source.problems.push(`${origin} is not a known key${didYouMean(key, SETTING_KEYS)}`);
  }
  return source;
}

function readVariables(env: Readonly<Record<string, string | undefined>>): Source {
  const source = new Source();
  const keys = new Map(SETTING_KEYS.map((key) => [variableOf(key), key]));
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith("MUSTER_") || value === undefined) continue;
    const key = keys.get(variable);
    if (variable === "MUSTER_CONFIG") source.configFile = value;
    else if (key !== undefined) source.settings.set(key, { value: fromText(key, value), origin: variable });
    else source.problems.push(`${variable} is not a known variable${didYouMean(variable, [...keys.keys()])}`);
  }
  return source;
}

function readFlags(argv: readonly string[]): Source {
  const source = new Source();
  const keys = new Map(SETTING_KEYS.map((key) => [flagOf(key).slice(2), key]));
  const options: ParseArgsOptionsConfig = {
    config: { type: "string" },
    "print-config": { type: "boolean" },
    help: { type: "boolean", short: "h" },
    version: { type: "boolean", short: "V" },
  };
  for (const flag of keys.keys()) options[flag] = { type: "string" };
  const { tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const given = new Map<string, string[]>();
  let afterMistake = false; // What follows a mistaken flag is part of the same mistake.
  for (const token of tokens) {
    if (token.kind === "positional" && !afterMistake) {
      source.problems.push(`${token.value}: only flags are understood here`);
    }
    afterMistake = false;
    if (token.kind !== "option") continue;
    const { name, value } = token;
    if (options[name] === undefined) {
      const known = Object.keys(options).map((option) => `--${option}`);
      source.problems.push(`${token.rawName} is not a known flag${didYouMean(token.rawName, known)}`);
      afterMistake = true;
    } else if (options[name].type === "boolean") {
      source.asked ??= name as "help" | "version" | "print-config";
    } else if (value === undefined || (value.startsWith("--") && !token.inlineValue)) {
      source.problems.push(`--${name} needs a value`);
      afterMistake = true;
    } else {
      given.set(name, [...(given.get(name) ?? []), value]);
    }
  }
  for (const [flag, values] of given) {
    const key = keys.get(flag);
    const origin = `--${flag}`;
    if (values.length > 1 && (key === undefined || !isList(key)))
      source.problems.push(`${origin} is given twice`);
    else if (key === undefined) source.configFile = values[0] ?? null;
    else if (isList(key)) source.settings.set(key, { value: values, origin });
    else source.settings.set(key, { value: fromText(key, values[0] ?? ""), origin });
  }
  return source;
}

/** Gives a text from the environment or the command line the type of its setting; what does not fit stays as it is, and is refused. */
function fromText(key: SettingKey, text: string): unknown {
  if (isList(key)) return text === "" ? [] : text.split(",").map((item) => item.trim());
  if (SETTINGS[key].kind === "integer" && /^\d{1,15}$/.test(text)) return Number(text);
  return text;
}

/** `{"log": {"level": "info"}}` → `log.level`. Only sections are opened; any other object is a wrong value of its key. */
function* flatten(file: Record<string, unknown>): Generator<readonly [string, unknown]> {
  const sections = new Set(SETTING_KEYS.filter((key) => key.includes(".")).map((key) => key.split(".")[0]));
  for (const [key, value] of Object.entries(file)) {
    if (!sections.has(key) || !isRecord(value)) yield [key, value];
    else for (const [inner, innerValue] of Object.entries(value)) yield [`${key}.${inner}`, innerValue];
  }
}

/** The opposite of flatten, as text for `--print-config`. */
function unflatten(settled: Settled): string {
  const file: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(settled)) {
    const [section = key, inner] = key.split(".");
    if (inner === undefined) file[key] = value;
    else file[section] = { ...(file[section] as object | undefined), [inner]: value };
  }
  return JSON.stringify(file, null, 2);
}

function isList(key: SettingKey): boolean {
  return SETTINGS[key].kind === "list";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSetting(key: string): key is SettingKey {
  return Object.hasOwn(SETTINGS, key);
}

function didYouMean(given: string, known: readonly string[]): string {
  const candidate = nearest(given, known);
  return candidate === null ? "" : `; did you mean ${candidate}?`;
}
