import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import { HttpFailure, notFound } from "../../base/errors.ts";
import type { HttpEnv, RouteContext, Router } from "../context.ts";
import { requireUser } from "../reply.ts";
import {
  completedJob,
  ORGANIZATION_NAME,
  organizationView,
  TEMPLATE_NAME,
  templateResources,
  templateVersionView,
  templateView,
} from "../views.ts";

/**
 * One organization and one template, both built in, because stock clients ask for them before they create a
 * workspace. Dry runs are those of an empty plan: they are complete when they are answered.
 */
export function templateRoutes(router: Router, context: RouteContext): void {
  const { deployment } = context;
  const user = requireUser(context);

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

  router.get("/organizations", user, (c) => c.json([organizationView(context)]));
  router.get("/organizations/:organization", user, (c) => {
    checkOrganization(c);
    return c.json(organizationView(context));
  });
  router.get("/organizations/:organization/templates", user, (c) => {
    checkOrganization(c);
    return c.json([templateView(context)]);
  });
  router.get("/organizations/:organization/templates/:name", user, (c) => {
    checkOrganization(c);
    if (c.req.param("name").toLowerCase() !== TEMPLATE_NAME) throw notFound();
    return c.json(templateView(context));
  });

  router.get("/templates", user, (c) => c.json([templateView(context)]));
  router.get("/templates/:template", user, (c) => {
    checkTemplate(c);
    return c.json(templateView(context));
  });
  router.get("/templates/:template/versions", user, (c) => {
    checkTemplate(c);
    return c.json([templateVersionView(context)]);
  });

  router.get("/templateversions/:version", user, (c) => {
    checkVersion(c);
    return c.json(templateVersionView(context));
  });
  router.get("/templateversions/:version/resources", user, (c) => {
    checkVersion(c);
    return c.json(templateResources(context));
  });
  for (const empty of ["rich-parameters", "variables", "external-auth", "presets", "logs"]) {
    router.get(`/templateversions/:version/${empty}`, user, (c) => {
      checkVersion(c);
      return c.json([]);
    });
  }
  router.post("/templateversions/:version/dry-run", user, (c) => {
    checkVersion(c);
    return c.json(dryRun(context, randomUUID(), c.get("auth").user.id), 201);
  });
  router.get("/templateversions/:version/dry-run/:job", user, (c) => {
    checkVersion(c);
    return c.json(dryRun(context, c.req.param("job"), c.get("auth").user.id));
  });
  router.get("/templateversions/:version/dry-run/:job/logs", user, (c) => {
    checkVersion(c);
    return c.json([]);
  });
  router.get("/templateversions/:version/dry-run/:job/resources", user, (c) => {
    checkVersion(c);
    return c.json(templateResources(context));
  });
  router.post("/organizations/:organization/templates", user, (c) => {
    checkOrganization(c);
    throw new HttpFailure(403, "This server has no provisioner, so templates cannot be added");
  });
}

function dryRun(context: RouteContext, id: string, initiatorId: string) {
  return { ...completedJob(context, id, initiatorId, context.clock.now()), type: "template_version_dry_run" };
}
