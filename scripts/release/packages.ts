/** Packages for Debian by dpkg-deb, for Fedora and its relatives by rpmbuild (decision 015). */
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stage } from "./archive.ts";
import { type AccompanyingFiles, packageEntries, SETTINGS_FILE } from "./contents.ts";
import { run } from "./run.ts";

export interface PackageOptions {
  readonly executable: string;
  /** Without the v in front. */
  readonly version: string;
  readonly date: number;
  readonly parts: AccompanyingFiles;
  /** A folder for intermediate files. */
  readonly work: string;
  /** The package's file. */
  readonly output: string;
}

const SUMMARY = "Reach workspaces through a userspace WireGuard tunnel";
const DESCRIPTION = "The coder command: client, agent of a workspace, and control plane.";
const MAINTAINER = "coder-network developers <developers@coder-network.invalid>";
const SITE = "https://coder-network.invalid";

/** zstd at this level saves a third and takes a few seconds. One thread, whose output is always the same. */
const DEB_COMPRESSION = ["-Zzstd", "-z9", "--threads-max=1"];
const RPM_COMPRESSION = "w9.zstdio";

export async function buildDeb(architecture: "amd64" | "arm64", options: PackageOptions): Promise<undefined> {
  const folder = join(options.work, "deb");
  stage(folder, packageEntries("deb", options.executable, options.parts));
  const control = join(folder, "DEBIAN");
  mkdirSync(control, { mode: 0o755 });
  const fields = {
    Package: "coder",
    Version: options.version,
    Architecture: architecture,
    Maintainer: MAINTAINER,
    "Installed-Size": String(Math.ceil(sizeOf(folder) / 1024)),
    Depends: "libc6 (>= 2.28), libstdc++6, libgcc-s1",
    Recommends: "ca-certificates, openssh-client",
    Section: "net",
    Priority: "optional",
    Description: `${SUMMARY}\n ${DESCRIPTION}`,
  };
  write(
    control,
    "control",
    Object.entries(fields)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join(""),
    0o644,
  );
  write(control, "conffiles", `${SETTINGS_FILE}\n`, 0o644);
  for (const [name, script] of Object.entries(DEB_SCRIPTS)) write(control, name, `#!/bin/sh\nset -e\n${script}`, 0o755);
  const flags = ["--root-owner-group", ...DEB_COMPRESSION];
  await run("dpkg-deb", [...flags, "--build", folder, options.output], { env: dated(options.date) });
  rmSync(folder, { recursive: true });
}

export async function buildRpm(architecture: "x86_64" | "aarch64", options: PackageOptions): Promise<undefined> {
  const folder = join(options.work, "rpm");
  const tree = join(folder, "tree");
  rmSync(folder, { recursive: true, force: true });
  const entries = packageEntries("rpm", options.executable, options.parts);
  stage(tree, entries);
  const files = entries.map(({ path, mode }) => {
    const kind = `/${path}` === SETTINGS_FILE ? "%config(noreplace) " : "";
    return `${kind}%attr(${mode.toString(8)},root,root) "/${path}"`;
  });
  const spec = [
    "Name: coder",
    `Version: ${options.version}`,
    "Release: 1",
    `Summary: ${SUMMARY}`,
    "License: Apache-2.0",
    `URL: ${SITE}`,
    // The executable provides nothing for other packages, and its requirements are these.
    "AutoReqProv: no",
    "Requires: glibc >= 2.28, libstdc++, libgcc",
    "Recommends: ca-certificates, openssh-clients",
    "",
    "%description",
    DESCRIPTION,
    "",
    ...Object.entries(RPM_SCRIPTS).flatMap(([name, script]) => [`%${name}`, script]),
    "%files",
    '%dir "/etc/coder"',
    ...files,
    "",
  ].join("\n");
  write(folder, "coder.spec", spec, 0o644);
  const macros = {
    _topdir: folder,
    _dbpath: join(folder, "db"),
    _rpmdir: join(folder, "made"),
    _tmppath: folder,
    _binary_payload: RPM_COMPRESSION,
    _build_id_links: "none",
    debug_package: "%{nil}",
    __os_install_post: "%{nil}",
    _buildhost: "localhost",
    use_source_date_epoch_as_buildtime: "1",
    clamp_mtime_to_source_date_epoch: "1",
    source_date_epoch_from_changelog: "0",
  };
  const defined = Object.entries(macros).flatMap(([name, value]) => ["--define", `${name} ${value}`]);
  const target = ["--target", `${architecture}-unknown-linux`];
  const env = dated(options.date);
  // From here files are as old as the release; newer ones are clamped to it.
  await run("rpmbuild", ["-bb", "--quiet", ...target, ...defined, "--buildroot", tree, join(folder, "coder.spec")], {
    env,
  });
  const made = join(folder, "made", architecture);
  renameSync(join(made, readdirSync(made)[0]!), options.output);
  rmSync(folder, { recursive: true });
}

/**
 * Installation starts nothing. An upgrade restarts the server, whose connections re-establish themselves; not an agent,
 * which holds users' shells.
 */
const scripts = (
  upgraded: string,
): string => `if command -v systemd-sysusers >/dev/null; then systemd-sysusers coder.conf; fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  if ${upgraded}; then systemctl try-restart coder-server.service; fi
fi
`;
const STOP = `if [ -d /run/systemd/system ]; then
  systemctl disable --quiet --now coder-server.service coder-agent.service || true
fi
`;
const RELOAD = `if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
`;

const DEB_SCRIPTS = {
  postinst: `[ "$1" = configure ] || exit 0\n${scripts('[ -n "$2" ]')}`,
  prerm: `[ "$1" = remove ] || exit 0\n${STOP}`,
  // The state, with users and keys, may be removed by the administrator only.
  postrm: `${RELOAD}if [ "$1" = purge ]; then\n  rm -f /etc/coder/agent.env\n  rmdir --ignore-fail-on-non-empty /etc/coder 2>/dev/null || true\nfi\n`,
};

const RPM_SCRIPTS = {
  post: scripts('[ "$1" -gt 1 ]'),
  preun: `[ "$1" -eq 0 ] || exit 0\n${STOP}`,
  postun: RELOAD,
};

function write(folder: string, name: string, text: string, mode: number): void {
  writeFileSync(join(folder, name), text);
  chmodSync(join(folder, name), mode);
}

function dated(date: number): NodeJS.ProcessEnv {
  return { ...process.env, SOURCE_DATE_EPOCH: String(date) };
}

function sizeOf(folder: string): number {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names
    .map((name) => statSync(join(folder, name)))
    .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
}
