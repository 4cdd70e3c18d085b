import { updateProfileRequest, userAppearance } from "coder-protocol/rest/profile";
import type { Accounts } from "../../auth/accounts.ts";
import type { DeploymentIds, Tables } from "../../db/store.ts";
import type { Changes } from "../../workspaces/changes.ts";
import type { Guard, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import type { RequestAudit } from "../request-audit.ts";
import { appearanceView } from "../views/appearance.ts";
import { userView } from "../views/users.ts";
import { pathUser } from "./path-user.ts";

export interface ProfileRoutesDeps {
  readonly user: Guard;
  readonly tables: Pick<Tables, "users" | "userSettings">;
  readonly accounts: Accounts;
  readonly changes: Changes;
  readonly deployment: DeploymentIds;
  readonly audit: RequestAudit;
  readonly bodyBytes: number;
}

/** Users' own profiles, and their settings for the pages. */
export function profileRoutes(router: Router, deps: ProfileRoutesDeps): void {
  const { user, tables, accounts, changes, deployment, audit, bodyBytes } = deps;

  router.put("/users/:user/profile", user, async (c) => {
    const before = await pathUser(c, tables.users);
    const row = await accounts.setProfile(before, await readJson(c, updateProfileRequest, bodyBytes));
    if (row.username !== before.username)
      audit.record(c, { action: "user-renamed", target: row, facts: { from: before.username } });
    changes.publish({ kind: "user", userId: row.id });
    return c.json(userView(row, deployment));
  });

  router.get("/users/:user/appearance", user, async (c) => {
    const row = await pathUser(c, tables.users);
    return c.json(appearanceView(await tables.userSettings.read(row.id, "appearance")));
  });

  router.put("/users/:user/appearance", user, async (c) => {
    const row = await pathUser(c, tables.users);
    const chosen = await readJson(c, userAppearance, bodyBytes);
    await tables.userSettings.replace(row.id, "appearance", JSON.stringify(chosen));
    changes.publish({ kind: "user", userId: row.id });
    return c.json(chosen);
  });
}
