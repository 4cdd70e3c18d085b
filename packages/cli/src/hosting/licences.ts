/** The licences of everything in this program, which accompany every copy of it. */
import { readFileSync } from "node:fs";
import { getAsset, isSea } from "node:sea";
import { fileURLToPath } from "node:url";
import { UserError } from "../errors/user-error.ts";

/** Name of the asset inside an executable. */
export const LICENCES_ASSET = "licences.txt";
/** Files in the npm package, beside the folder of the bundles. */
const FILES = ["LICENSE", "THIRD-PARTY-LICENSES.txt"];

export function licencesText(): string {
  if (isSea()) return getAsset(LICENCES_ASSET, "utf8");
  try {
    return FILES.map((name) => readFileSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), "utf8")).join(
      "\n\n",
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new UserError("This is a checkout: licences are gathered when a package is made", {
      next: ["read LICENSE, and those of the packages in node_modules"],
      cause: error,
    });
  }
}
