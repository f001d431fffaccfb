/** `x.y.z`, as in package.json, and what may follow after a dash. */
const VERSION = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]{1,32}))?$/;

/** Whether the text is a version that can be compared. */
export function isVersion(text: string): boolean {
  return VERSION.test(text);
}

/**
 * Whether `version` comes before `wanted`; compared are the three numbers, and what follows a dash when it is a number on both sides
 * (seed 003 has builds: `7.4.2-54`). Whatever cannot be compared comes before everything. Both are versions of this product: those of
 * the vendor whose dialect is spoken count on another scale.
 */
export function isOlder(version: string, wanted: string): boolean {
  const a = numbersOf(version);
  const b = numbersOf(wanted);
  if (a === null || b === null) return true;
  for (const [i, number] of a.entries()) {
    const other = b[i] ?? 0;
    if (number !== other) return number < other;
  }
  return false;
}

function numbersOf(version: string): readonly number[] | null {
  const [whole, x, y, z, build = ""] = VERSION.exec(version) ?? [];
  if (whole === undefined) return null;
  return [Number(x), Number(y), Number(z), /^\d{1,9}$/.test(build) ? Number(build) : 0];
}
