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
import type { Accounts } from "../../auth/accounts.ts";
import type { Hosts } from "../../auth/hosts.ts";
import type { Sessions } from "../../auth/sessions.ts";
import type { Role } from "../../db/schema.ts";
import type { DeploymentIds } from "../../db/store.ts";
import type { Users } from "../../db/users.ts";
import { HttpFailure } from "../failure.ts";
import { refuseForeignOrigin, requireOwner } from "../guards.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import type { LoginCookies } from "../login-cookies.ts";
import { readJson, readPage } from "../reply.ts";
import type { RequestAudit } from "../request-audit.ts";
import { organizationView } from "../views/templates.ts";
import { userView } from "../views/users.ts";
import { pathUser } from "./path-user.ts";

const MAX_USERS_PER_PAGE = 1000;

export interface UserRoutesDeps {
  readonly user: Guard;
  readonly users: Users;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly cookies: LoginCookies;
  readonly hosts: Pick<Hosts, "isOurOrigin">;
  readonly audit: RequestAudit;
  readonly deployment: DeploymentIds;
  readonly bodyBytes: number;
}

export function userRoutes(router: Router, deps: UserRoutesDeps): void {
  const { user, users, accounts, sessions, cookies, audit, deployment, bodyBytes } = deps;
  const target = (c: Context<HttpEnv>) => pathUser(c, users);

  router.get("/users/first", async (c) => {
    if ((await users.count()) === 0) throw new HttpFailure(404, "The initial user has not been created!");
    return c.json({ message: "The initial user has already been created!" });
  });

  router.post("/users/first", async (c) => {
    refuseForeignOrigin(c.env.incoming, deps.hosts);
    const row = await accounts.createFirst(await readJson(c, createFirstUserRequest, bodyBytes));
    audit.record(c, { action: "user-created", by: row, facts: { role: "owner" } });
    const body: CreateFirstUserResponse = { user_id: row.id, organization_id: deployment.organizationId };
    return c.json(body, 201);
  });

  router.post("/users/login", async (c) => {
    refuseForeignOrigin(c.env.incoming, deps.hosts);
    const request = await readJson(c, loginRequest, bodyBytes);
    const { key } = await sessions.login(request, audit.addressOf(c));
    for (const cookie of cookies.of(key, c.env.incoming)) c.header("Set-Cookie", cookie, { append: true });
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
    audit.record(c, { action: "logout" });
    for (const cookie of cookies.cleared()) c.header("Set-Cookie", cookie, { append: true });
    // Removes what pages of this origin stored for the login: caches and storage. Cookies are excluded, because browsers would
    // clear those of every app below the domain.
    c.header("Clear-Site-Data", '"cache", "storage"');
    return c.json({ message: "Logged out!" });
  });

  router.get("/users", user, requireOwner, async (c) => {
    const page = readPage(c, MAX_USERS_PER_PAGE);
    const found = await users.list({
      search: (c.req.query("q") ?? "").slice(0, 256),
      limit: Math.min(page.limit, MAX_USERS_PER_PAGE),
      offset: page.offset,
    });
    const body: UsersResponse = { users: found.users.map((row) => userView(row, deployment)), count: found.count };
    return c.json(body);
  });

  router.post("/users", user, requireOwner, async (c) => {
    const request = await readJson(c, createUserRequest, bodyBytes);
    if (request.login_type !== undefined && request.login_type !== "" && request.login_type !== "password") {
      throw new HttpFailure(400, `Login type "${request.login_type}" is not available on this server`);
    }
    const role = request.roles === undefined ? "member" : roleOf(request.roles);
    const status = request.user_status === "suspended" ? "suspended" : "active";
    const row = await accounts.create(request, { role, status });
    audit.record(c, { action: "user-created", target: row, facts: { role } });
    return c.json(userView(row, deployment), 201);
  });

  router.get("/users/:user", user, async (c) => c.json(userView(await target(c), deployment)));

  router.delete("/users/:user", user, requireOwner, async (c) => {
    const row = await target(c);
    await accounts.delete(row, c.get("auth").user);
    audit.record(c, { action: "user-deleted", target: row });
    return c.json({ message: "User has been deleted!" });
  });

  router.put("/users/:user/status/suspend", user, requireOwner, async (c) => {
    const row = await accounts.suspend(await target(c), c.get("auth").user);
    audit.record(c, { action: "user-suspended", target: row });
    return c.json(userView(row, deployment));
  });

  router.put("/users/:user/status/activate", user, requireOwner, async (c) => {
    const row = await accounts.activate(await target(c));
    audit.record(c, { action: "user-activated", target: row });
    return c.json(userView(row, deployment));
  });

  router.put("/users/:user/password", user, async (c) => {
    const row = await target(c);
    const request = await readJson(c, updatePasswordRequest, bodyBytes);
    const self = row.id === c.get("auth").user.id;
    // Only an owner may change a password without knowing it, and never their own, so that a stolen session is not enough.
    if (self && !(await sessions.confirmPassword(row, request.old_password, audit.addressOf(c)))) {
      throw new HttpFailure(400, "Old password is incorrect.", {
        validations: [{ field: "old_password", detail: "Old password is incorrect." }],
      });
    }
    await accounts.setPassword(row, request.password);
    audit.record(c, { action: "password-changed", target: row });
    return c.body(null, 204);
  });

  router.get("/users/:user/roles", user, async (c) => {
    const body: UserRoles = {
      roles: (await target(c)).role === "owner" ? ["owner"] : [],
      organization_roles: { [deployment.organizationId]: [] },
    };
    return c.json(body);
  });

  router.put("/users/:user/roles", user, requireOwner, async (c) => {
    const before = await target(c);
    const role = roleOf((await readJson(c, updateRolesRequest, bodyBytes)).roles);
    const row = await accounts.setRole(before, role, c.get("auth").user);
    if (role !== before.role) audit.record(c, { action: "roles-changed", target: row, facts: { role } });
    return c.json(userView(row, deployment));
  });

  router.get("/users/:user/login-type", user, async (c) => {
    await target(c);
    return c.json({ login_type: "password" });
  });

  router.get("/users/:user/organizations", user, async (c) => {
    await target(c);
    return c.json([organizationView(deployment)]);
  });

  router.get("/users/:user/organizations/:organization", user, async (c) => {
    await target(c);
    return c.json(organizationView(deployment));
  });
}

function roleOf(roles: readonly string[]): Role {
  const unknown = roles.find((role) => role !== "owner" && role !== "member");
  if (unknown !== undefined) throw new HttpFailure(400, `Role "${unknown}" is not known; roles are owner and member`);
  return roles.includes("owner") ? "owner" : "member";
}
