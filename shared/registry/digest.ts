import { canonicalJson } from "#shared/lib/order.ts";

/**
 * 64-bit FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv) of the value's canonical JSON in UTF-8, as 16 hex digits. It tells
 * two requests under one idempotency key apart; that guards against accidents, not against somebody who seeks a collision:
 * keys are scoped to their user, who could only fool himself.
 */
export function digest(value: unknown): string {
  return fnv1a64(canonicalJson(value));
}

/** FNV-1a of the text's UTF-8 bytes. */
export function fnv1a64(text: string): string {
  const [high, low] = halves(text);
  return hex(high) + hex(low);
}

/** The lower 52 bits of it, as a whole number. */
export function fnv1a52(text: string): number {
  const [high, low] = halves(text);
  return (high & 0xfffff) * 0x1_0000_0000 + low;
}

/** The 64-bit product is done in two 32-bit halves: prime = 2^40 + 0x1b3. */
function halves(text: string): readonly [number, number] {
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (const byte of new TextEncoder().encode(text)) {
    const mixed = (low ^ byte) >>> 0;
    const product = mixed * 0x1b3; // Below 2^41: exact in a double.
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 0x1_0000_0000) + (mixed << 8)) >>> 0;
    low = product >>> 0;
  }
  return [high, low];
}

function hex(half: number): string {
  return half.toString(16).padStart(8, "0");
}
