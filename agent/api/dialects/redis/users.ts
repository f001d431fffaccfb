import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { Type, type Static } from "typebox";

import type { Queries, Target, WriteContext } from "#agent/api/ports.ts";
import { writeContext } from "#agent/api/wire.ts";
import { passwordRule, userNameRule } from "#shared/bootstrap/check-credentials.ts";
import { AppError } from "#shared/errors/app-error.ts";
import { PASSWORD_CHARS_MAX, USER_NAME_CHARS_MAX } from "#shared/lib/limits.ts";
import { isoSeconds } from "#shared/lib/time.ts";
import { usersByUid } from "#shared/registry/queries/users.ts";
import type { User } from "#shared/registry/state.ts";

import type { RedisDeps } from "./deps.ts";
import { NotAcceptable } from "./errors.ts";
import { READ_USERS, WRITE } from "./gates.ts";
import { ROLE_UIDS, roleOf } from "./roles.ts";

/** A user; never its password, nor what is kept of that. */
export const UserView = Type.Object({
  uid: Type.Integer(),
  /** What they log in with. */
  email: Type.String(),
  name: Type.String(),
  role: Type.Enum(["admin", "viewer"]),
  role_uids: Type.Array(Type.Integer()),
  auth_method: Type.Literal("regular"),
  status: Type.Literal("active"),
  email_alerts: Type.Boolean(),
  password_issue_date: Type.String(),
});

const UserPath = Type.Object({ uid: Type.String() });
const Login = Type.String({ maxLength: USER_NAME_CHARS_MAX });
const Password = Type.String({ maxLength: PASSWORD_CHARS_MAX });

const Fields = {
  name: Type.Optional(Type.String({ maxLength: USER_NAME_CHARS_MAX })),
  role: Type.Optional(Type.String({ maxLength: 64 })),
  role_uids: Type.Optional(Type.Array(Type.Integer(), { maxItems: 16 })),
  email_alerts: Type.Optional(Type.Boolean()),
  auth_method: Type.Optional(Type.String({ maxLength: 64 })),
};
const UserChanges = Type.Object({
  email: Type.Optional(Login),
  password: Type.Optional(Password),
  ...Fields,
});
/** Other fields of a user object may stand beside and are ignored. */
const UserBody = Type.Object({ email: Login, password: Password, ...Fields });

/** What If-Match is about: a user's path has a number, and records go by names. */
const USERS: Target = { topic: "users", id: "" };

/** Who may log in. Administrators change users; everybody may look. */
export const userRoutes: FastifyPluginAsyncTypebox<RedisDeps> = async (app, { commands, queries }) => {
  const all = { response: { 200: Type.Array(UserView) } };
  app.get("/v1/users", { schema: all, config: READ_USERS }, async () =>
    usersByUid(queries.registry).map(toUser),
  );

  const one = { params: UserPath, response: { 200: UserView } };
  app.get("/v1/users/:uid", { schema: one, config: READ_USERS }, async ({ params }) =>
    toUser(userOf(queries, params.uid)),
  );

  const create = { body: UserBody, response: { 200: UserView } };
  app.post("/v1/users", { schema: create, config: WRITE }, async (request) => {
    const { email, password } = request.body;
    check("email", userNameRule(email));
    const changes = toChanges(request.body);
    const context = contextOf(request, password);
    if (queries.registry.users.has(email)) throw new AppError("user_exists", { name: email });
    const verifier = await commands.verifierOf(checkedPassword(password));
    const command = { type: "user.create", name: email, role: "viewer", ...changes, verifier } as const;
    const { result } = await commands.submit(command, context);
    return toUser(userOf(queries, String(result.value["uid"])));
  });

  const change = { ...one, body: UserChanges };
  app.put("/v1/users/:uid", { schema: change, config: WRITE }, async (request) => {
    const { email, password } = request.body;
    const { uid } = request.params;
    const { name } = userOf(queries, uid);
    if (email !== undefined && email !== name) {
      const rule = `is ${name} for good; make another user and delete this one`;
      throw new NotAcceptable("email_fixed", { field: "email", rule });
    }
    const changes = toChanges(request.body);
    const context = contextOf(request, password);
    const fresh =
      password === undefined ? {} : { verifier: await commands.verifierOf(checkedPassword(password)) };
    await commands.submit({ type: "user.update", name, ...changes, ...fresh }, context);
    return toUser(userOf(queries, uid));
  });

  app.delete("/v1/users/:uid", { schema: { params: UserPath }, config: WRITE }, async (request, reply) => {
    const { name } = userOf(queries, request.params.uid);
    await commands.submit({ type: "user.delete", name }, writeContext(request, USERS));
    return reply.send();
  });
};

/** Throws user_not_found. */
function userOf({ registry }: Queries, uid: string): User {
  const found = [...registry.users.values()].find((user) => String(user.uid) === uid);
  if (found === undefined) throw new AppError("user_not_found", { name: uid });
  return found;
}

function toChanges({ name, role, role_uids, email_alerts, auth_method }: Static<typeof UserChanges>) {
  if (auth_method !== undefined && auth_method !== "" && auth_method !== "regular") {
    const rule = "must be regular: users here log in with a password";
    throw new NotAcceptable("auth_method_not_supported", { field: "auth_method", rule });
  }
  const found = roleOf({ role, role_uids });
  return {
    ...(found === null ? {} : { role: found }),
    ...(name === undefined ? {} : { display_name: name }),
    ...(email_alerts === undefined ? {} : { email_alerts }),
  };
}

/**
 * A password is kept with a salt of its own each time, so the same request makes another command, and a key could not tell that it is the
 * same. Repeating is safe without: a user that exists is not made twice, and a change has the same effect again.
 */
function contextOf(request: FastifyRequest, password: string | undefined): WriteContext {
  const context = writeContext(request, USERS);
  if (context.key === undefined || password === undefined) return context;
  const rule = "has no meaning for a password; repeat the request without it";
  throw new AppError("bad_request", { field: "Idempotency-Key", rule });
}

function checkedPassword(password: string): string {
  check("password", passwordRule(password));
  return password;
}

function check(field: string, rule: string | null): void {
  if (rule !== null) throw new AppError("bad_request", { field, rule });
}

function toUser(user: User): Static<typeof UserView> {
  return {
    uid: user.uid,
    email: user.name,
    name: user.displayName,
    role: user.role,
    role_uids: [ROLE_UIDS[user.role]],
    auth_method: "regular",
    status: "active",
    email_alerts: user.emailAlerts,
    password_issue_date: isoSeconds(user.passwordAt),
  };
}
