/** Orders texts by UTF-16 code unit: the same on every machine, unlike localeCompare. */
export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** JSON with the keys of every object in code-unit order, so that equal values give equal text. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(",")}]`;
  const record = value as Record<string, unknown>;
  let text = "";
  // Every applied entry comes by here, on every agent. Without a comparison of its own, sort() orders texts by code units.
  for (const key of Object.keys(record).sort()) {
    const item = record[key];
    if (item === undefined) continue;
    text += `${text === "" ? "{" : ","}${JSON.stringify(key)}:${canonicalJson(item)}`;
  }
  return text === "" ? "{}" : `${text}}`;
}
