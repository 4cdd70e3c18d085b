/** Where services keep their files. Pure. */
import { join } from "node:path";
import { type ServiceName, unitName } from "./units.ts";

export interface ServicePlaces {
  readonly scope: "system" | "user";
  readonly unit: string;
  /** The settings, which contain the agent's token, so only its owner may read them. */
  readonly environment: string;
  /** Units installed by packages; a unit of the same name in the folder above overrides them. */
  readonly packaged: string;
  /** The words before every systemctl verb. */
  readonly systemctl: readonly string[];
}

/** Folder of the settings of system services. */
export const SYSTEM_SETTINGS = "/etc/coder";
export const PACKAGED_UNITS = "/usr/lib/systemd/system";

/**
 * @param configDir The user's folder of logins.
 * @param root Prefix of all system paths.
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
