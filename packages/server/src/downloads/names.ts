/** Names below /bin/. No other text from a request ever becomes part of a path on this machine. */

export const SYSTEMS = ["linux", "darwin", "windows"] as const;
export const ARCHITECTURES = ["amd64", "arm64", "armv7"] as const;
export type System = (typeof SYSTEMS)[number];
export type Architecture = (typeof ARCHITECTURES)[number];

export interface Platform {
  readonly system: System;
  readonly architecture: Architecture;
}

export const SUMS_NAME = "SHA256SUMS";

export type DownloadName =
  | { readonly kind: "program"; readonly file: string; readonly platform: Platform }
  | { readonly kind: "signature"; readonly file: string; readonly platform: Platform }
  | { readonly kind: "sums"; readonly file: typeof SUMS_NAME };

/** The file that a path names; undefined if the name is not one of these. */
export function parseDownloadPath(pathname: string): DownloadName | undefined {
  if (pathname === `/bin/${SUMS_NAME}`) return { kind: "sums", file: SUMS_NAME };
  const match = /^\/bin\/(coder-([a-z]+)-([a-z0-9]+)(?:\.exe)?)(\.asc)?$/.exec(pathname);
  const system = SYSTEMS.find((known) => known === match?.[2]);
  const architecture = ARCHITECTURES.find((known) => known === match?.[3]);
  if (match === null || system === undefined || architecture === undefined) return undefined;
  const platform = { system, architecture };
  const program = programFile(platform);
  if (match[1] !== program) return undefined;
  return match[4] === undefined
    ? { kind: "program", file: program, platform }
    : { kind: "signature", file: `${program}.asc`, platform };
}

/** The name of the executable for a platform. */
export function programFile({ system, architecture }: Platform): string {
  return `coder-${system}-${architecture}${system === "windows" ? ".exe" : ""}`;
}

export function allPlatforms(): Platform[] {
  return SYSTEMS.flatMap((system) => ARCHITECTURES.map((architecture) => ({ system, architecture })));
}

/** The platform for Node's `process.platform` and `process.arch`; undefined if it has no name here. */
export function platformOfNode(platform: string, arch: string): Platform | undefined {
  const system = ({ linux: "linux", darwin: "darwin", win32: "windows" } as const)[platform];
  const architecture = ({ x64: "amd64", arm64: "arm64", arm: "armv7" } as const)[arch];
  return system === undefined || architecture === undefined ? undefined : { system, architecture };
}
