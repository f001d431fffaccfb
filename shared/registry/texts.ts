import { canonicalJson } from "#shared/lib/order.ts";

/** Canonical texts of records. They are replaced, never mutated, so a text holds as long as its record does. */
const texts = new WeakMap<object, string>();

/** The record's canonical text, remembered; `form` is what is written in its place. */
export function textOf(record: object, form: () => object = () => record): string {
  const known = texts.get(record);
  if (known !== undefined) return known;
  const text = canonicalJson(form());
  texts.set(record, text);
  return text;
}
