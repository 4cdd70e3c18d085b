/** package.json as it is published. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { publishedName } from "./names.ts";

const root = join(import.meta.dirname, "../..");

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly engines: { readonly node: string };
  readonly type?: string;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly repository?: unknown;
  readonly homepage?: string;
  readonly bugs?: unknown;
}

/** @param folder Folder of the package, relative to the repository; "" for the repository itself. */
export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as Manifest;
}

/**
 * The common part of every published manifest. `repository` comes from the repository's own package.json; without it
 * npm cannot state provenance.
 * @param own The package's own fields.
 */
export function publishedManifest(source: Manifest, own: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { version, repository, homepage, bugs } = readManifest("");
  const { name, description, license, engines } = source;
  return {
    name: publishedName(name),
    version,
    description,
    license,
    homepage,
    bugs,
    repository: repository && repositoryOf(repository, name),
    engines,
    ...own,
    publishConfig: { access: "public", provenance: true },
  };
}

/** Versions of our own packages are exact: they share internal modules. */
export function publishedDependencies(
  dependencies: Readonly<Record<string, string>> | undefined,
): Record<string, string> {
  const { version } = readManifest("");
  return Object.fromEntries(
    Object.entries(dependencies ?? {}).map(([name, wanted]) =>
      wanted === "workspace:*" ? [publishedName(name), version] : [name, wanted],
    ),
  );
}

function repositoryOf(repository: unknown, name: string): unknown {
  const directory = `packages/${name.replace(/^coder-/, "")}`;
  return { type: "git", url: repositoryUrl(repository), directory };
}

/** npm compares it with the address that the CI job's identity token states, letter for letter: short forms do not match. */
export function repositoryUrl(repository: unknown): string {
  const given = typeof repository === "string" ? repository : (repository as { url?: unknown } | null)?.url;
  const url = typeof given === "string" ? given : JSON.stringify(given);
  if (typeof given === "string" && /^git\+https:\/\/[^/]+\/.+\.git$/.test(given)) return given;
  throw new Error(
    `repository in package.json is ${url}; npm states provenance for one such as git+https://github.com/OWNER/NAME.git`,
  );
}
