import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const USERS = ["cli", "agent", "server", "client", "protocol", "wg-userspace", "dashboard"];

/** Folder of a package that a bundle holds. Undefined for an optional part of a package that is not installed. */
export function bundledPackage(name: string): string | undefined {
  return [
    ...USERS.map((user) => join(root, "packages", user, "node_modules", name)),
    join(root, "node_modules/.pnpm/node_modules", name),
  ].find((place) => existsSync(join(place, "package.json")));
}
