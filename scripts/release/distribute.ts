/** The forms in which an executable is distributed: an archive, and for Linux packages and an image. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BUILD_VERSION } from "../../packages/protocol/src/version.ts";
import { gzip, stage, tar, zip } from "./archive.ts";
import { type AccompanyingFiles, archiveEntries } from "./contents.ts";
import { buildImage } from "./image.ts";
import { buildDeb, buildRpm } from "./packages.ts";
import type { Platform } from "./platforms.ts";

export interface DistributeOptions {
  readonly output: string;
  readonly work: string;
  /** Folder of the packages from the release's own lockfile. */
  readonly packages: string;
  readonly parts: AccompanyingFiles;
  readonly date: number;
}

/** @returns the names of the files made, and the parts that could not be made. */
export async function distribute(
  platform: Platform,
  executable: string,
  { output, work, packages, parts, date }: DistributeOptions,
): Promise<{ files: string[]; wrong: string[] }> {
  const version = BUILD_VERSION.replace(/^v/, "");
  const system = platform.os === "win32" ? "windows" : platform.os;
  const architecture = platform.arch === "x64" ? "amd64" : "arm64";
  const folder = `coder-${version}-${system}-${architecture}`;
  const place = join(work, "distribute");
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  const entries = archiveEntries(folder, executable, system, parts);
  const [files, wrong]: [string[], string[]] = [[], []];
  const make = async (name: string, build: (file: string) => Promise<string | undefined>): Promise<void> => {
    try {
      const why = await build(join(output, name));
      if (why === undefined) files.push(name);
      else wrong.push(`${name} was NOT made: ${why}`);
    } catch (error) {
      const program = (error as { cause?: { code?: unknown; path?: string } }).cause;
      if (program?.code !== "ENOENT") throw error;
      wrong.push(`${name} was NOT made: ${program.path} is not installed${PACKAGE_OF[program.path ?? ""] ?? ""}`);
    }
  };
  if (system === "windows") {
    await make(`${folder}.zip`, (file) => zip(entries, file, date, packages));
  } else {
    await make(`${folder}.tar.gz`, async (file) => {
      stage(join(place, "archive"), entries);
      await tar(join(place, "archive"), [folder], join(place, "archive.tar"), date);
      await gzip(join(place, "archive.tar"), file);
    });
  }
  if (system === "linux") {
    const options = { executable, version, date, parts, work: place };
    const rpmArchitecture = architecture === "amd64" ? "x86_64" : "aarch64";
    await make(`coder_${version}_${architecture}.deb`, (output) => buildDeb(architecture, { ...options, output }));
    await make(`coder-${version}.${rpmArchitecture}.rpm`, (output) =>
      buildRpm(rpmArchitecture, { ...options, output }),
    );
    const { licences } = parts;
    await make(`${folder}.oci.tar`, (output) => buildImage(architecture, { ...options, licences, output }));
  }
  rmSync(place, { recursive: true });
  return { files, wrong };
}

const PACKAGE_OF: Readonly<Record<string, string>> = {
  rpmbuild: "; apt-get install rpm, or dnf install rpm-build",
  "dpkg-deb": "; apt-get install dpkg, or dnf install dpkg",
};
