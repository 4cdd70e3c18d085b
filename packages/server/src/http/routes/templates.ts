import { randomUUID } from "node:crypto";
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { Context } from "hono";
import type { WallClock } from "../../base/clock.ts";
import { notFound } from "../../base/domain-error.ts";
import type { DeploymentIds } from "../../db/store.ts";
import { ORGANIZATION_NAME, TEMPLATE_NAME } from "../../workspaces/builtin.ts";
import { HttpFailure } from "../failure.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import {
  completedJob,
  organizationView,
  templateResources,
  templateVersionView,
  templateView,
} from "../views/templates.ts";

/**
 * One organization and one template, both built in, because stock clients request them before they create a workspace. Dry runs
 * have an empty plan, so they are complete as soon as they are requested.
 */
export function templateRoutes(
  router: Router,
  deps: {
    readonly user: Guard;
    readonly deployment: DeploymentIds;
    readonly clock: WallClock;
    readonly maxShareLevel: ShareLevel;
  },
): void {
  const { user, deployment, clock, maxShareLevel } = deps;
  const dryRun = (id: string, initiatorId: string) => ({
    ...completedJob(deployment, id, initiatorId, clock.now()),
    type: "template_version_dry_run",
  });

  const checkOrganization = (c: Context<HttpEnv>): void => {
    const name = (c.req.param("organization") ?? "").toLowerCase();
    if (name !== deployment.organizationId && name !== ORGANIZATION_NAME && name !== "default") throw notFound();
  };
  const checkTemplate = (c: Context<HttpEnv>): void => {
    if ((c.req.param("template") ?? "").toLowerCase() !== deployment.templateId) throw notFound();
  };
  const checkVersion = (c: Context<HttpEnv>): void => {
    if ((c.req.param("version") ?? "").toLowerCase() !== deployment.templateVersionId) throw notFound();
  };

  router.get("/organizations", user, (c) => c.json([organizationView(deployment)]));
  router.get("/organizations/:organization", user, (c) => {
    checkOrganization(c);
    return c.json(organizationView(deployment));
  });
  router.get("/organizations/:organization/templates", user, (c) => {
    checkOrganization(c);
    return c.json([templateView(deployment, maxShareLevel)]);
  });
  router.get("/organizations/:organization/templates/:name", user, (c) => {
    checkOrganization(c);
    if (c.req.param("name").toLowerCase() !== TEMPLATE_NAME) throw notFound();
    return c.json(templateView(deployment, maxShareLevel));
  });

  router.get("/templates", user, (c) => c.json([templateView(deployment, maxShareLevel)]));
  router.get("/templates/:template", user, (c) => {
    checkTemplate(c);
    return c.json(templateView(deployment, maxShareLevel));
  });
  router.get("/templates/:template/versions", user, (c) => {
    checkTemplate(c);
    return c.json([templateVersionView(deployment)]);
  });

  router.get("/templateversions/:version", user, (c) => {
    checkVersion(c);
    return c.json(templateVersionView(deployment));
  });
  router.get("/templateversions/:version/resources", user, (c) => {
    checkVersion(c);
    return c.json(templateResources(deployment));
  });
  for (const empty of ["rich-parameters", "variables", "external-auth", "presets", "logs"]) {
    router.get(`/templateversions/:version/${empty}`, user, (c) => {
      checkVersion(c);
      return c.json([]);
    });
  }
  router.post("/templateversions/:version/dry-run", user, (c) => {
    checkVersion(c);
    return c.json(dryRun(randomUUID(), c.get("auth").user.id), 201);
  });
  router.get("/templateversions/:version/dry-run/:job", user, (c) => {
    checkVersion(c);
    return c.json(dryRun(c.req.param("job"), c.get("auth").user.id));
  });
  router.get("/templateversions/:version/dry-run/:job/logs", user, (c) => {
    checkVersion(c);
    return c.json([]);
  });
  router.get("/templateversions/:version/dry-run/:job/resources", user, (c) => {
    checkVersion(c);
    return c.json(templateResources(deployment));
  });
  router.post("/organizations/:organization/templates", user, (c) => {
    checkOrganization(c);
    throw new HttpFailure(403, "This server has no provisioner, so templates cannot be added");
  });
}
