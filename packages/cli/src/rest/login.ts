import { ClientError } from "coder-client/base/client-error";
import { foreignAnswer } from "coder-client/rest/answerer";
import type { Deployment } from "coder-client/rest/deployment";
import { isReservedUserName, validateUserName } from "coder-protocol/names";
import { passwordProblem } from "coder-protocol/passwords";
import { UserError } from "../errors/user-error.ts";

export interface SignedInUser {
  readonly id: string;
  readonly username: string;
  readonly organizationIds: readonly string[];
  readonly roles: readonly string[];
}

/** The user to whom the deployment's token belongs. */
export async function currentUser(deployment: Deployment, signal: AbortSignal): Promise<SignedInUser> {
  const body = (await deployment.call("/api/v2/users/me", { signal })) as Record<string, unknown> | undefined;
  const { id, username, organization_ids, roles } = body ?? {};
  if (typeof id !== "string" || typeof username !== "string") {
    throw new ClientError("ERR_NOT_A_CODER_SERVER", `${deployment.url.origin} did not answer like a Coder deployment`);
  }
  return {
    id,
    username,
    organizationIds: Array.isArray(organization_ids) ? organization_ids.map(String) : [],
    roles: Array.isArray(roles) ? roles.map((role) => String((role as { name?: unknown }).name)) : [],
  };
}

/** Whether the deployment has its first user yet. Rejects when the server is not a Coder deployment. */
export async function hasFirstUser(deployment: Deployment, signal: AbortSignal): Promise<boolean> {
  const answer = await deployment.send("/api/v2/users/first", { signal, authenticated: false });
  const foreign = foreignAnswer(answer, deployment.url.host);
  if (foreign !== undefined) throw foreign;
  if (answer.headers["x-coder-build-version"] === undefined)
    throw new ClientError("ERR_NOT_A_CODER_SERVER", `${deployment.url.origin} is not a Coder deployment`, {
      status: answer.status,
      detail: `it answered ${answer.status}`,
    });
  if (answer.status === 404) return false;
  if (answer.status === 200) return true;
  throw new ClientError("ERR_SERVER", `the deployment answered ${answer.status} when asked for its first user`, {
    status: answer.status,
  });
}

export interface FirstUser {
  readonly email: string;
  readonly username: string;
  readonly name: string;
  readonly password: string;
  readonly trial: boolean;
}

export async function createFirstUser(deployment: Deployment, user: FirstUser, signal: AbortSignal): Promise<void> {
  await deployment.call("/api/v2/users/first", {
    method: "POST",
    body: { ...user, trial_info: {} },
    authenticated: false,
    signal,
  });
}

/** Returns a session token. */
export async function logInWithPassword(
  deployment: Deployment,
  email: string,
  password: string,
  signal: AbortSignal,
): Promise<string> {
  try {
    const body = (await deployment.call("/api/v2/users/login", {
      method: "POST",
      body: { email, password },
      authenticated: false,
      signal,
    })) as { session_token?: unknown };
    if (typeof body.session_token === "string") return body.session_token;
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "ERR_UNAUTHORIZED") throw error;
    throw new UserError("Email or password is wrong", { code: "ERR_UNAUTHORIZED", cause: error });
  }
  throw new ClientError("ERR_NOT_A_CODER_SERVER", "the deployment's login answer has no session token");
}

/** Makes a new session token with the given one, so that the stored token is not the one that was typed. */
export async function mintSessionToken(deployment: Deployment, signal: AbortSignal): Promise<string> {
  const body = (await deployment.call("/api/v2/users/me/keys", { method: "POST", signal })) as { key?: unknown };
  if (typeof body.key === "string") return body.key;
  throw new ClientError("ERR_NOT_A_CODER_SERVER", "the deployment's answer has no key");
}

/** What is wrong with a user name, as far as it shows before the deployment is asked; undefined when nothing is. */
export function userNameProblem(text: string): string | undefined {
  const problem = isReservedUserName(text) ? `the user name "${text}" is reserved` : validateUserName(text);
  return problem === undefined ? undefined : `${problem[0]!.toUpperCase()}${problem.slice(1)}.`;
}

export function emailProblem(text: string): string | undefined {
  return /^[^\s@]+@[^\s@]+$/.test(text) ? undefined : "An email address has the form name@example.com.";
}

export function newPasswordProblem(text: string): string | undefined {
  const problem = passwordProblem(text);
  return problem === undefined ? undefined : `The password ${problem}.`;
}
