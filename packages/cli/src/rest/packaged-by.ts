/** Whether a package manager owns this program and must update it. */
import { existsSync, realpathSync } from "node:fs";

export interface Packaged {
  /** Name of the package manager. */
  readonly by: string;
  /** The command that updates it. */
  readonly next: string;
}

/** Written by dpkg when it installs the package. */
const DPKG_LIST = "/var/lib/dpkg/info/coder.list";

/**
 * Folders owned by package managers, and how to update each. There is no repository for apt and dnf, so they take a file of the
 * release.
 */
const PACKAGED: readonly (Packaged & { readonly where: RegExp })[] = [
  { where: /^\/nix\/store\//, by: "Nix", next: "update it there" },
  { where: /^\/snap\//, by: "snap", next: "snap refresh coder" },
  { where: /\/(Cellar|homebrew|linuxbrew)\//, by: "Homebrew", next: "brew upgrade coder" },
  { where: /[/\\]node_modules[/\\]/, by: "npm", next: "npm install -g @coder-network/cli@latest" },
];
const SYSTEM = /^\/usr\/(bin|lib|libexec|sbin)\/|^\/s?bin\//;

/**
 * The package manager in whose folder a file lies.
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

/** The running program: a single executable, or a script of Node. Links to it are followed. */
export function ownProgram(single: boolean): string {
  const path = single ? process.execPath : process.argv[1]!;
  try {
    return realpathSync(path);
  } catch {
    return path; // it was removed while running; its path still shows who owned it
  }
}
