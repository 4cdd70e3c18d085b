/** The install scripts with the shells and download programs of minimal machines, in separate home directories and namespaces. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { platformOfNode, programFile } from "../../src/downloads/names.ts";
import { send, startServer, type TestServer, temporaryDirectory } from "../helpers.ts";
import { ForwardProxy } from "./forward-proxy.ts";

const isThere = (name: string) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
const missing = ["dash", "busybox", "curl", "wget", "gpg", "openssl", "unshare", "setpriv", "shellcheck"].filter(
  (name) => !isThere(name),
);
if (process.getuid?.() !== 0) missing.push("root");

/** The path of a tool on the testing machine. */
const where = (tool: string) => execFileSync("sh", ["-c", `command -v ${tool}`], { encoding: "utf8" }).trim();

const PROGRAM = programFile(
  platformOfNode(process.platform, process.arch) ?? { system: "linux", architecture: "amd64" },
);
const TOKEN = "0f0e0d0c-1111-4222-8333-944455556666";
const SEEN = `$CODER_AGENT_URL $CODER_AGENT_TOKEN \${CODER_CA_FILE:-$SSL_CERT_FILE}`;
const coder = (version: string) => `#!/bin/sh
case "$1" in
  version) echo "Coder ${version} (a script)" ;;
  agent) echo "agent\${2:+ $2} of ${SEEN}"; [ -z "$SHOW_UMASK" ] || umask ;;
esac
`;

interface Done {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe.skipIf(missing.length > 0)(`install scripts (missing here: ${missing.join(", ") || "nothing"})`, () => {
  const folder = temporaryDirectory();
  const binaries = join(folder, "binaries");
  const certificate = join(folder, "cert.pem");
  /** For each download program, a folder to use as PATH. */
  const paths = { curl: join(folder, "with-curl"), wget: join(folder, "with-wget"), busybox: join(folder, "busybox") };
  const SHELLS = [
    { name: "dash with curl", shell: ["dash"], path: paths.curl },
    { name: "dash with wget", shell: ["dash"], path: paths.wget },
    { name: "busybox alone", shell: ["busybox", "sh"], path: paths.busybox },
    { name: "busybox with curl", shell: ["busybox", "sh"], path: paths.curl },
  ];
  let plain: TestServer;
  let secure: TestServer;
  let homes = 0;

  beforeAll(async () => {
    mkdirSync(binaries);
    offer("v9.1.2+one");
    const tools =
      "sh cat cp id uname mkdir mktemp mv rm chmod chown sha256sum cut grep tail head tr sed sleep stty gpg env";
    for (const [name, path] of Object.entries(paths)) {
      mkdirSync(path);
      if (name === "busybox") execFileSync("busybox", ["--install", "-s", path]);
      else for (const tool of [...tools.split(" "), "dash", name]) link(tool, path);
      if (!existsSync(join(path, "busybox"))) link("busybox", path);
    }
    execFileSync(
      "openssl",
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=private -addext subjectAltName=IP:127.0.0.1 -keyout ${join(folder, "key.pem")} -out ${certificate}`.split(
        " ",
      ),
      { stdio: "ignore" },
    );
    plain = await startServer({ flags: { "binaries-dir": binaries } });
    secure = await startServer({
      flags: {
        "binaries-dir": binaries,
        "tls-enable": true,
        "tls-address": "127.0.0.1:0",
        "tls-cert-file": certificate,
        "tls-key-file": join(folder, "key.pem"),
      },
    });
  });
  afterAll(async () => {
    await plain?.[Symbol.asyncDispose]();
    await secure?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  function link(tool: string, path: string): void {
    symlinkSync(where(tool), join(path, tool));
  }

  /** Creates a new file, just as a release is copied into its place. */
  function offer(version: string): void {
    rmSync(join(binaries, PROGRAM), { force: true });
    writeFileSync(join(binaries, PROGRAM), coder(version));
  }

  function home(): string {
    const path = join(folder, `home ${++homes}`);
    mkdirSync(path);
    return path;
  }

  async function script(name: string, from = plain): Promise<string> {
    return (await send(from.url, "GET", name)).text;
  }
  const AGENT = "/api/v2/init-script/linux/amd64";

  /** Runs the script from stdin, like a pipe from curl. */
  async function run(
    command: readonly string[],
    text: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv,
  ): Promise<Done> {
    const [file = "", ...words] = command;
    const child = spawn(where(file), [...words, "-s", "--", ...args], {
      env: environment,
      cwd: folder,
      detached: true,
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdin.on("error", () => undefined); // the script may end before it has read everything
    child.stdin.end(text);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    return { code, stdout, stderr };
  }

  /** Uses a user's prefix, because the tests run as root. */
  const dash = (text: string, args: readonly string[], extra: NodeJS.ProcessEnv = {}, path = paths.curl) =>
    run(["dash"], text, args, { PATH: path, HOME: folder, ...extra });

  test.each(SHELLS)("$name: installs, is up to date, updates, uninstalls", async ({ shell, path }) => {
    const text = await script("/install.sh");
    const prefix = home();
    const target = join(prefix, "bin", "coder");
    const env = { PATH: path, HOME: folder };
    const go = (...args: string[]) => run(shell, text, ["--prefix", prefix, ...args], env);
    offer("v9.1.2+one");
    const planned = await go("--dry-run");
    expect(planned).toMatchObject({ code: 0, stderr: expect.stringContaining(`install it as ${target}`) });
    expect(readdirSync(prefix)).toEqual([]);
    const first = await go();
    expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining(`Installed ${target} (v9.1.2+one).`) });
    expect(first.stderr).toContain(`export PATH="${join(prefix, "bin")}:$PATH"`);
    expect(first.stderr).toContain(`login ${plain.url}`);
    expect(statSync(target).mode & 0o777).toBe(0o755);
    expect((await go()).stderr).toContain("is up to date (v9.1.2+one)");
    offer("v9.2.0+two");
    expect((await go("--version", "9.1.2")).stderr).toContain("offers v9.2.0+two, not 9.1.2");
    expect(readFileSync(target, "utf8")).toContain("v9.1.2+one");
    expect((await go("--version=v9.2.0")).stderr).toContain("(v9.1.2+one) by v9.2.0+two.");
    expect(readdirSync(join(prefix, "bin"))).toEqual(["coder"]);
    expect((await go("--uninstall")).stderr).toContain(`Removed ${target}`);
    expect(existsSync(target)).toBe(false);
    expect((await go("--uninstall")).code).toBe(0);
  });

  test.each(SHELLS)("$name: becomes the agent, with the token in its environment", async (how) => {
    offer("v9.1.2+one");
    const text = await script(AGENT);
    const prefix = home();
    const env = { PATH: how.path, HOME: folder, CODER_AGENT_TOKEN: TOKEN };
    const done = await run(how.shell, text, ["--prefix", prefix], env);
    expect(done).toMatchObject({ code: 0, stdout: `agent of ${plain.url} ${TOKEN} \n` });
    const nobodys = await run(how.shell, text, ["--prefix", home()], { ...env, CODER_AGENT_TOKEN: "" });
    expect(nobodys).toMatchObject({ code: 1, stderr: expect.stringContaining("CODER_AGENT_TOKEN is not set") });
    writeFileSync(join(folder, "token"), `${TOKEN}\n`);
    const fromFile = { ...env, CODER_AGENT_TOKEN: "", CODER_AGENT_TOKEN_FILE: join(folder, "token") };
    expect((await run(how.shell, text, ["--prefix", prefix], fromFile)).stdout).toContain(TOKEN);
  });

  test("https of a private authority: refused without it, by option and by variable with it", async () => {
    offer("v9.1.2+one");
    const url = `https://127.0.0.1:${secure.server.tlsAddress?.port}`;
    const text = await script(AGENT, secure);
    expect(text).toContain(`BASE='${url}'`);
    const env = { CODER_AGENT_TOKEN: TOKEN };
    for (const path of [paths.curl, paths.wget]) {
      const refused = await dash(text, ["--prefix", home()], env, path);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("--ca-file") });
      const byOption = await dash(text, ["--prefix", home(), "--ca-file", "cert.pem"], env, path);
      expect(byOption).toMatchObject({ code: 0, stdout: `agent of ${url} ${TOKEN} ${certificate}\n` });
      for (const name of ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "CODER_CA_FILE"])
        expect(await dash(text, ["--prefix", home()], { ...env, [name]: "cert.pem" }, path)).toMatchObject({
          code: 0,
          stdout: `agent of ${url} ${TOKEN} ${certificate}\n`,
        });
    }
    const blind = await dash(text, ["--prefix", home(), "--ca-file", certificate], env, paths.busybox);
    expect(blind).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot check the certificate") });
  });

  test.each(Object.entries(paths))("a proxy is used, by %s", async (_program, path) => {
    offer("v9.1.2+one");
    const base = "http://coder.invalid:1234";
    const text = (await script("/install.sh")).replaceAll(plain.url, base);
    const refused = await dash(
      text.replace("2 5 0", "0"),
      ["--prefix", home()],
      { http_proxy: "http://127.0.0.1:1" },
      path,
    );
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("set https_proxy") });
    expect(refused.stderr).toMatch(/127\.0\.0\.1|Connection refused/);
    await using proxy = await ForwardProxy.start(plain.port);
    const done = await dash(text, ["--prefix", home()], { http_proxy: proxy.url }, path);
    expect(done).toMatchObject({ code: 0, stderr: expect.stringContaining("(v9.1.2+one)") });
    expect(proxy.asked).toEqual([`GET ${base}/bin/SHA256SUMS`, `GET ${base}/bin/${PROGRAM}`]);
  });

  test.each([
    ["curl", "https_proxy"],
    ["curl", "HTTPS_PROXY"],
    ["wget", "https_proxy"],
    ["wget", "HTTPS_PROXY"],
  ] as const)("https goes through a proxy's tunnel, by %s with %s", async (program, variable) => {
    offer("v9.1.2+one");
    const port = secure.server.tlsAddress?.port ?? 0;
    const text = await script("/install.sh", secure);
    await using proxy = await ForwardProxy.start(port);
    const env = { [variable]: proxy.url, CODER_CA_FILE: certificate };
    const done = await dash(text, ["--prefix", home()], env, paths[program]);
    expect(done).toMatchObject({ code: 0, stderr: expect.stringContaining("(v9.1.2+one)") });
    expect([...new Set(proxy.asked)]).toEqual([`CONNECT 127.0.0.1:${port}`]);
  });

  test.each(Object.entries(paths))("a download that stands still ends, by %s", async (_program, path) => {
    const silent = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    });
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = silent.address() as AddressInfo;
      const text = (await script("/install.sh"))
        .replaceAll(plain.url, `http://127.0.0.1:${port}`)
        .replace("2 5 0", "0")
        .replace("--speed-time 60", "--speed-time 1")
        .replace("--timeout=60", "--timeout=1")
        .replace("-T 60", "-T 1")
        .replace("timeout 3600", "timeout 1");
      const done = await dash(text, ["--prefix", home()], {}, path);
      expect(done).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot fetch") });
    } finally {
      silent.close();
    }
  });

  test.each([
    [56, "curl: (56) OpenSSL SSL_read: Connection reset by peer, errno 104", "cannot fetch", 3],
    [35, "curl: (35) OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to x:443", "cannot fetch", 3],
    [60, "curl: (60) SSL certificate problem: self-signed certificate", "is not trusted", 1],
    [77, "curl: (77) error setting certificate file: own.pem", "is not trusted", 1],
  ])(
    "curl's exit status %i leads to the right reason, and to another attempt only if that may help",
    async (code, said, reason, times) => {
      const path = home();
      for (const tool of readdirSync(paths.curl))
        if (tool !== "curl") symlinkSync(join(paths.curl, tool), join(path, tool));
      const asked = join(path, "asked");
      writeFileSync(
        join(path, "curl"),
        `#!/bin/sh\n[ "$1" = -V ] && exit\necho >>'${asked}'\necho '${said}' >&2\nexit ${code}\n`,
        {
          mode: 0o755,
        },
      );
      const text = (await script("/install.sh")).replace("2 5 0", "0 0 0");
      const done = await dash(text, ["--prefix", home()], {}, path);
      expect(done).toMatchObject({ code: 1, stderr: expect.stringContaining(reason) });
      expect(done.stderr).toContain(said);
      expect(readFileSync(asked, "utf8")).toHaveLength(times);
    },
  );

  test("the agent has the umask that the script was started with, and the command is for all users", async () => {
    offer("v9.1.2+one");
    writeFileSync(join(folder, "agent.sh"), await script(AGENT));
    const prefix = home();
    const env = { PATH: paths.curl, HOME: folder, CODER_AGENT_TOKEN: TOKEN, SHOW_UMASK: "1" };
    const words = ["sh", "-c", `umask 077; exec dash agent.sh --prefix '${prefix}'`];
    const done = await run(words, "", [], env);
    expect(done).toMatchObject({ code: 0, stdout: `agent of ${plain.url} ${TOKEN} \n0077\n` });
    expect(statSync(join(prefix, "bin", "coder")).mode & 0o777).toBe(0o755);
  });

  test("damage, a bad signature, a missing program: each fails with its reason, and nothing is left behind", async () => {
    offer("v9.1.2+one");
    const text = await script("/install.sh");
    const prefix = home();
    const refuses = async (reason: string, args: string[] = [], path = paths.curl) => {
      const done = await dash(text, ["--prefix", prefix, ...args], {}, path);
      expect(done).toMatchObject({ code: 1, stderr: expect.stringContaining(reason) });
      expect(existsSync(join(prefix, "bin")) ? readdirSync(join(prefix, "bin")) : []).toEqual([]);
    };
    writeFileSync(join(binaries, "SHA256SUMS"), `${"0".repeat(64)}  ${PROGRAM}\n`);
    await refuses("is not what");
    rmSync(join(binaries, "SHA256SUMS"));
    const gnupg = join(folder, "gnupg");
    mkdirSync(gnupg, { mode: 0o700 });
    const gpg = (...args: string[]) =>
      execFileSync("gpg", ["--homedir", gnupg, "--batch", "--quiet", "--yes", ...args], { stdio: "pipe" });
    gpg("--passphrase", "", "--quick-generate-key", "release@example.com", "ed25519", "sign", "never");
    writeFileSync(join(folder, "release.key"), gpg("--armor", "--export", "release@example.com"));
    const key = ["--gpg-key", join(folder, "release.key")];
    await refuses("has no signature", key);
    gpg("--armor", "--output", join(binaries, `${PROGRAM}.asc`), "--detach-sign", certificate);
    await refuses("was not signed by", key);
    gpg("--armor", "--output", join(binaries, `${PROGRAM}.asc`), "--detach-sign", join(binaries, PROGRAM));
    const good = await dash(text, ["--prefix", home(), ...key]);
    expect(good).toMatchObject({ code: 0, stderr: expect.stringContaining("The signature is good.") });
    rmSync(join(binaries, `${PROGRAM}.asc`));
    execFileSync("gpgconf", ["--homedir", gnupg, "--kill", "all"]);

    await refuses("unknown option --prefx", ["--prefx"]);
    await refuses("--version needs a value", ["--version"]);
    const bare = join(folder, "bare");
    mkdirSync(bare);
    for (const tool of ["dash", "uname", "id", "mkdir", "grep"]) link(tool, bare);
    await refuses("neither curl nor wget is installed", [], bare);
    rmSync(join(binaries, PROGRAM));
    await refuses("does not hand out coder");
    writeFileSync(join(binaries, "coder-darwin-arm64"), "another");
    await refuses("it has: coder-darwin-arm64");
    rmSync(join(binaries, "coder-darwin-arm64"));
    writeFileSync(join(binaries, PROGRAM), "#!/no/such/loader\n");
    await refuses("its loader is missing");
    await refuses("npm install -g @coder-network/cli");
  });

  test("a truncated script does nothing", async () => {
    const text = await script("/install.sh");
    const prefix = home();
    for (const share of [0.2, 0.5, 0.9, 0.99]) {
      await dash(text.slice(0, Math.floor(text.length * share)), ["--prefix", prefix]);
      expect(readdirSync(prefix)).toEqual([]);
    }
  });

  test("root installs for all users, users for themselves; noexec is named", async () => {
    offer("v9.1.2+one");
    const text = await script("/install.sh");
    const space = ["unshare", "-m", "--propagation", "private", "sh", "-c"];
    const inSpace = (setup: string, args: string, env: NodeJS.ProcessEnv) =>
      run([...space, `${setup}; dash -s -- ${args}; ls -l /usr/local/bin/coder`], text, [], env);
    const env = { PATH: process.env["PATH"], HOME: folder };
    const shared = await inSpace("mount -t tmpfs none /usr/local", "", env);
    expect(shared).toMatchObject({ code: 0, stderr: expect.stringContaining("Installed /usr/local/bin/coder") });
    expect(shared.stdout).toMatch(/^-rwxr-xr-x 1 root root/);
    const own = join(folder, "own");
    mkdirSync(own);
    execFileSync("chown", ["65534", own]);
    execFileSync("chmod", ["755", folder]);
    const unprivileged = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "dash"];
    const user = await run(unprivileged, text, [], { ...env, HOME: own });
    expect(user).toMatchObject({ code: 0, stderr: expect.stringContaining(`Installed ${own}/.local/bin/coder`) });
    const homeless = await run(unprivileged, text, [], { ...env, HOME: "/proc" });
    expect(homeless).toMatchObject({ code: 1, stderr: expect.stringContaining("--prefix DIR") });
    const agent = await run(unprivileged, await script(AGENT), [], { ...env, HOME: "/proc", CODER_AGENT_TOKEN: TOKEN });
    expect(agent).toMatchObject({ code: 0, stdout: `agent of ${plain.url} ${TOKEN} \n` });
    const noexec = await inSpace("mount -t tmpfs -o noexec none /usr/local", "", env);
    expect(noexec.stderr).toContain("it is mounted noexec");
    expect(noexec.stderr).toContain("cannot access '/usr/local/bin/coder'");
  });

  test("a service: the command installs it, with what the script knows, and removes it before itself", async () => {
    offer("v9.1.2+one");
    const text = await script(AGENT);
    const unit = "/etc/systemd/system/coder-agent.service";
    const steps = [
      "cat >$TMPDIR/agent.sh",
      "mount -t tmpfs none /usr/local; mount -t tmpfs none /etc/systemd",
      "dash $TMPDIR/agent.sh --service --dry-run",
      "dash $TMPDIR/agent.sh --service",
      `mkdir -p /etc/systemd/system; echo >${unit}`,
      "dash $TMPDIR/agent.sh --uninstall --dry-run",
      "dash $TMPDIR/agent.sh --uninstall",
      "ls /usr/local/bin",
      "dash $TMPDIR/agent.sh --uninstall",
    ];
    const temporary = join(folder, "tmp");
    mkdirSync(temporary);
    const env = {
      PATH: process.env["PATH"],
      TMPDIR: temporary,
      CODER_AGENT_TOKEN: TOKEN,
      CODER_CA_FILE: certificate,
    };
    const command = ["unshare", "-m", "--propagation", "private", "sh", "-c", steps.join("\n")];
    const done = await run(command, text, [], env);
    expect(done.stderr).toContain(`as a service, by ${unit}`);
    expect(done.stderr).toContain(`Would remove /usr/local/bin/coder and ${unit}.`);
    expect(done.stdout).toBe(
      `agent install of ${plain.url} ${TOKEN} ${certificate}\nagent uninstall of  ${TOKEN} ${certificate}\n`,
    );
    // No package owns this test's unit, so the unit still exists, unlike the command that would remove it.
    expect(done.stderr).toContain("Removed /usr/local/bin/coder.");
    expect(done).toMatchObject({ code: 1, stderr: expect.stringContaining("could not be removed") });
  });

  test("the one line of a workspace works as printed, with curl and with wget", async () => {
    offer("v9.1.2+one");
    const { agentCommand } = await import("../../src/install/agent-command.ts");
    const line = agentCommand(new URL(plain.url), { operating_system: "linux", architecture: "amd64" } as never, TOKEN);
    for (const path of Object.values(paths)) {
      const env = { PATH: path, HOME: home() };
      const space = ["unshare", "-m", "--propagation", "private", "/bin/sh", "-c"];
      const inner = `/bin/mount -t tmpfs none /usr/local; exec /bin/sh`;
      const done = await run([...space, inner], `${line}\n`, [], env);
      expect(done).toMatchObject({ code: 0, stdout: `agent of ${plain.url} ${TOKEN} \n` });
    }
  });

  test("shellcheck reports nothing, and dash and busybox parse it", async () => {
    for (const name of ["/install.sh", AGENT]) {
      const input = await script(name);
      expect(spawnSync("shellcheck", ["-s", "sh", "-"], { input, encoding: "utf8" }).stdout).toBe("");
      for (const [shell = "", ...words] of [["dash"], ["busybox", "sh"]])
        expect(spawnSync(shell, [...words, "-n"], { input, encoding: "utf8" })).toMatchObject({
          status: 0,
          stderr: "",
        });
    }
  });
});
