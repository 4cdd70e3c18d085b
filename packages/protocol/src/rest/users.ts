import { z } from "zod";
import { isReservedUserName } from "../names.ts";
import { MAX_PASSWORD_LENGTH, passwordProblem } from "../passwords.ts";
import { nameText, timestamp, uuid } from "./common.ts";
import { connectionPolicy } from "./connection-policy.ts";

export const userStatus = z.enum(["active", "dormant", "suspended"]);
export type UserStatus = z.infer<typeof userStatus>;

export const loginType = z.enum(["", "password", "github", "oidc", "token", "none"]);
export type LoginType = z.infer<typeof loginType>;

export const slimRole = z.object({
  name: z.string(),
  display_name: z.string(),
  organization_id: z.string().optional(),
});

export const user = z.object({
  id: uuid,
  username: z.string(),
  avatar_url: z.string().optional(),
  name: z.string().optional(),
  email: z.string(),
  created_at: timestamp,
  updated_at: timestamp,
  last_seen_at: timestamp.optional(),
  status: userStatus,
  login_type: loginType,
  theme_preference: z.string().optional(),
  organization_ids: z.array(uuid),
  roles: z.array(slimRole),
  /** Our addition; absent from stock servers. */
  connection_policy: connectionPolicy.optional(),
});
export type User = z.infer<typeof user>;

export const usersResponse = z.object({ users: z.array(user), count: z.number().int() });
export type UsersResponse = z.infer<typeof usersResponse>;

export const emailText = z
  .string()
  .max(254, "must have at most 254 characters")
  .regex(/^[^\s@]+@[^\s@]+$/, "must be an e-mail address");
export const newPassword = z.string().superRefine((password, context) => {
  const problem = passwordProblem(password);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});
export const newUsername = nameText.refine((name) => !isReservedUserName(name), "is a reserved name");
export const fullName = z.string().max(128, "must have at most 128 characters");

export const createFirstUserRequest = z.object({
  email: emailText,
  username: newUsername,
  name: fullName.optional(),
  password: newPassword,
  trial: z.boolean().optional(),
  trial_info: z.record(z.string(), z.unknown()).nullish(),
});
export type CreateFirstUserRequest = z.infer<typeof createFirstUserRequest>;

export const createFirstUserResponse = z.object({ user_id: uuid, organization_id: uuid });
export type CreateFirstUserResponse = z.infer<typeof createFirstUserResponse>;

export const loginRequest = z.object({
  email: z.string().max(254),
  password: z.string().max(MAX_PASSWORD_LENGTH),
});
export type LoginRequest = z.infer<typeof loginRequest>;

export const loginResponse = z.object({ session_token: z.string() });
export type LoginResponse = z.infer<typeof loginResponse>;

export const authMethods = z.object({
  terms_of_service_url: z.string().optional(),
  password: z.object({ enabled: z.boolean() }),
  github: z.object({ enabled: z.boolean(), default_provider_configured: z.boolean().optional() }),
  oidc: z.object({ enabled: z.boolean(), signInText: z.string(), iconUrl: z.string() }),
});
export type AuthMethods = z.infer<typeof authMethods>;

/** POST /users. `roles` is our addition: stock clients leave it out and get a member. */
export const createUserRequest = z.object({
  email: emailText,
  username: newUsername,
  name: fullName.optional(),
  password: newPassword,
  login_type: loginType.optional(),
  user_status: userStatus.nullish(),
  organization_ids: z.array(z.string()).nullish(),
  roles: z.array(z.string()).optional(),
});
export type CreateUserRequest = z.infer<typeof createUserRequest>;

export const updatePasswordRequest = z.object({
  old_password: z.string().max(MAX_PASSWORD_LENGTH),
  password: newPassword,
});
export type UpdatePasswordRequest = z.infer<typeof updatePasswordRequest>;

export const updateRolesRequest = z.object({ roles: z.array(z.string()).max(16) });
export type UpdateRolesRequest = z.infer<typeof updateRolesRequest>;

export const userRoles = z.object({
  roles: z.array(z.string()),
  organization_roles: z.record(z.string(), z.array(z.string())),
});
export type UserRoles = z.infer<typeof userRoles>;

export const userLoginType = z.object({ login_type: loginType });
