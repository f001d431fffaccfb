import { flagOf, SETTING_KEYS, SETTINGS, type SettingKey } from "./schema.ts";

/** The text of `--help`: made of the schema, so that it cannot lag behind. */
export function helpText(): string {
  const rows: (readonly [string, string])[] = [
    ["--config FILE", "settings as JSON; default: /etc/muster/muster.json when it exists"],
    ...SETTING_KEYS.map((key) => [`${flagOf(key)} ${placeholder(key)}`, describe(key)] as const),
    ["--print-config", "print the settings in force as JSON, and exit"],
    ["--version, -V", "print the version, and exit"],
    ["--help, -h", "print this, and exit"],
  ];
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    "Usage: muster agent [flags]",
    "",
    "Runs the agent of this host. Settings come from the file, then from MUSTER_* variables",
    "(--log-level is MUSTER_LOG_LEVEL; lists are comma-separated), then from flags; the later one wins.",
    "",
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
  ].join("\n");
}

function placeholder(key: SettingKey): string {
  const { kind } = SETTINGS[key];
  return kind === "list" ? "VALUE…" : kind === "integer" ? "N" : "VALUE";
}

function describe(key: SettingKey): string {
  const { about, fallback } = SETTINGS[key];
  const shown = typeof fallback === "object" ? fallback.join(" ") : String(fallback ?? "");
  return shown === "" ? about : `${about}; default: ${shown}`;
}
