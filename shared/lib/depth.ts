/**
 * Whether arrays and objects nest deeper than `limit` levels (a bare value has none). Walks without recursion, so that
 * the answer does not depend on the size of the stack; JSON.stringify and canonicalJson do recurse.
 */
export function nestsDeeperThan(value: unknown, limit: number): boolean {
  let level: object[] = isContainer(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > limit) return true;
    level = level.flatMap((container) => Object.values(container).filter(isContainer));
  }
  return false;
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
