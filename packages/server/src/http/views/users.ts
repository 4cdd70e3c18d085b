import type { ApiKey } from "coder-protocol/rest/api-keys";
import { ZERO_TIME } from "coder-protocol/rest/common";
import type { User } from "coder-protocol/rest/users";
import { formatTime } from "../../base/clock.ts";
import type { ApiKeyRow, UserRow } from "../../db/schema.ts";
import type { DeploymentIds } from "../../db/store.ts";

export function userView(user: UserRow, deployment: DeploymentIds): User {
  return {
    id: user.id,
    username: user.username,
    avatar_url: "",
    name: user.name,
    email: user.email,
    created_at: formatTime(user.created_at),
    updated_at: formatTime(user.updated_at),
    last_seen_at: user.last_seen_at === null ? ZERO_TIME : formatTime(user.last_seen_at),
    status: user.status,
    login_type: "password",
    theme_preference: "",
    organization_ids: [deployment.organizationId],
    connection_policy: user.connection_policy,
    roles: user.role === "owner" ? [{ name: "owner", display_name: "Owner" }] : [],
  };
}

export function apiKeyView(key: ApiKeyRow): ApiKey {
  return {
    id: key.id,
    user_id: key.user_id,
    last_used: formatTime(key.last_used),
    expires_at: formatTime(key.expires_at),
    created_at: formatTime(key.created_at),
    updated_at: formatTime(key.updated_at),
    login_type: key.login_type,
    scope: key.scope,
    scopes: [key.scope],
    token_name: key.token_name,
    lifetime_seconds: key.lifetime_seconds,
    allow_list: [],
  };
}
