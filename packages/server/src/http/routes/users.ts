import { randomUUID } from "node:crypto";
import { isUuid } from "coder-protocol/addresses";
import { CSRF_COOKIE, SESSION_TOKEN_COOKIE } from "coder-protocol/rest/common";
import {
  type AuthMethods,
  type CreateFirstUserResponse,
  createFirstUserRequest,
  createUserRequest,
  type LoginResponse,
  loginRequest,
  type UserRoles,
  type UsersResponse,
  updatePasswordRequest,
  updateRolesRequest,
} from "coder-protocol/rest/users";
import type { Context } from "hono";
import { csrfProof } from "../../auth/csrf.ts";
import type { IssuedKey } from "../../auth/sessions.ts";
import { HttpFailure, notFound } from "../../base/errors.ts";
import type { Role, UserRow } from "../../db/schema.ts";
import type { HttpEnv, RouteContext, Router } from "../context.ts";
import { record } from "../record.ts";
import { readJson, readPage, requireOwner, requireUser } from "../reply.ts";
import { organizationView, userView } from "../views.ts";

const MAX_USERS_PER_PAGE = 1000;

export function userRoutes(router: Router, context: RouteContext): void {
  const { store, passwords, sessions, limits, accessEvents, clock } = context;
  const user = requireUser(context);
  const addressOf = (c: Context<HttpEnv>): string => context.clientAddress(c.env.incoming);

  router.get("/users/first", async (c) => {
    if ((await store.users.count()) === 0) throw new HttpFailure(404, "The initial user has not been created!");
    return c.json({ message: "The initial user has already been created!" });
  });

  router.post("/users/first", async (c) => {
    refuseForeignOrigin(c, context);
    const request = await readJson(c, createFirstUserRequest, limits.bodyBytes);
    if ((await store.users.count()) > 0) throw new HttpFailure(400, "The initial user has already been created.");
    const hash = await passwords.hash(request.password);
    const row = newUser({ ...request, hash, role: "owner" }, clock.now());
    await store.transaction(async ({ users }) => {
      // Looked at again: two requests may have come this far at once.
      if ((await users.count()) > 0) throw new HttpFailure(400, "The initial user has already been created.");
      await users.insert(row);
    });
    record(c, context, { action: "user-created", by: row, facts: { role: "owner" } });
    const body: CreateFirstUserResponse = { user_id: row.id, organization_id: context.deployment.organizationId };
    return c.json(body, 201);
  });

  router.post("/users/login", async (c) => {
    refuseForeignOrigin(c, context);
    const request = await readJson(c, loginRequest, limits.bodyBytes);
    const { key } = await sessions.login(request, addressOf(c));
    for (const cookie of loginCookies(context, key)) c.header("Set-Cookie", cookie, { append: true });
    const body: LoginResponse = { session_token: key.token };
    return c.json(body, 201);
  });

  router.get("/users/authmethods", (c) => {
    const body: AuthMethods = {
      password: { enabled: true },
      github: { enabled: false, default_provider_configured: false },
      oidc: { enabled: false, signInText: "", iconUrl: "" },
    };
    return c.json(body);
  });

  router.post("/users/logout", user, async (c) => {
    const { key } = c.get("auth");
    await sessions.revoke(key);
    record(c, context, { action: "logout" });
    for (const cookie of clearedCookies(context)) c.header("Set-Cookie", cookie, { append: true });
    return c.json({ message: "Logged out!" });
  });

  router.get("/users", user, requireOwner, async (c) => {
    const page = readPage(c, MAX_USERS_PER_PAGE);
    const found = await store.users.list({
      search: (c.req.query("q") ?? "").slice(0, 256),
      limit: Math.min(page.limit, MAX_USERS_PER_PAGE),
      offset: page.offset,
    });
    const body: UsersResponse = { users: found.users.map((row) => userView(context, row)), count: found.count };
    return c.json(body);
  });

  router.post("/users", user, requireOwner, async (c) => {
    const request = await readJson(c, createUserRequest, limits.bodyBytes);
    if (request.login_type !== undefined && request.login_type !== "" && request.login_type !== "password") {
      throw new HttpFailure(400, `Login type "${request.login_type}" is not available on this server`);
    }
    const role = request.roles === undefined ? "member" : roleOf(request.roles);
    const hash = await passwords.hash(request.password);
    const row = newUser({ ...request, hash, role }, clock.now());
    await store.transaction(async ({ users }) => {
      if ((await users.byUsername(request.username)) !== undefined) throw taken("username");
      if ((await users.byEmail(request.email)) !== undefined) throw taken("email");
      await users.insert({ ...row, status: request.user_status === "suspended" ? "suspended" : "active" });
    });
    record(c, context, { action: "user-created", target: row, facts: { role } });
    return c.json(userView(context, await required(store.users.byId(row.id))), 201);
  });

  router.get("/users/:user", user, async (c) => c.json(userView(context, await pathUser(c, context))));

  router.delete("/users/:user", user, requireOwner, async (c) => {
    const target = await pathUser(c, context);
    if (target.id === c.get("auth").user.id) throw new HttpFailure(403, "You cannot delete yourself!");
    if ((await store.workspaces.countOf(target.id)) > 0) {
      throw new HttpFailure(
        417,
        "You cannot delete a user that has workspaces. Delete their workspaces and try again!",
      );
    }
    await store.transaction(async ({ users, apiKeys }) => {
      await apiKeys.removeAllOf(target.id);
      await users.markDeleted(target.id, clock.now());
    });
    accessEvents.publish({ kind: "user-gone", userId: target.id });
    record(c, context, { action: "user-deleted", target });
    return c.json({ message: "User has been deleted!" });
  });

  router.put("/users/:user/status/suspend", user, requireOwner, async (c) => {
    const target = await pathUser(c, context);
    if (target.id === c.get("auth").user.id) throw new HttpFailure(400, "You cannot suspend yourself.");
    await refuseLastOwner(context, target);
    await store.users.setStatus(target.id, "suspended", clock.now());
    accessEvents.publish({ kind: "user-gone", userId: target.id });
    record(c, context, { action: "user-suspended", target });
    return c.json(userView(context, await required(store.users.byId(target.id))));
  });

  router.put("/users/:user/status/activate", user, requireOwner, async (c) => {
    const target = await pathUser(c, context);
    await store.users.setStatus(target.id, "active", clock.now());
    record(c, context, { action: "user-activated", target });
    return c.json(userView(context, await required(store.users.byId(target.id))));
  });

  router.put("/users/:user/password", user, async (c) => {
    const target = await pathUser(c, context);
    const request = await readJson(c, updatePasswordRequest, limits.bodyBytes);
    const self = target.id === c.get("auth").user.id;
    // Only an owner may change a password without knowing it, and never their own: a stolen session must not suffice.
    if (self && !(await sessions.confirmPassword(target, request.old_password, addressOf(c)))) {
      throw new HttpFailure(400, "Old password is incorrect.", {
        validations: [{ field: "old_password", detail: "Old password is incorrect." }],
      });
    }
    const hash = await passwords.hash(request.password);
    const keyIds = await store.transaction(async ({ users, apiKeys }) => {
      const ids = await apiKeys.ids(target.id);
      await users.setPassword(target.id, hash, clock.now());
      await apiKeys.removeAllOf(target.id);
      return ids;
    });
    for (const keyId of keyIds) accessEvents.publish({ kind: "key-revoked", keyId, userId: target.id });
    record(c, context, { action: "password-changed", target });
    return c.body(null, 204);
  });

  router.get("/users/:user/roles", user, async (c) => {
    const target = await pathUser(c, context);
    const body: UserRoles = {
      roles: target.role === "owner" ? ["owner"] : [],
      organization_roles: { [context.deployment.organizationId]: [] },
    };
    return c.json(body);
  });

  router.put("/users/:user/roles", user, requireOwner, async (c) => {
    const target = await pathUser(c, context);
    const role = roleOf((await readJson(c, updateRolesRequest, limits.bodyBytes)).roles);
    if (target.id === c.get("auth").user.id) throw new HttpFailure(400, "You cannot change your own roles.");
    if (role !== "owner") await refuseLastOwner(context, target);
    await store.users.setRole(target.id, role, clock.now());
    if (role !== target.role) {
      accessEvents.publish({ kind: "role-changed", userId: target.id });
      record(c, context, { action: "roles-changed", target, facts: { role } });
    }
    return c.json(userView(context, await required(store.users.byId(target.id))));
  });

  router.get("/users/:user/login-type", user, async (c) => {
    await pathUser(c, context);
    return c.json({ login_type: "password" });
  });

  router.get("/users/:user/organizations", user, async (c) => {
    await pathUser(c, context);
    return c.json([organizationView(context)]);
  });

  router.get("/users/:user/organizations/:organization", user, async (c) => {
    await pathUser(c, context);
    return c.json(organizationView(context));
  });
}

/** `:user` of the path: `me`, a user name or an id. A member finds only themselves. */
export async function pathUser(c: Context<HttpEnv>, context: RouteContext): Promise<UserRow> {
  const { user } = c.get("auth");
  const name = c.req.param("user") ?? "";
  if (name === "me") return user;
  const found = isUuid(name)
    ? await context.store.users.byId(name.toLowerCase())
    : await context.store.users.byUsername(name);
  if (found === undefined || (user.role !== "owner" && found.id !== user.id)) throw notFound();
  return found;
}

/** Cookies of a login: the token, unreadable to scripts, and the CSRF proof, readable to ours. */
export function loginCookies(context: RouteContext, key: IssuedKey): string[] {
  const maxAge = Math.max(1, Math.floor(context.config.sessionDurationMs / 1000));
  const attributes = `Path=/; Max-Age=${maxAge}; SameSite=Lax${secureAttribute(context)}`;
  return [
    `${SESSION_TOKEN_COOKIE}=${key.token}; HttpOnly; ${attributes}`,
    `${CSRF_COOKIE}=${csrfProof(context.keys.csrf, key.row.id)}; ${attributes}`,
  ];
}

function clearedCookies(context: RouteContext): string[] {
  const attributes = `Path=/; Max-Age=0; SameSite=Lax${secureAttribute(context)}`;
  return [`${SESSION_TOKEN_COOKIE}=; HttpOnly; ${attributes}`, `${CSRF_COOKIE}=; ${attributes}`];
}

function secureAttribute(context: RouteContext): string {
  return context.config.secureAuthCookie || context.accessUrl().protocol === "https:" ? "; Secure" : "";
}

/** For requests without a login yet: a page of another origin must not log its visitor in. */
function refuseForeignOrigin(c: Context<HttpEnv>, context: RouteContext): void {
  const origin = c.env.incoming.headers.origin;
  if (origin !== undefined && !context.hosts.isOurOrigin(origin, c.env.incoming)) {
    throw new HttpFailure(403, "Requests are not accepted from other origins");
  }
}

function newUser(
  request: { email: string; username: string; name?: string | undefined; hash: string; role: Role },
  now: number,
): Omit<UserRow, "email_key" | "username_key"> {
  return {
    id: randomUUID(),
    email: request.email,
    username: request.username,
    name: request.name ?? "",
    password_hash: request.hash,
    role: request.role,
    status: "active",
    created_at: now,
    updated_at: now,
    last_seen_at: null,
    deleted_at: null,
  };
}

function roleOf(roles: readonly string[]): Role {
  const unknown = roles.find((role) => role !== "owner" && role !== "member");
  if (unknown !== undefined) throw new HttpFailure(400, `Role "${unknown}" is not known; roles are owner and member`);
  return roles.includes("owner") ? "owner" : "member";
}

async function refuseLastOwner(context: RouteContext, target: UserRow): Promise<void> {
  if (target.role === "owner" && target.status === "active" && (await context.store.users.activeOwnerCount()) <= 1) {
    throw new HttpFailure(400, "This is the last active owner of the deployment");
  }
}

async function required<T>(found: Promise<T | undefined>): Promise<T> {
  const value = await found;
  if (value === undefined) throw notFound();
  return value;
}

function taken(field: string): HttpFailure {
  return new HttpFailure(409, `User already exists.`, {
    validations: [{ field, detail: "This value is already in use and should be unique." }],
  });
}
