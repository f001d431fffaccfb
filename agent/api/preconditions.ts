import type { FastifyRequest } from "fastify";

import type { History } from "#agent/api/history.ts";
import type { Target } from "#agent/api/ports.ts";
import { checked } from "#shared/contract/check.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { Expectation } from "#shared/registry/command.ts";

// Conditional requests, RFC 9110, section 13. The bodies of one version are the same on all agents, so the tags are strong.

/** One entity tag: section 8.8.3. */
const TAG = /^(W\/)?"([\x21\x23-\x7e]*)"$/;

/** The ETag of an index; null outside a cluster. */
export function entityTag(history: History, version: number | null): string | null {
  const stamp = version === null ? null : history.stamp(version);
  return stamp === null ? null : `"${stamp}"`;
}

/** Whether a GET's If-None-Match (`*`, or tags compared weakly) says that the caller has what is there now. */
export function isKnown(request: FastifyRequest, tag: string): boolean {
  const header = request.headers["if-none-match"];
  if (header === undefined) return false;
  return header.trim() === "*" || tagsIn("If-None-Match", header).some(({ text }) => text === tag);
}

/** Throws precondition_failed when a GET's If-Match names other versions than that which is there now. */
export function demandMatch(request: FastifyRequest, tag: string): void {
  const header = request.headers["if-match"];
  if (header === undefined || header.trim() === "*") return;
  if (!tagsIn("If-Match", header).some(({ text, weak }) => !weak && text === tag)) throw failed(request.url);
}

/**
 * What the If-Match of a write demands of its target, for Registry.submit; undefined when it demands nothing. `*` does not: a change
 * of what does not exist is refused as such anyway, which goes before preconditions (section 13.2.1). Throws bad_request for a
 * header that cannot be read or has no meaning here, precondition_failed for a tag that cannot be the present one's.
 */
export function expectationOf(
  request: FastifyRequest,
  history: History,
  target: Target | null,
): Expectation | undefined {
  if (request.headers["if-none-match"] !== undefined) {
    throw bad("If-None-Match", "is for reading; what exists already is never created a second time");
  }
  const header = request.headers["if-match"];
  if (header === undefined) return undefined;
  if (target === null) throw bad("If-Match", "has no meaning here: nothing with an ETag is changed");
  if (header.trim() === "*") return undefined;
  const [tag, ...others] = tagsIn("If-Match", header);
  if (tag === undefined || others.length > 0) throw bad("If-Match", "must be one entity tag, or *");
  const version = tag.weak ? null : history.indexOf(tag.opaque);
  // No record has an id that is too long to be expected.
  const expectation = version === null ? null : checked(Expectation, { ...target, version });
  if (expectation === null) throw preconditionFailed(target);
  return expectation;
}

interface Tag {
  readonly weak: boolean;
  readonly opaque: string;
  /** Without the mark of weakness. */
  readonly text: string;
}

/** The tags of a list. An opaque tag may contain a comma, so a list is not simply split at them. */
function tagsIn(field: string, header: string): Tag[] {
  const parts = header.match(/(?:W\/)?"[^"]*"|[^\s,]+/g) ?? [];
  return parts.map((part) => {
    const found = TAG.exec(part);
    if (found === null) throw bad(field, 'must be entity tags in double quotes, such as "TAG", or *');
    const opaque = found[2] ?? "";
    return { weak: found[1] !== undefined, opaque, text: `"${opaque}"` };
  });
}

/** What the caller knows of this is out of date. */
export function preconditionFailed({ topic, id }: Target): AppError {
  return failed(`${topic} ${id}`.trimEnd());
}

function bad(field: string, rule: string): AppError {
  return new AppError("bad_request", { field, rule });
}

function failed(what: string): AppError {
  return new AppError("precondition_failed", { what });
}
