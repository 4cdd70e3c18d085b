import { z } from "zod";
import { timestamp, uuid } from "./common.ts";
import { loginType } from "./users.ts";

export const apiKeyScope = z.enum(["all", "application_connect"]);
export type ApiKeyScope = z.infer<typeof apiKeyScope>;

/** A token without its secret. `id` is the part before the hyphen. */
export const apiKey = z.object({
  id: z.string(),
  user_id: uuid,
  last_used: timestamp,
  expires_at: timestamp,
  created_at: timestamp,
  updated_at: timestamp,
  login_type: loginType,
  scope: apiKeyScope,
  scopes: z.array(z.string()).optional(),
  token_name: z.string(),
  lifetime_seconds: z.number().int(),
  allow_list: z.array(z.unknown()).optional(),
});
export type ApiKey = z.infer<typeof apiKey>;

export const apiKeyWithOwner = apiKey.extend({ username: z.string() });
export type ApiKeyWithOwner = z.infer<typeof apiKeyWithOwner>;

export const apiKeysResponse = z.array(apiKeyWithOwner);

/** `lifetime` in nanoseconds; missing or 0 takes the deployment's default. */
export const createTokenRequest = z.object({
  lifetime: z.number().min(0).optional(),
  scope: apiKeyScope.or(z.literal("")).optional(),
  scopes: z.array(z.string()).optional(),
  token_name: z
    .string()
    .max(64, "must have at most 64 characters")
    .regex(/^[a-zA-Z0-9_.-]*$/, "must consist of letters, digits, dots, hyphens and underscores")
    .optional(),
});
export type CreateTokenRequest = z.infer<typeof createTokenRequest>;

/** The only answer that ever shows a whole token, apart from a login's. */
export const generateApiKeyResponse = z.object({ key: z.string() });
export type GenerateApiKeyResponse = z.infer<typeof generateApiKeyResponse>;

/** Nanoseconds. */
export const tokenConfig = z.object({ max_token_lifetime: z.number() });
export type TokenConfig = z.infer<typeof tokenConfig>;
