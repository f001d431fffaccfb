import { USERS_MAX } from "#shared/lib/limits.ts";
import { canonicalJson } from "#shared/lib/order.ts";
import { tokensById } from "#shared/registry/queries/tokens.ts";
import { done, refuse, type Reducer, type Touched } from "#shared/registry/reducers/outcome.ts";
import type { RegistryState, User } from "#shared/registry/state.ts";

/** Answers `{ uid }`. */
export const createUser: Reducer<"user.create"> = (state, command, { at }) => {
  const { name, role, verifier, display_name = "", email_alerts = false } = command;
  if (state.users.has(name)) return refuse("user_exists", { name });
  if (state.users.size >= USERS_MAX) return refuse("limit_reached", { what: "users", limit: USERS_MAX });
  const uid = state.nextUserUid;
  state.nextUserUid += 1;
  state.users.set(name, {
    uid,
    name,
    role,
    verifier,
    createdAt: at,
    passwordAt: at,
    displayName: display_name,
    emailAlerts: email_alerts,
  });
  return done([set(name)], { uid });
};

/** Replaces what is passed; nothing has changed when nothing differs. Answers `{ uid }`. */
export const updateUser: Reducer<"user.update"> = (state, command, { at }) => {
  const { name, role, verifier, display_name, email_alerts } = command;
  const known = state.users.get(name);
  if (known === undefined) return refuse("user_not_found", { name });
  if (role === "viewer" && isLastAdmin(state, name)) return refuseLast("make a viewer of", name);
  const changed: User = {
    ...known,
    role: role ?? known.role,
    verifier: verifier ?? known.verifier,
    passwordAt: verifier === undefined ? known.passwordAt : at,
    displayName: display_name ?? known.displayName,
    emailAlerts: email_alerts ?? known.emailAlerts,
  };
  if (canonicalJson(changed) === canonicalJson(known)) return done([], { uid: known.uid });
  state.users.set(name, changed);
  const gone = known.role === "admin" && changed.role !== "admin" ? endPermits(state, name) : [];
  return done([set(name), ...gone], { uid: known.uid });
};

export const deleteUser: Reducer<"user.delete"> = (state, { name }) => {
  if (!state.users.has(name)) return refuse("user_not_found", { name });
  if (isLastAdmin(state, name)) return refuseLast("delete", name);
  state.users.delete(name);
  return done([{ topic: "users", op: "delete", id: name }, ...endPermits(state, name)]);
};

/** Who may let nobody in any more has left no door open: the unused join tokens go with the right to make them. */
function endPermits(state: RegistryState, name: string): Touched[] {
  const unused = tokensById(state).filter(({ createdBy, usedBy }) => createdBy === name && usedBy === null);
  for (const { id } of unused) state.tokens.delete(id);
  return unused.map(({ id }) => ({ topic: "tokens", op: "delete", id }));
}

/** Without an administrator nobody could ever make one again. */
function isLastAdmin(state: RegistryState, name: string): boolean {
  const admins = [...state.users.values()].filter(({ role }) => role === "admin");
  return admins.length === 1 && admins[0]?.name === name;
}

function refuseLast(verb: string, name: string) {
  return refuse("change_refused", { what: `${verb} ${name}`, reason: "it is the last administrator" });
}

function set(name: string): Touched {
  return { topic: "users", op: "set", id: name };
}
