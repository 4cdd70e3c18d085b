/** The licences of bundled packages: most require that their text accompanies every copy. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bundledPackage } from "../release/bundled-package.ts";

const LICENCE_FILE = /^(licen[cs]e|copying|notice)([-.].*)?$/i;

export function thirdPartyLicences(names: readonly string[]): string {
  const parts = names.flatMap((name) => {
    const folder = bundledPackage(name);
    if (folder === undefined) return []; // an optional part of a package, which is not installed and in no bundle
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
    const texts = readdirSync(folder)
      .filter((file) => LICENCE_FILE.test(file))
      .sort()
      .map((file) => readFileSync(join(folder, file), "utf8").trim());
    const title = `${name} ${manifest.version} (${licenceOf(manifest)})`;
    if (texts.length === 0) texts.push("The package comes without the text of its licence.");
    return [`${title}\n${"-".repeat(title.length)}\n\n${texts.join("\n\n")}`.trim()];
  });
  return `This package contains code of the packages below, under their own licences.\n\n${parts.join("\n\n\n")}\n`;
}

interface Manifest {
  readonly version: string;
  readonly license?: string;
  /** The older form of `license`. */
  readonly licenses?: readonly { readonly type: string }[];
}

function licenceOf({ license, licenses = [] }: Manifest): string {
  return license?.replace(/^\((.*)\)$/, "$1") ?? (licenses.map(({ type }) => type).join(" OR ") || "see its text");
}
