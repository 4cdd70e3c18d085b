import {
  type Appearance,
  authorizationRequest,
  type BuildInfo,
  type Entitlements,
  type SshConfig,
  type UpdateCheck,
} from "coder-protocol/rest/deployment";
import { formatTime, type WallClock } from "../../base/clock.ts";
import type { OwnAddresses } from "../../base/own-addresses.ts";
import { AGENT_API_VERSION, BUILD_VERSION, PROVISIONER_API_VERSION } from "../../base/version.ts";
import { serverFlags } from "../../config/flags.ts";
import type { ServerConfig } from "../../config/parse.ts";
import type { UserRow } from "../../db/schema.ts";
import type { DeploymentIds } from "../../db/store.ts";
import type { Users } from "../../db/users.ts";
import { ARCHITECTURES, SYSTEMS } from "../../downloads/names.ts";
import { installScriptForWindows } from "../../install/install-ps1.ts";
import { installScript } from "../../install/install-sh.ts";
import type { ConnectionPolicies } from "../../workspaces/connection-policies.ts";
import { HttpFailure } from "../failure.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import { deploymentConfig } from "../views/deployment-config.ts";
import { optionList } from "../views/option-list.ts";

export interface DeploymentRoutesDeps {
  readonly user: Guard;
  readonly config: ServerConfig;
  readonly deployment: DeploymentIds;
  readonly addresses: Pick<OwnAddresses, "accessUrl">;
  readonly users: Pick<Users, "count">;
  readonly connectionPolicies: Pick<ConnectionPolicies, "rule">;
  readonly clock: WallClock;
  readonly bodyBytes: number;
}

export function deploymentRoutes(router: Router, deps: DeploymentRoutesDeps): void {
  const { user, config, deployment, addresses, users, connectionPolicies, clock } = deps;

  router.get("/", (c) => c.json({ message: "👋" }));

  router.get("/buildinfo", (c) => {
    const url = addresses.accessUrl().origin;
    const body: BuildInfo = {
      external_url: "",
      version: BUILD_VERSION,
      dashboard_url: url,
      telemetry: false,
      workspace_proxy: false,
      agent_api_version: AGENT_API_VERSION,
      provisioner_api_version: PROVISIONER_API_VERSION,
      upgrade_message: "",
      deployment_id: deployment.deploymentId,
    };
    return c.json(body);
  });

  router.get("/appearance", user, (c) => {
    const body: Appearance = {
      application_name: "",
      logo_url: "",
      docs_url: "",
      service_banner: { enabled: false },
      announcement_banners: [],
      support_links: [],
    };
    return c.json(body);
  });

  router.get("/deployment/ssh", user, (c) => {
    const body: SshConfig = {
      hostname_prefix: config.sshHostnamePrefix,
      hostname_suffix: config.workspaceHostnameSuffix,
      ssh_config_options: { ...config.sshConfigOptions },
    };
    return c.json(body);
  });

  router.get("/deployment/config", user, requireOwner, async (c) =>
    c.json({
      config: deploymentConfig(config, await connectionPolicies.rule()),
      options: optionList(serverFlags, config.given, process.env),
    }),
  );

  router.get("/deployment/stats", user, requireOwner, async (c) =>
    c.json({ users: await users.count(), collected_at: formatTime(clock.now()) }),
  );

  router.get("/experiments", user, (c) => c.json([]));
  router.get("/experiments/available", user, (c) => c.json({ safe: [] }));
  router.get("/external-auth", user, (c) => c.json({ providers: [], links: [] }));

  router.get("/updatecheck", (c) => {
    // This server does not check for updates.
    const body: UpdateCheck = { current: true, version: BUILD_VERSION, url: "" };
    return c.json(body);
  });

  router.get("/entitlements", user, async (c) => {
    const body: Entitlements = {
      features: {
        browser_only: { entitlement: "entitled", enabled: (await connectionPolicies.rule()) !== "off" },
        workspace_external_agent: { entitlement: "entitled", enabled: true },
        workspace_proxy: { entitlement: "entitled", enabled: true },
      },
      warnings: [],
      errors: [],
      has_license: false,
      trial: false,
      require_telemetry: false,
      refreshed_at: formatTime(clock.now()),
    };
    return c.json(body);
  });

  router.post("/authcheck", user, async (c) => {
    const { checks } = await readJson(c, authorizationRequest, deps.bodyBytes);
    const answers: Record<string, boolean> = {};
    for (const [name, check] of Object.entries(checks)) answers[name] = allows(c.get("auth").user, check);
    return c.json(answers);
  });

  router.get("/init-script/:os/:arch", (c) => {
    const system = c.req.param("os").toLowerCase();
    const architecture = c.req.param("arch").toLowerCase();
    if (!SYSTEMS.some((known) => known === system) || !ARCHITECTURES.some((known) => known === architecture)) {
      throw new HttpFailure(400, `Unknown os/arch: ${system.slice(0, 32)}/${architecture.slice(0, 32)}`);
    }
    const facts = { accessUrl: addresses.accessUrl(), version: BUILD_VERSION, agent: true };
    return c.text(system === "windows" ? installScriptForWindows(facts) : installScript(facts));
  });
}

/** The actions that a page may offer. An owner may do everything, a member only what concerns their own objects. */
function allows(
  user: UserRow,
  check: { object: { resource_type: string; owner_id?: string | undefined }; action: string },
): boolean {
  if (user.role === "owner") return true;
  const { resource_type: type, owner_id: owner } = check.object;
  const own = owner === user.id || owner === "me";
  if (type === "workspace" || type === "api_key") return own;
  if (type === "user") return own && check.action === "read";
  return (type === "template" || type === "organization") && check.action === "read";
}
