/** Where services keep their files. Pure. */
import { join } from "node:path";
import { type ServiceName, unitName } from "./units.ts";

export interface ServicePlaces {
  readonly scope: "system" | "user";
  readonly unit: string;
  /** Settings, the agent's token among them: for its owner only. */
  readonly environment: string;
  /** Units that packages bring, which the one above stands before. */
  readonly packaged: string;
  /** The words before every verb. */
  readonly systemctl: readonly string[];
}

/** The folder of settings that belong to the system. */
export const SYSTEM_SETTINGS = "/etc/coder";
export const PACKAGED_UNITS = "/usr/lib/systemd/system";

/**
 * @param configDir The person's, where logins are stored.
 * @param root Stands before the paths of the system.
 */
export function servicePlaces(
  service: ServiceName,
  scope: "system" | "user",
  from: { readonly configDir: string; readonly configHome: string; readonly root?: string },
): ServicePlaces {
  const { root = "/" } = from;
  if (scope === "system") {
    return {
      scope,
      unit: join(root, "etc/systemd/system", unitName(service)),
      environment: join(root, SYSTEM_SETTINGS, `${service}.env`),
      packaged: join(root, PACKAGED_UNITS, unitName(service)),
      systemctl: [],
    };
  }
  return {
    scope,
    unit: join(from.configHome, "systemd/user", unitName(service)),
    environment: join(from.configDir, `${service}.env`),
    packaged: join(root, "usr/lib/systemd/user", unitName(service)),
    systemctl: ["--user"],
  };
}
