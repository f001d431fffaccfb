import type { User } from "#shared/registry/state.ts";

import { NotAcceptable } from "./errors.ts";

type Role = User["role"];

/** The vendor's numbers of its own roles that come closest: Admin and Cluster Viewer. */
export const ROLE_UIDS = { admin: 1, viewer: 3 } as const satisfies Record<Role, number>;

/** The vendor's roles that grant no more than looking, and ours. */
const ROLES: Readonly<Record<string, Role>> = {
  admin: "admin",
  viewer: "viewer",
  cluster_viewer: "viewer",
  db_viewer: "viewer",
};
const UIDS: Readonly<Record<number, Role>> = { 1: "admin", 3: "viewer", 5: "viewer" };

/**
 * The role that a request names, by its word or its number; null when by neither. A role that would grant something in between is refused
 * rather than rounded. Throws NotAcceptable.
 */
export function roleOf(said: {
  readonly role?: string | undefined;
  readonly role_uids?: readonly number[] | undefined;
}): Role | null {
  const { role = "", role_uids: uids = [] } = said;
  const byWord = role === "" ? [] : [Object.hasOwn(ROLES, role) ? ROLES[role] : undefined];
  const found = new Set([...byWord, ...uids.map((uid) => UIDS[uid])]);
  if (found.size === 0) return null;
  const [first] = found;
  if (found.size === 1 && first !== undefined) return first;
  const words = Object.keys(ROLES).join(", ");
  const numbers = Object.keys(UIDS).join(", ");
  const rule = `must be one of ${words} (role_uids: ${numbers}), and only one`;
  throw new NotAcceptable("role_not_supported", { field: role === "" ? "role_uids" : "role", rule });
}
