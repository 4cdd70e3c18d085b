import type { ApiKey, ApiKeyWithOwner, GenerateApiKeyResponse, TokenConfig } from "coder-protocol/rest/api-keys";
import type { UserAppearance } from "coder-protocol/rest/profile";
import type { CreateFirstUserRequest, CreateUserRequest, User, UsersResponse } from "coder-protocol/rest/users";
import { call } from "./client.ts";

/** The cookies of the response are the login. Its body, which contains the token, is not read. */
export const logIn = (email: string, password: string) =>
  call<unknown>("POST", "/users/login", { body: { email, password } });

export const logOut = () => call<unknown>("POST", "/users/logout");

export const createFirstUser = (request: CreateFirstUserRequest) =>
  call<unknown>("POST", "/users/first", { body: request });

export const ownUser = () => call<User>("GET", "/users/me");

export const changePassword = (user: string, passwords: { old_password: string; password: string }) =>
  call<void>("PUT", `/users/${user}/password`, { body: passwords });

export const ownKeys = (signal: AbortSignal) => call<ApiKey[]>("GET", "/users/me/keys", { signal });

export const keysOf = (user: string, signal: AbortSignal) => call<ApiKey[]>("GET", `/users/${user}/keys`, { signal });

export const removeKeyOf = (user: string, id: string) =>
  call<void>("DELETE", `/users/${user}/keys/${encodeURIComponent(id)}`);

export const userByName = (name: string, signal: AbortSignal) =>
  call<User>("GET", `/users/${encodeURIComponent(name)}`, { signal });

export const changeProfile = (profile: { username: string; name: string }) =>
  call<User>("PUT", "/users/me/profile", { body: profile });

export const changeAppearance = (appearance: UserAppearance) =>
  call<UserAppearance>("PUT", "/users/me/appearance", { body: appearance });

export const removeKey = (id: string) => call<void>("DELETE", `/users/me/keys/${encodeURIComponent(id)}`);

export const ownTokens = (signal: AbortSignal) => call<ApiKeyWithOwner[]>("GET", "/users/me/keys/tokens", { signal });

export const tokenLimits = (signal: AbortSignal) =>
  call<TokenConfig>("GET", "/users/me/keys/tokens/tokenconfig", { signal });

/** `lifetime` in nanoseconds. */
export const createToken = (request: { token_name: string; lifetime: number; scope: ApiKey["scope"] }) =>
  call<GenerateApiKeyResponse>("POST", "/users/me/keys/tokens", { body: request });

export const listUsers = (query: string, signal: AbortSignal) =>
  call<UsersResponse>("GET", `/users?q=${encodeURIComponent(query)}&limit=200`, { signal });

export const createUser = (request: CreateUserRequest) => call<User>("POST", "/users", { body: request });

export const setSuspended = (id: string, suspended: boolean) =>
  call<User>("PUT", `/users/${id}/status/${suspended ? "suspend" : "activate"}`);

export const setRoles = (id: string, roles: readonly string[]) =>
  call<User>("PUT", `/users/${id}/roles`, { body: { roles } });
