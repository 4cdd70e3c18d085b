/** Installs and removes a systemd service: its unit, its settings, and whether it runs. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { writeByRename } from "../base/write-by-rename.ts";
import { UserError } from "../errors/user-error.ts";
import type { ServicePlaces } from "./places.ts";
import type { Systemctl } from "./systemctl.ts";
import { type ServiceName, unitName } from "./units.ts";

export interface Installation {
  readonly service: ServiceName;
  readonly unit: string;
  /** The whole text of the settings file. */
  readonly settings: string;
  readonly places: ServicePlaces;
  /** Whether it is started. It is enabled in any case. */
  readonly now: boolean;
}

/**
 * Skips what is already done, so a service that runs with these settings is not restarted.
 * @returns What was done, in sentences.
 */
export async function installService(
  { service, unit, settings, places, now }: Installation,
  systemctl: Systemctl,
): Promise<string[]> {
  const name = unitName(service);
  const done: string[] = [];
  const folders = { system: 0o755, user: 0o700 }[places.scope];
  const changed = [
    ...(settings === readIfThere(places.environment) ? [] : [write(places.environment, settings, 0o600, folders)]),
    ...(unit === readIfThere(places.unit) ? [] : [write(places.unit, unit, 0o644, 0o755)]),
  ];
  chmodSync(places.environment, 0o600);
  done.push(changed.length === 0 ? `${places.unit} is up to date.` : `Wrote ${changed.join(" and ")}.`);
  await systemctl.run("daemon-reload");
  await systemctl.run("enable", "--quiet", name);
  if (!now)
    return [
      ...done,
      `${name} is enabled: it starts with ${places.scope === "system" ? "the machine" : "your next login"}.`,
    ];
  const active = await systemctl.isActive(name);
  if (active && changed.length === 0 && !(await systemctl.runsOldProgram(name)))
    return [...done, `${name} is enabled and already running.`];
  await systemctl.run("restart", name);
  return [...done, `${name} is enabled and ${active ? "was restarted" : "started"}.`];
}

/**
 * @param forgets Whether to remove its settings too.
 * @returns What was done, in sentences.
 */
export async function uninstallService(
  service: ServiceName,
  places: ServicePlaces,
  forgets: boolean,
  systemctl: Systemctl,
): Promise<string[]> {
  const name = unitName(service);
  const packaged = existsSync(places.packaged);
  const files = [places.unit, ...(forgets ? [places.environment] : [])].filter((file) => existsSync(file));
  if (files.length === 0 && !packaged) return [`There is no ${places.unit}: nothing to do.`];
  if (packaged || existsSync(places.unit)) await systemctl.run("disable", "--quiet", "--now", name);
  for (const file of files) changing(file, () => rmSync(file));
  await systemctl.run("daemon-reload");
  return [
    `${name} was stopped and disabled.`,
    ...(files.length === 0 ? [] : [`Removed ${files.join(" and ")}.`]),
    ...(packaged ? [`${places.packaged} belongs to a package and stays.`] : []),
    ...(!forgets && existsSync(places.environment) ? [`Its settings stay, in ${places.environment}.`] : []),
  ];
}

/** Undefined when there is no such file. */
export function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw unchangeable(file, error as NodeJS.ErrnoException);
  }
}

/**
 * Writes by rename, with the mode set from the first byte.
 * @returns Its path.
 */
function write(path: string, text: string, mode: number, folderMode: number): string {
  changing(path, () => {
    mkdirSync(dirname(path), { recursive: true, mode: folderMode });
    writeByRename(path, text, { mode, lasting: true });
  });
  return path;
}

function changing(path: string, change: () => void): void {
  try {
    change();
  } catch (error) {
    throw unchangeable(path, error as NodeJS.ErrnoException);
  }
}

function unchangeable(path: string, error: NodeJS.ErrnoException): UserError {
  const refused = error.code === "EACCES" || error.code === "EPERM";
  return new UserError(`Cannot use "${path}"`, {
    why: error.code ?? error.message,
    next: refused ? ["run it as root, or install it for yourself with --user"] : [],
    code: "ERR_SERVICE_FILE",
    cause: error,
  });
}
