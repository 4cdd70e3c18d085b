/** The users of a deployment, as its owners administer them. */
import { randomInt } from "node:crypto";
import { ClientError } from "coder-client/base/client-error";
import type { RequestOptions } from "coder-client/rest/api";
import type { Deployment } from "coder-client/rest/deployment";
import type { User } from "coder-protocol/rest/users";

const PAGE = 1000;
const PASSWORD_LENGTH = 20;
/** Without letters that are easily confused when read aloud or copied by hand. */
const PASSWORD_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

export interface NewUser {
  readonly username: string;
  readonly email: string;
  readonly name: string;
  readonly password: string;
}

export async function listUsers(deployment: Deployment, signal: AbortSignal): Promise<User[]> {
  const users: User[] = [];
  for (;;) {
    const body = (await deployment.call("/api/v2/users", { query: { limit: PAGE, offset: users.length }, signal })) as
      | { users?: unknown }
      | undefined;
    if (!Array.isArray(body?.users)) throw noUser();
    users.push(...(body.users as unknown[]).map(userOf));
    if (body.users.length < PAGE) return users;
  }
}

/** @param which User name, id, or `me`. */
export async function findUser(deployment: Deployment, which: string, signal: AbortSignal): Promise<User> {
  return userOf(await callUser(deployment, which, "", { signal }));
}

export async function createUser(deployment: Deployment, user: NewUser, signal: AbortSignal): Promise<User> {
  const body = { ...user, login_type: "password", user_status: "active" };
  return userOf(await deployment.call("/api/v2/users", { method: "POST", body, signal }));
}

/** A suspended user is refused everywhere, immediately. */
export async function setUserStatus(
  deployment: Deployment,
  which: string,
  status: "suspend" | "activate",
  signal: AbortSignal,
): Promise<User> {
  return userOf(await callUser(deployment, which, `/status/${status}`, { method: "PUT", signal }));
}

export async function setUserRoles(
  deployment: Deployment,
  which: string,
  roles: readonly string[],
  signal: AbortSignal,
): Promise<User> {
  return userOf(await callUser(deployment, which, "/roles", { method: "PUT", body: { roles }, signal }));
}

export async function deleteUser(deployment: Deployment, which: string, signal: AbortSignal): Promise<void> {
  await callUser(deployment, which, "", { method: "DELETE", signal });
}

/** Long enough to resist guessing, short enough to type once. */
export function generatePassword(): string {
  return Array.from({ length: PASSWORD_LENGTH }, () => PASSWORD_LETTERS[randomInt(PASSWORD_LETTERS.length)]).join("");
}

export async function callUser(
  deployment: Deployment,
  which: string,
  below: string,
  options: RequestOptions,
): Promise<unknown> {
  try {
    return await deployment.call(`/api/v2/users/${encodeURIComponent(which)}${below}`, options);
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "ERR_NOT_FOUND") throw error;
    throw new ClientError("ERR_NOT_FOUND", `There is no user "${which}" that you may administer`, {
      status: 404,
      detail: '"coder users list" shows them to owners',
      cause: error,
    });
  }
}

export function userOf(body: unknown): User {
  const { id, username, email, roles } = (body ?? {}) as Partial<Record<keyof User, unknown>>;
  if (typeof id !== "string" || typeof username !== "string" || typeof email !== "string" || !Array.isArray(roles))
    throw noUser();
  return body as User;
}

function noUser(): ClientError {
  return new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected users");
}
