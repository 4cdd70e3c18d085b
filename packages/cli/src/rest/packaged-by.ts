/** Whether a package manager keeps this program, which must then update it. */
import { existsSync, realpathSync } from "node:fs";

export interface Packaged {
  /** Of the package manager. */
  readonly by: string;
  /** The command that updates it. */
  readonly next: string;
}

/** Written by dpkg for each package that it keeps. */
const DPKG_LIST = "/var/lib/dpkg/info/coder.list";

/** Folders that package managers keep, and how each updates. There is no repository for apt and dnf: they take the file of a release. */
const PACKAGED: readonly (Packaged & { readonly where: RegExp })[] = [
  { where: /^\/nix\/store\//, by: "Nix", next: "update it there" },
  { where: /^\/snap\//, by: "snap", next: "snap refresh coder" },
  { where: /\/(Cellar|homebrew|linuxbrew)\//, by: "Homebrew", next: "brew upgrade coder" },
  { where: /[/\\]node_modules[/\\]/, by: "npm", next: "npm install -g @coder-network/cli@latest" },
];
const SYSTEM = /^\/usr\/(bin|lib|libexec|sbin)\/|^\/s?bin\//;

/**
 * By which package manager a file was installed, if it lies where one keeps its files.
 * @param arch Node's `process.arch`.
 */
export function packagedBy(
  path: string,
  arch: string = process.arch,
  isDebian: boolean = existsSync(DPKG_LIST),
): Packaged | undefined {
  const kept = PACKAGED.find(({ where }) => where.test(path));
  if (kept !== undefined) return { by: kept.by, next: kept.next };
  if (!SYSTEM.test(path)) return undefined;
  const { deb, rpm } = { arm64: { deb: "arm64", rpm: "aarch64" } }[arch] ?? { deb: "amd64", rpm: "x86_64" };
  return isDebian
    ? { by: "apt", next: `apt-get install ./coder_VERSION_${deb}.deb, with the file of the new release` }
    : {
        by: "the system's package manager",
        next: `dnf install ./coder-VERSION.${rpm}.rpm, with the file of the new release`,
      };
}

/** The program that runs: an executable of its own, or a script of Node. Links to it are followed. */
export function ownProgram(single: boolean): string {
  const path = single ? process.execPath : process.argv[1]!;
  try {
    return realpathSync(path);
  } catch {
    return path; // it was removed while it runs: its place still says who kept it
  }
}
