import { LICENSE_CHARS_MAX } from "#shared/lib/limits.ts";

/** What is wrong with the form of a license, for `error_details.violation` (seed 003, `invalid_license`). */
export type LicenseViolation = "too_long" | "bad_format" | "no_content" | "bad_base64";

const FRAME = /^-----\s*LICENSE START\s*-----([^]*)-----\s*LICENSE END\s*-----$/;
/** Source: seed 003's own example, which leaves most of its license out. */
const LEFT_OUT = "...";
const PART = /^[A-Za-z0-9+/]*={0,2}$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Whether the text has the form in which licenses are handed out: base64 between two lines that say where it starts and ends, line breaks
 * anywhere (scripts lose them or make spaces of them). Null when it has, and for an empty text, which means no license. Nothing is
 * known of what stands in it: licenses are kept and shown, and allow or forbid nothing here.
 */
export function licenseViolation(text: string): LicenseViolation | null {
  const license = text.trim();
  if (license === "") return null;
  if (text.length > LICENSE_CHARS_MAX) return "too_long";
  const [, inner] = FRAME.exec(license) ?? [];
  if (inner === undefined) return "bad_format";
  const content = inner.replaceAll(/\s/g, "");
  if (content === "") return "no_content";
  const fits = content.includes(LEFT_OUT)
    ? content.split(LEFT_OUT).every((part) => PART.test(part))
    : BASE64.test(content);
  return fits ? null : "bad_base64";
}
