import { randomUUID } from "node:crypto";
import { Hono } from "hono";
import { HttpFailure, notFound } from "../base/errors.ts";
import { installScriptForWindows } from "../install/install-ps1.ts";
import { installScript } from "../install/install-sh.ts";
import type { HttpEnv, RouteContext, Router } from "./context.ts";
import { failureResponse } from "./reply.ts";
import { agentRoutes } from "./routes/agents.ts";
import { apiKeyRoutes } from "./routes/api-keys.ts";
import { cliAuthRoutes } from "./routes/cli-auth.ts";
import { debugRoutes } from "./routes/debug.ts";
import { deploymentRoutes } from "./routes/deployment.ts";
import { notificationRoutes } from "./routes/notifications.ts";
import { relayAdmissionRoutes } from "./routes/relay-admission.ts";
import { templateRoutes } from "./routes/templates.ts";
import { userRoutes } from "./routes/users.ts";
import { workspaceRoutes } from "./routes/workspaces.ts";

/** Every plain HTTP answer of the server, apart from the relay's. */
export function buildRouter(context: RouteContext): Router {
  const root: Router = new Hono<HttpEnv>();
  const api: Router = new Hono<HttpEnv>();

  api.use(async (c, next) => {
    // Answers are personal or change at once; none belongs in a cache.
    c.header("Cache-Control", "no-store");
    await next();
  });
  deploymentRoutes(api, context);
  userRoutes(api, context);
  apiKeyRoutes(api, context);
  templateRoutes(api, context);
  workspaceRoutes(api, context);
  agentRoutes(api, context);
  notificationRoutes(api, context);
  debugRoutes(api, context);
  relayAdmissionRoutes(root, api, context);

  root.route("/api/v2", api);
  root.get("/api/v2/", (c) => root.fetch(new Request(new URL("/api/v2", c.req.url)), c.env));
  cliAuthRoutes(root, context);

  root.get("/healthz", (c) => c.text("OK"));
  root.get("/latency-check", (c) => {
    // Pages of other origins measure the way to this server; there is nothing to read.
    c.header("Access-Control-Allow-Origin", "*");
    c.header("Timing-Allow-Origin", "*");
    return c.text("OK");
  });
  const facts = () => ({ accessUrl: context.accessUrl(), agent: false });
  root.get("/install.sh", (c) => c.text(installScript(facts())));
  root.get("/install.ps1", (c) => c.text(installScriptForWindows(facts())));
  root.get("/", (c) => c.redirect("/cli-auth", 302));

  root.notFound((c) => failureResponse(c, isApi(c.req.path) ? new HttpFailure(404, "Route not found.") : notFound()));
  root.onError((error, c) => {
    if (error instanceof HttpFailure) return failureResponse(c, error);
    // The client learns a number to quote, the log learns the rest.
    const reference = randomUUID();
    context.log.error({ err: error, reference, method: c.req.method, path: c.req.path }, "request failed");
    return failureResponse(
      c,
      new HttpFailure(500, "An internal server error occurred.", { detail: `reference ${reference}` }),
    );
  });
  return root;
}

function isApi(path: string): boolean {
  return path.startsWith("/api/");
}
