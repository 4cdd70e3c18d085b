/** What `coder agent install`, `coder server install` and their uninstall commands have in common. */
import { join } from "node:path";
import { lastingSelfCommand } from "coder-client/base/self-command";
import { accountHome, defaultConfigDir } from "../base/config-dir.ts";
import { UserError } from "../errors/user-error.ts";
import { type ServicePlaces, servicePlaces } from "../systemd/places.ts";
import { installService, readIfThere, uninstallService } from "../systemd/service.ts";
import {
  emptySettings,
  type GivenSetting,
  listensLow,
  missingVariables,
  settingVariables,
  surroundingVariables,
} from "../systemd/settings.ts";
import { Systemctl } from "../systemd/systemctl.ts";
import { withVariables } from "../systemd/unit-text.ts";
import { type ServiceName, type UnitOptions, unitText } from "../systemd/units.ts";
import type { Display } from "../ui/display.ts";
import { agentToken, agentUrl } from "./agent-identity.ts";

export interface InstallOptions {
  /** Install for the calling user only, even for root. */
  readonly user: boolean;
  /** Also start it. */
  readonly now: boolean;
  /** Print the unit and change nothing. */
  readonly print: boolean;
  /** Settings to change. */
  readonly settings: readonly GivenSetting[];
}

export interface AgentInstallOptions extends InstallOptions {
  /** Account under which users work in the workspace. */
  readonly runAs: string;
  readonly url: string | undefined;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
}

interface ServiceRequest extends Omit<InstallOptions, "settings"> {
  readonly service: ServiceName;
  /** Variables to change in its settings. */
  readonly variables: Readonly<Record<string, string>>;
  /** What else the unit depends on, given the new settings. Throws when a setting is missing. */
  readonly unit: (settings: string) => Pick<UnitOptions, "runAs" | "lowPort">;
}

export async function installServer({ settings, ...options }: InstallOptions, display: Display): Promise<void> {
  await runInstall(display, {
    ...options,
    service: "server",
    variables: settingVariables(settings),
    unit: (text) => ({ lowPort: listensLow(text) }),
  });
}

/** Keeps the token itself, wherever it was given. When something is missing, throws what the agent would. */
export async function installAgent(
  { settings, url, token, tokenFile, ...options }: AgentInstallOptions,
  display: Display,
): Promise<void> {
  const { runAs, print } = options;
  const { CODER_AGENT_TOKEN_FILE: file, ...given } = settingVariables(settings);
  const named = given["CODER_AGENT_TOKEN"] ?? file;
  const variables: Record<string, string> = { ...surroundingVariables(process.env), ...given };
  if (given["CODER_AGENT_URL"] !== undefined) variables["CODER_AGENT_URL"] = agentUrl(url).href;
  if (named !== undefined) variables["CODER_AGENT_TOKEN"] = agentToken(token, tokenFile);
  await runInstall(display, {
    ...options,
    service: "agent",
    variables,
    unit: (text) => {
      const missing = print ? [] : missingVariables(text, ["CODER_AGENT_URL", "CODER_AGENT_TOKEN"]);
      if (missing.includes("CODER_AGENT_URL")) agentUrl(url);
      if (missing.includes("CODER_AGENT_TOKEN")) agentToken(token, tokenFile);
      return { runAs };
    },
  });
}

async function runInstall({ print, say }: Display, request: ServiceRequest): Promise<void> {
  const { service, user, now, variables, unit } = request;
  const places = placesOf(service, user);
  const settings = withVariables(readIfThere(places.environment) ?? emptySettings(service), variables);
  const program = lastingSelfCommand(process.env["PATH"]);
  const text = unitText(service, {
    program,
    environmentFile: places.environment,
    scope: places.scope,
    ...unit(settings),
  });
  if (request.print) {
    print(text);
    return;
  }
  const systemctl = new Systemctl(places);
  await systemctl.check(
    `run "coder ${service}" with the service manager of this system, such as OpenRC, runit or a container's supervisor`,
  );
  for (const line of await installService({ service, unit: text, settings, places, now }, systemctl)) say(line);
  const words = [`systemctl`, ...places.systemctl].join(" ");
  const own = places.scope === "user";
  say(now ? `Next: ${words} status coder-${service}` : `Next: ${words} start coder-${service}`);
  say(`Its log: journalctl ${own ? "--user " : ""}-u coder-${service} -f`);
  if (own) say("To keep it while you are logged out: loginctl enable-linger");
}

/** With `forgets`, removes its settings too. */
export async function runUninstall(
  { service, user, forgets }: { readonly service: ServiceName; readonly user: boolean; readonly forgets: boolean },
  { say }: Display,
): Promise<void> {
  const places = placesOf(service, user);
  const systemctl = new Systemctl(places);
  await systemctl.check(`remove ${places.unit} and ${places.environment} by hand, if they exist`);
  for (const line of await uninstallService(service, places, forgets, systemctl)) say(line);
}

function placesOf(service: ServiceName, user: boolean): ServicePlaces {
  if (process.platform !== "linux") {
    throw new UserError("Services are installed with systemd, which exists only on Linux", {
      next: [
        process.platform === "darwin"
          ? `have launchd run "coder ${service}": a property list in ~/Library/LaunchAgents with RunAtLoad and KeepAlive`
          : `have the task scheduler run "coder ${service}" at start-up`,
      ],
      code: "ERR_NO_SYSTEMD",
    });
  }
  const scope = user || process.getuid?.() !== 0 ? "user" : "system";
  const home = process.env["HOME"] || accountHome();
  return servicePlaces(service, scope, {
    configDir: defaultConfigDir(process.env),
    configHome: process.env["XDG_CONFIG_HOME"] || join(home, ".config"),
  });
}
