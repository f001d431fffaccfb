import type { Type } from "typebox";
import { Compile, type Validator } from "typebox/compile";

import type { BadField } from "#shared/errors/kinds.ts";
import { nestsDeeperThan } from "#shared/lib/depth.ts";
import { JSON_DEPTH_MAX } from "#shared/lib/limits.ts";
import { Command, Envelope } from "#shared/registry/command.ts";

/** What one command entry of the log says. */
export type Decoded =
  | { readonly kind: "command"; readonly envelope: Envelope; readonly command: Command }
  /** A known command with an impossible body. Our own agents check before they propose; the entry takes no effect. */
  | { readonly kind: "bad_command"; readonly envelope: Envelope; readonly bad: BadField }
  /** No envelope at all. It takes no effect: one bad proposal must not stop every agent. */
  | { readonly kind: "bad_envelope"; readonly bad: BadField }
  /** From a newer version: it may mean something, so skipping it would make this agent differ from the others. */
  | { readonly kind: "unknown"; readonly envelope: Envelope | null; readonly name: string };

const envelopeValidator = Compile(Envelope);
const commandValidators: ReadonlyMap<string, Validator> = new Map(
  Command.anyOf.map((variant) => [variant.properties.type.const, Compile(variant as Type.TSchema)]),
);

/** Reads a command entry. Pure and the same on every agent of one version. */
export function decodeCommand(data: string): Decoded {
  const raw = parse(data);
  if (raw === null)
    return { kind: "bad_envelope", bad: { field: "envelope", rule: "must be a JSON object" } };
  const version = raw["v"];
  if (typeof version === "number" && version !== 1 && version !== 2) {
    return { kind: "unknown", envelope: null, name: `an envelope of version ${version}` };
  }
  if (!envelopeValidator.Check(raw)) {
    return { kind: "bad_envelope", bad: firstError(envelopeValidator, raw, "envelope") };
  }
  const envelope: Envelope = raw;
  const type = typeOf(envelope.command);
  if (type === null) {
    return { kind: "bad_command", envelope, bad: { field: "command.type", rule: "must be a text" } };
  }
  const validator = commandValidators.get(type);
  if (validator === undefined)
    return { kind: "unknown", envelope, name: `the command ${JSON.stringify(type)}` };
  if (nestsDeeperThan(envelope.command, JSON_DEPTH_MAX)) {
    const rule = `must not nest deeper than ${JSON_DEPTH_MAX} levels`;
    return { kind: "bad_command", envelope, bad: { field: "command", rule } };
  }
  if (!validator.Check(envelope.command)) {
    return { kind: "bad_command", envelope, bad: firstError(validator, envelope.command, "command") };
  }
  return { kind: "command", envelope, command: envelope.command as Command };
}

function parse(data: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function typeOf(command: unknown): string | null {
  if (typeof command !== "object" || command === null || !("type" in command)) return null;
  return typeof command.type === "string" ? command.type : null;
}

function firstError(validator: Validator, value: unknown, root: string): BadField {
  const error = validator.Errors(value)[0];
  if (error === undefined) return { field: root, rule: "is not valid" };
  return { field: root + error.instancePath.replaceAll("/", "."), rule: error.message };
}
