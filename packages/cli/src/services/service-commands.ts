/** What `coder agent install`, `coder server install` and their opposites have in common. */
import { join } from "node:path";
import { lastingSelfCommand } from "coder-client/base/self-command";
import { accountHome, defaultConfigDir } from "../config-dir.ts";
import { UserError } from "../errors/user-error.ts";
import { booleanFlag, type FlagValues } from "../flags/spec.ts";
import { type ServicePlaces, servicePlaces } from "../systemd/places.ts";
import { installService, readIfThere, uninstallService } from "../systemd/service.ts";
import { emptySettings } from "../systemd/settings.ts";
import { Systemctl } from "../systemd/systemctl.ts";
import { withVariables } from "../systemd/unit-text.ts";
import { type ServiceName, type UnitOptions, unitText } from "../systemd/units.ts";
import { say } from "../ui/say.ts";

export interface ServiceRequest {
  readonly service: ServiceName;
  readonly flags: FlagValues;
  /** To change in its settings. */
  readonly variables: Readonly<Record<string, string>>;
  /** What else the unit depends on, by the settings that it will have. Throws when something is missing in them. */
  readonly unit: (settings: string) => Pick<UnitOptions, "runAs" | "lowPort">;
}

export async function runInstall({ service, flags, variables, unit }: ServiceRequest): Promise<void> {
  const places = placesOf(service, flags);
  const settings = withVariables(readIfThere(places.environment) ?? emptySettings(service), variables);
  const program = lastingSelfCommand(process.env["PATH"]);
  const text = unitText(service, {
    program,
    environmentFile: places.environment,
    scope: places.scope,
    ...unit(settings),
  });
  if (booleanFlag(flags, "print")) {
    process.stdout.write(text);
    return;
  }
  const systemctl = new Systemctl(places);
  await systemctl.check(
    `run "coder ${service}" by what starts services here, such as OpenRC, runit or a container's supervisor`,
  );
  const now = booleanFlag(flags, "now");
  for (const line of await installService({ service, unit: text, settings, places, now }, systemctl)) say(line);
  const words = [`systemctl`, ...places.systemctl].join(" ");
  const user = places.scope === "user";
  say(now ? `Next: ${words} status coder-${service}` : `Next: ${words} start coder-${service}`);
  say(`Its log: journalctl ${user ? "--user " : ""}-u coder-${service} -f`);
  if (user) say("To keep it while you are logged out: loginctl enable-linger");
}

/** @param forgets Whether its settings go as well. */
export async function runUninstall(service: ServiceName, flags: FlagValues, forgets: boolean): Promise<void> {
  const places = placesOf(service, flags);
  const systemctl = new Systemctl(places);
  await systemctl.check(`remove ${places.unit} and ${places.environment} by hand, if they are there`);
  for (const line of await uninstallService(service, places, forgets, systemctl)) say(line);
}

function placesOf(service: ServiceName, flags: FlagValues): ServicePlaces {
  if (process.platform !== "linux") {
    throw new UserError("Services are installed by systemd, which only Linux has", {
      next: [
        process.platform === "darwin"
          ? `have launchd run "coder ${service}": a property list in ~/Library/LaunchAgents with RunAtLoad and KeepAlive`
          : `have the task scheduler run "coder ${service}" at start-up`,
      ],
      code: "ERR_NO_SYSTEMD",
    });
  }
  const scope = booleanFlag(flags, "user") || process.getuid?.() !== 0 ? "user" : "system";
  const home = process.env["HOME"] || accountHome();
  return servicePlaces(service, scope, {
    configDir: defaultConfigDir(process.env),
    configHome: process.env["XDG_CONFIG_HOME"] || join(home, ".config"),
  });
}
