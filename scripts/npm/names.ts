/** Names of the packages on npm: the short names inside this repository are not reserved outside it. */

const SCOPE = "@coder-network";

/** By the name inside the repository. */
const PUBLISHED: Readonly<Record<string, string>> = {
  "wg-userspace": `${SCOPE}/wg-userspace`,
  "udp-batch": `${SCOPE}/udp-batch`,
  "coder-protocol": `${SCOPE}/protocol`,
  "coder-client": `${SCOPE}/client`,
  "coder-cli": `${SCOPE}/cli`,
};

/** A whole string literal that names one of our packages or a module of it. */
const SPECIFIER = new RegExp(`"(${Object.keys(PUBLISHED).join("|")})(?:/([^"\\s]+))?"`, "g");

export function publishedName(name: string): string {
  const published = PUBLISHED[name];
  if (published === undefined) throw new Error(`${name} is not published`);
  return published;
}

/** The modules of our packages that a source names, as `[package, subpath]`; the subpath of a package itself is "". */
export function modulesNamed(source: string): [name: string, subpath: string][] {
  return [...source.matchAll(SPECIFIER)].map((match) => [match[1]!, match[2] ?? ""]);
}

/** @param place Maps a subpath inside the repository to the one under which the package exports it. */
export function renameModules(source: string, place: (name: string, subpath: string) => string): string {
  return source.replace(SPECIFIER, (_whole, name: string, subpath: string | undefined) => {
    const found = place(name, subpath ?? "");
    return JSON.stringify(found === "" ? publishedName(name) : `${publishedName(name)}/${found}`);
  });
}
