/** The artefacts of a release besides executables, installed, unpacked and run in separate roots and namespaces. */
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeBareRoot } from "./bare-root.ts";
import { builtRelease, find, packagersMissing, without } from "./release.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "coder-packages-"));
let release: string;
const missing = [
  ...(process.platform === "linux" && process.arch === "x64" ? [] : ["Linux on x64"]),
  ...(process.getuid?.() === 0 ? [] : ["root"]),
  ...packagersMissing,
  ...["dpkg", "rpm", "chroot", "unshare", "ip", "curl", "tar", "ldd", "busybox", "pgrep"].filter(
    (name) => find(name) === undefined,
  ),
];
/** Packages cannot reach the machine's own service manager. */
const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/" };

beforeAll(async () => {
  if (missing.length === 0) release = await builtRelease();
}, 900_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(missing.length > 0)(`the artefacts of a release${without(missing)}`, () => {
  const only = (pattern: RegExp): string => join(release, readdirSync(release).find((name) => pattern.test(name))!);

  it("are listed with their checksums, each once", async () => {
    await run("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: release });
    const listed = readFileSync(join(release, "SHA256SUMS"), "utf8")
      .trim()
      .split("\n")
      .map((line) => line.slice(66));
    const others = ["SHA256SUMS", "artefacts.md", "run-of-tests"];
    expect(listed.sort()).toEqual(
      readdirSync(release)
        .filter((name) => !others.includes(name))
        .sort(),
    );
    const rows = readFileSync(join(release, "artefacts.md"), "utf8").matchAll(
      /^\| `(\S+)` \| [\d.]+ [kM]B \| `([0-9a-f]{64})` \|$/gm,
    );
    const sums = [...rows].map(([, file, sha256]) => `${sha256}  ${file}\n`).join("");
    expect(sums).toBe(readFileSync(join(release, "SHA256SUMS"), "utf8"));
  });

  it("a .deb installs beside what it depends on, keeps edited settings, and goes without a trace of itself", async () => {
    const root = packageRoot("deb");
    const status = join(root, "var/lib/dpkg");
    mkdirSync(join(status, "updates"), { recursive: true });
    mkdirSync(join(status, "info"));
    const installed = [
      ["libc6", "2.36-9"],
      ["libstdc++6", "12.2.0-14"],
      ["libgcc-s1", "12.2.0-14"],
    ].map(
      ([name, version]) =>
        `Package: ${name}\nStatus: install ok installed\nVersion: ${version}\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n`,
    );
    const dpkg = (...words: string[]) => run("dpkg", [`--root=${root}`, "--force-confold", ...words], { env });
    const deb = only(/_amd64\.deb$/);
    await expect(dpkg("--install", deb)).rejects.toMatchObject({ stderr: expect.stringContaining("libstdc++6") });
    rmSync(status, { recursive: true });
    mkdirSync(join(status, "updates"), { recursive: true });
    mkdirSync(join(status, "info"));
    writeFileSync(join(status, "status"), installed.join("\n"));
    await dpkg("--install", deb);
    expect((await run("chroot", [root, "/usr/bin/coder", "version"], { env })).stdout).toMatch(/^Coder v/);
    expectLicences(join(root, "usr/share/doc/coder"));
    const settings = join(root, "etc/coder/server.env");
    expect(statSync(settings).mode & 0o777).toBe(0o600);
    appendFileSync(settings, 'CODER_ACCESS_URL="https://coder.example.com"\n');
    writeFileSync(join(root, "etc/coder/agent.env"), "CODER_AGENT_TOKEN=x\n");
    await dpkg("--install", deb);
    expect(readFileSync(settings, "utf8")).toContain("coder.example.com");
    await dpkg("--remove", "coder");
    expect([existsSync(join(root, "usr/bin/coder")), existsSync(settings)]).toEqual([false, true]);
    await dpkg("--purge", "coder");
    expect(existsSync(join(root, "etc/coder"))).toBe(false);
  });

  it("an .rpm installs and is removed again, with settings that are the administrator's", async () => {
    const root = packageRoot("rpm");
    const rpm = (...words: string[]) => run("rpm", [`--root=${root}`, "--dbpath=/var/lib/rpm", ...words], { env });
    await rpm("--install", "--nodeps", only(/\.x86_64\.rpm$/));
    expect((await run("chroot", [root, "/usr/bin/coder", "version"], { env })).stdout).toMatch(/^Coder v/);
    expectLicences(join(root, "usr/share/licenses/coder"));
    expect((await rpm("-q", "--configfiles", "coder")).stdout).toBe("/etc/coder/server.env\n");
    expect((await rpm("-q", "--requires", "coder")).stdout).toContain("glibc >= 2.28");
    await rpm("--verify", "--nodeps", "coder");
    await rpm("--erase", "coder");
    expect([existsSync(join(root, "usr/bin/coder")), existsSync(join(root, "etc/coder/server.env"))]).toEqual([
      false,
      false,
    ]);
  });

  it("an archive has the command with its manual and completions", async () => {
    const target = join(folder, "archive");
    mkdirSync(target);
    const file = only(/linux-amd64\.tar\.gz$/);
    await run("tar", ["-xzf", file, "-C", target]);
    const inside = join(target, readdirSync(target)[0]!);
    expect(readdirSync(inside).sort()).toEqual([
      "LICENSE",
      "LICENSE.node",
      "README.md",
      "THIRD-PARTY-LICENSES.txt",
      "coder",
      "completions",
      "man",
      "systemd",
    ]);
    expectLicences(inside);
    expect((await run(join(inside, "coder"), ["version"])).stdout).toMatch(/^Coder v/);
    expect(readdirSync(join(inside, "man/man1"))).toContain("coder-agent-install.1");
    await run("bash", ["-n", join(inside, "completions/coder.bash")]);
    const { stdout } = await run("tar", ["-tvzf", file]);
    expect(stdout).not.toMatch(/^\S+ (?!0\/0|root\/root)/m);
  });

  it.skipIf(find("systemd-analyze") === undefined)("the server's unit is as confined as measured", () => {
    const root = join(folder, "units");
    mkdirSync(root);
    execFileSync("dpkg-deb", ["-x", only(/_amd64\.deb$/), root]);
    const words = ["security", "--offline=true", `--root=${root}`, "--no-pager", "--threshold=20"];
    const said = execFileSync("systemd-analyze", [...words, "coder-server.service"], { encoding: "utf8", env });
    // "1.3 OK": out of 10, where a service without any restriction has 9.6.
    const level = Number(/Overall exposure level for coder-server\.service: ([\d.]+)/.exec(said)?.[1]);
    expect(level).toBeGreaterThan(0);
    expect(level).toBeLessThanOrEqual(1.5);
  });

  it("an image matches its digests, and its server answers as process 1, as a person, on volumes as Kubernetes mounts them", async () => {
    const { root, config } = await unpackImage(only(/amd64\.oci\.tar$/));
    expect(config.config).toMatchObject({ User: "1000:1000", Entrypoint: ["/usr/bin/coder"], Cmd: ["server"] });
    expect(existsSync(join(root, "bin/sh"))).toBe(false);
    expectLicences(join(root, "usr/share/doc/coder"));
    const variables = [...config.config.Env, "CODER_STUN_ADDRESS=disable", "CODER_DERP_SERVER_STUN_ADDRESSES=disable"];
    const inside = ["env", "-i", ...variables, find("chroot")!, "--userspec=1000:1000", root];
    const words = (command: readonly string[]) => command.map((word) => `'${word}'`).join(" ");
    const script = [
      "ip link set lo up",
      `mount --bind ${root} ${root} && mount -o remount,ro,bind ${root}`,
      // Without a sticky bit; the state belongs to root with the pod's group.
      `mount -t tmpfs -o mode=0777 none ${root}/tmp`,
      `mount -t tmpfs -o mode=2777,uid=0,gid=1000 none ${root}/var/lib/coder`,
      `unshare --pid --fork --kill-child ${words([...inside, "/usr/bin/coder", "server"])} >${folder}/server.log 2>&1 &`,
      `${words([...inside, "/usr/bin/coder", "version", "-v"])}`,
      `tries=0; until curl -fsS http://127.0.0.1:3000/healthz 2>/dev/null; do tries=$((tries + 1)); [ $tries -lt 300 ] || exit 1; sleep 0.2; done`,
      `echo; ${words([...inside, "/usr/bin/coder", "server", "health"])}`,
      // Process 1 of the namespace is the server: it must end on its own, not with the namespace.
      `pid=$(pgrep -u 1000 -x node-MainThread | head -n 1); kill $pid; wait; cat ${folder}/server.log`,
    ].join("\n");
    const space = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-eu", "-c", script];
    const { stdout } = await run("unshare", space, { env, timeout: 200_000 }).catch(
      (error: { stdout: string; stderr: string }) => {
        throw new Error(`${error.stdout}${error.stderr}${readFileSync(join(folder, "server.log"), "utf8")}`, {
          cause: error,
        });
      },
    );
    expect(stdout).toMatch(/^Coder v[^\n]+\n/);
    expect(stdout).toContain("Terminals: by koffi, from /tmp/cache/coder/native/koffi-");
    expect(stdout).toContain("the state directory is open: every user of this machine may replace what is in it");
    expect(stdout).toContain("OK\nhttp://127.0.0.1:3000/healthz is healthy\n");
    expect(stdout).toMatch(/stopping|stopped/);
  });
});

/** Licences of the packages in the bundles, and of those whose native modules are included. */
function expectLicences(folder: string): void {
  const text = readFileSync(join(folder, "THIRD-PARTY-LICENSES.txt"), "utf8");
  for (const name of ["ws", "koffi", "bufferutil", "preact"]) expect(text).toMatch(new RegExp(`^${name} \\d`, "m"));
  expect(existsSync(join(folder, "LICENSE.node"))).toBe(true);
}

/** Contains busybox for the maintainer scripts, and the libraries of the executable. */
function packageRoot(name: string): string {
  const root = join(folder, name);
  makeBareRoot(root, ["busybox"], [join(release, "coder-linux-amd64")]);
  for (const tool of ["sh", "rm", "rmdir"]) execFileSync("ln", ["-s", "busybox", join(root, "usr/bin", tool)]);
  return root;
}

interface ImageConfig {
  readonly config: {
    readonly User: string;
    readonly Env: string[];
    readonly Entrypoint: string[];
    readonly Cmd: string[];
  };
  readonly rootfs: { readonly diff_ids: string[] };
}

/** Does what a container engine does: from the index by digests to the layers, one on top of the other. */
async function unpackImage(file: string): Promise<{ root: string; config: ImageConfig }> {
  const layout = join(folder, "layout");
  const root = join(folder, "image");
  mkdirSync(layout);
  mkdirSync(root);
  await run("tar", ["-xf", file, "-C", layout]);
  const blob = ({ digest, size }: { digest: string; size: number }): string => {
    const path = join(layout, "blobs", digest.replace(":", "/"));
    const content = readFileSync(path);
    expect([content.length, `sha256:${createHash("sha256").update(content).digest("hex")}`]).toEqual([size, digest]);
    return path;
  };
  const json = <T>(path: string): T => JSON.parse(readFileSync(path, "utf8")) as T;
  type Descriptor = { digest: string; size: number };
  const index = json<{ manifests: Descriptor[] }>(join(layout, "index.json"));
  const manifest = json<{ config: Descriptor; layers: Descriptor[] }>(blob(index.manifests[0]!));
  const config = json<ImageConfig>(blob(manifest.config));
  for (const [at, layer] of manifest.layers.entries()) {
    const path = blob(layer);
    const plain = execFileSync("gzip", ["-dc", path], { maxBuffer: 1 << 28 });
    expect(`sha256:${createHash("sha256").update(plain).digest("hex")}`).toBe(config.rootfs.diff_ids[at]);
    await run("tar", ["-xzpf", path, "--same-owner", "-C", root]);
  }
  return { root, config };
}
