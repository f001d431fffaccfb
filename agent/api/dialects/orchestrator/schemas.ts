import { Type } from "typebox";

import { PASSWORD_CHARS_MAX, ZONE_NAME_CHARS_MAX } from "#shared/lib/limits.ts";

// Bodies of seed 000. Fields that are not named here are ignored, so that a node may be sent back as it was read.

export const ZoneBody = Type.Object({
  name: Type.String({ minLength: 1, maxLength: ZONE_NAME_CHARS_MAX }),
});

export const WeightsBody = Type.Object({
  /** Zone → zone → distance ≥ 0. JSON has texts for keys. */
  weights: Type.Record(Type.String(), Type.Record(Type.String(), Type.Number({ minimum: 0 }))),
});

const Uuid = Type.String({ minLength: 1, maxLength: 128 });
const Uri = Type.String({ minLength: 1, maxLength: 512 });
/** `login:password`. */
const Login = Type.String({ maxLength: 2 * PASSWORD_CHARS_MAX });
const Cfg = Type.Record(Type.String(), Type.Unknown());

export const RegisterBody = Type.Object({
  zone_id: Type.Integer(),
  uuid: Uuid,
  uri: Uri,
  user: Type.Optional(Login),
  repl_user: Type.Optional(Login),
  cfg: Type.Optional(Cfg),
});

/** Seed 000: "Pass only those parameters that need to be updated." */
export const UpdateBody = Type.Object({
  zone_id: Type.Optional(Type.Integer()),
  uri: Type.Optional(Uri),
  user: Type.Optional(Login),
  repl_user: Type.Optional(Login),
  cfg: Type.Optional(Cfg),
});

export const ZonePath = Type.Object({ zone: Type.String() });
export const NodePath = Type.Object({ node: Type.String() });
