import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { agentCommand } from "../src/install/agent-command.ts";
import { installScriptForWindows } from "../src/install/install-ps1.ts";
import { installScript } from "../src/install/install-sh.ts";
import { powershellQuote, shellQuote } from "../src/install/quoting.ts";
import { send, startServer, temporaryDirectory } from "./helpers.ts";

const TOKEN = "0f0e0d0c-1111-4222-8333-944455556666";
const PATHS = ["/install.sh", "/install.ps1", "/api/v2/init-script/linux/amd64", "/api/v2/init-script/windows/amd64"];

test("scripts name the access URL, whatever Host the request has", async () => {
  await using at = await startServer({
    flags: { "access-url": "https://coder.example.com:8443", "allowed-hosts": "*" },
  });
  for (const path of PATHS) {
    const text = (await send(at.url, "GET", path)).text;
    expect(text).toContain("'https://coder.example.com:8443'");
    for (const host of ["evil.example", "localhost:1", "$(touch.x)", "a`id`", "x';id;'", 'x"', "a\tb"]) {
      const headers = { Host: host, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher" };
      const answer = await send(at.url, "GET", path, { headers });
      if (answer.status === 200) expect(answer.text).toBe(text);
      else expect(answer.status).toBe(421);
      expect(answer.text).not.toContain("evil");
    }
  }
  // Without an access URL the script uses the address on which the server listens, not the requested name.
  await using open = await startServer({ flags: { "allowed-hosts": "*" } });
  const named = await send(open.url, "GET", "/install.sh", { headers: { Host: "evil.example" } });
  expect(named.text).toContain(`BASE='${open.url}'`);
});

test("a URL is one word of the shell and one string of PowerShell, whatever is in it", () => {
  // Characters that the URL standard permits in a host.
  const accessUrl = new URL("https://a';$(id)`id`\"&!{}.example");
  for (const agent of [false, true]) {
    const text = installScript({ accessUrl, agent });
    const script = `${text.slice(0, text.lastIndexOf("main"))}\nprintf %s "$BASE"\n`;
    const done = spawnSync("sh", ["-s"], { input: script, encoding: "utf8" });
    expect(done).toMatchObject({ status: 0, stdout: accessUrl.origin, stderr: "" });
    const windows = installScriptForWindows({ accessUrl, agent });
    expect(windows).toContain(`$base = '${accessUrl.origin.replaceAll("'", "''")}'`);
    expect(windows.split("\r\n").filter((line) => line.includes("a'"))).toHaveLength(1);
  }
  expect(shellQuote("it's")).toBe("'it'\\''s'");
  expect(powershellQuote("it's \u2019")).toBe("'it''s \u2019\u2019'");
});

test("the help of the script matches its behaviour; a shell that has only sh can show it", async () => {
  await using at = await startServer();
  const show = async (path: string, ...args: string[]) => {
    const input = (await send(at.url, "GET", path)).text;
    return spawnSync("sh", ["-s", "--", ...args], { input, encoding: "utf8" });
  };
  const help = await show("/install.sh", "--help");
  expect(help).toMatchObject({ status: 0, stderr: "" });
  expect(help.stdout).toContain(`curl -fsSL ${at.url}/install.sh | sh`);
  expect(help.stdout).not.toContain("--service");
  expect((await show("/api/v2/init-script/linux/amd64", "--help")).stdout).toContain("--service");
  const refused = await show("/install.sh", "--service");
  expect([refused.status, refused.stderr.includes("agent-instructions")]).toEqual([1, true]);
});

test("the line of a workspace: no token among the arguments of a command, and none in a history that omits lines with a leading blank", () => {
  const url = new URL("https://coder.example.com");
  const line = (operating_system: string) =>
    agentCommand(url, { operating_system, architecture: "arm64" } as Parameters<typeof agentCommand>[1], TOKEN);
  const script = `'${url.href}api/v2/init-script/linux/arm64'`;
  expect(line("linux")).toBe(
    ` { if command -v curl >/dev/null; then curl -fsSL ${script}; elif command -v wget >/dev/null; then wget -qO- ${script}; ` +
      "else echo 'error: neither curl nor wget is installed: install one of them, such as by: apt-get install curl' >&2; false; " +
      `fi || printf '\\necho error: the install script did not arrive >&2; exit 1\\n'; } | CODER_AGENT_TOKEN='${TOKEN}' sh`,
  );
  expect(line("windows")).toBe(
    ` $env:CODER_AGENT_TOKEN='${TOKEN}'; iwr -useb '${url.href}api/v2/init-script/windows/arm64' | iex`,
  );
});

test("the line of a workspace fails with the reason if no script arrives", () => {
  const bin = temporaryDirectory();
  const line = agentCommand(new URL("http://127.0.0.1:1"), { operating_system: "", architecture: "" } as never, TOKEN);
  const run = () => spawnSync("/bin/sh", ["-c", line], { env: { PATH: bin }, encoding: "utf8" });
  const program = (name: string, body: string) =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  try {
    program("sh", 'exec /bin/sh "$@"');
    expect(run()).toMatchObject({ status: 1, stderr: expect.stringContaining("neither curl nor wget is installed") });
    program("wget", "exit 4");
    expect(run()).toMatchObject({ status: 1, stderr: "error: the install script did not arrive\n" });
    // The beginning of a truncated script, whose last line would have run it.
    program("curl", 'echo "main() {"; echo "echo ran"; exit 18');
    expect(run()).toMatchObject({ status: expect.not.toBeOneOf([0]), stdout: "" });
    program("curl", 'printf "# a comment that was c"; exit 18');
    expect(run()).toMatchObject({ status: 1, stdout: "", stderr: "error: the install script did not arrive\n" });
    program("curl", 'echo "echo ran"');
    expect(run()).toMatchObject({ status: 0, stdout: "ran\n" });
  } finally {
    rmSync(bin, { recursive: true, force: true });
  }
});

test("every version of Windows gets the only build for it", () => {
  const text = installScriptForWindows({ accessUrl: new URL("https://coder.example.com"), agent: false });
  expect([...new Set(text.match(/coder-windows-\w+\.exe/g))]).toEqual(["coder-windows-amd64.exe"]);
  expect(text).not.toContain("$arch");
});
