import {
  connectionPolicyRequest,
  deploymentPolicyRequest,
  workspacePolicyRequest,
} from "coder-protocol/rest/connection-policy";
import type { DeploymentIds } from "../../db/store.ts";
import type { Users } from "../../db/users.ts";
import type { ConnectionPolicies } from "../../workspaces/connection-policies.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import type { RequestAudit } from "../request-audit.ts";
import type { WorkspacePresenter } from "../views/presenter.ts";
import { userView } from "../views/users.ts";
import { pathUser } from "./path-user.ts";
import type { WorkspacePaths } from "./workspace-paths.ts";

export interface ConnectionPolicyRoutesDeps {
  readonly user: Guard;
  readonly users: Users;
  readonly paths: WorkspacePaths;
  readonly connectionPolicies: ConnectionPolicies;
  readonly presenter: WorkspacePresenter;
  readonly audit: RequestAudit;
  readonly deployment: DeploymentIds;
  readonly bodyBytes: number;
}

/** The routes that decide where only browsers may connect: in the whole deployment, as a user, to a workspace. For owners of the deployment. */
export function connectionPolicyRoutes(router: Router, deps: ConnectionPolicyRoutesDeps): void {
  const { user, users, paths, connectionPolicies, presenter, audit, deployment, bodyBytes } = deps;

  router.get("/deployment/connection-policy", user, requireOwner, async (c) =>
    c.json(await connectionPolicies.deployment()),
  );

  router.put("/deployment/connection-policy", user, requireOwner, async (c) => {
    const { browser_only: rule } = await readJson(c, deploymentPolicyRequest, bodyBytes);
    const policy = await connectionPolicies.setForDeployment(rule);
    audit.record(c, { action: "connection-policy-changed", facts: { ...policy } });
    return c.json(policy);
  });

  router.put("/users/:user/connection-policy", user, requireOwner, async (c) => {
    const target = await pathUser(c, users);
    const { policy } = await readJson(c, connectionPolicyRequest, bodyBytes);
    const row = await connectionPolicies.setForUser(target, policy);
    audit.record(c, { action: "connection-policy-changed", target: row, facts: { policy } });
    return c.json(userView(row, deployment));
  });

  router.put("/workspaces/:workspace/connection-policy", user, requireOwner, async (c) => {
    const target = await paths.workspace(c);
    const request = await readJson(c, workspacePolicyRequest, bodyBytes);
    const row = await connectionPolicies.setForWorkspace(target, request);
    audit.record(c, {
      action: "connection-policy-changed",
      facts: {
        policy: row.connection_policy,
        require_e2e: row.require_e2e,
        workspace: row.name,
        workspace_id: row.id,
      },
    });
    return c.json(await presenter.workspace(row));
  });
}
