/** `coder config-ssh` on real files; real ssh uses them in the interoperability tier. */

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Finished, TestDeployment } from "./deployment.ts";

const START = "# ------------START-CODER-----------";
const END = "# ------------END-CODER------------";

describe("config-ssh", () => {
  let deployment: TestDeployment;
  let path: string;
  let files = 0;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    await deployment.createWorkspace("demo");
  });

  beforeEach(() => {
    path = join(deployment.folder, `config ${files++}`);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  const config = (...args: string[]): Promise<Finished> =>
    deployment.run(["config-ssh", "--ssh-config-file", path, ...args]);
  const text = (): string => readFileSync(path, "utf8");

  it("writes ~/.ssh/config, private, with the folder, and suggests what to try", async () => {
    const done = await deployment.run(["config-ssh", "--yes"]);
    const home = join(deployment.folder, "home", ".ssh");
    expect([done.code, done.stdout]).toEqual([0, ""]);
    // If Node lies in a folder named after its version, a note precedes.
    expect(done.stderr.replace(/^note: .* is gone once Node is upgraded.*\n/, "")).toBe(
      `Added a section to ${home}/config\nTry: ssh demo.coder\n`,
    );
    expect(statSync(home).mode & 0o777).toBe(0o700);
    expect(statSync(join(home, "config")).mode & 0o777).toBe(0o600);
    expect(readdirSync(home)).toEqual(["config"]);
    expect(readFileSync(join(home, "config"), "utf8")).toMatch(new RegExp(`^${START}\n[^]*\n${END}\n$`));
  });

  it("security 32: keeps every other byte, the mode and a symbolic link, and changes nothing the second time", async () => {
    const real = join(deployment.folder, "dotfiles-config");
    const before = Buffer.concat([
      Buffer.from("Host a\n  User \xe4\xff"),
      Buffer.from([0, 0xff, 0xfe]),
      Buffer.from("\r\n"),
    ]);
    writeFileSync(real, before);
    chmodSync(real, 0o640);
    symlinkSync(real, path);
    expect((await config("-y")).code).toBe(0);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(statSync(real).mode & 0o777).toBe(0o640);
    const after = readFileSync(real);
    expect(after.subarray(0, before.length)).toEqual(before);
    const again = await config("-y");
    expect([again.code, again.stderr]).toEqual([0, expect.stringContaining(`Nothing to change in ${path}\n`)]);
    expect(readFileSync(real)).toEqual(after);
  });

  it("creates the target of a symbolic link that leads to nothing yet", async () => {
    const dots = join(deployment.folder, "dots", "ssh");
    mkdirSync(dots, { recursive: true });
    const folder = join(deployment.folder, "linked");
    symlinkSync(dots, folder);
    path = join(folder, "config");
    symlinkSync("../new-config", path);
    expect((await config("-y")).code).toBe(0);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(deployment.folder, "dots", "new-config"), "utf8")).toContain(START);
  });

  it.runIf(process.platform === "linux")("refuses a named pipe instead of waiting for it", async () => {
    execFileSync("mkfifo", [path]);
    const done = await config("-y");
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("it is not a regular file")]);
  });

  it("--dry-run prints a diff on stdout and touches nothing", async () => {
    writeFileSync(path, "Host a\n");
    const done = await config("--dry-run");
    expect(done.code).toBe(0);
    expect(done.stdout).toMatch(/^--- .*\n\+\+\+ .*\n@@ -1,1 \+1,\d+ @@\n Host a\n\+\n\+# -+START-CODER-+\n(\+.*\n)*$/);
    expect(done.stderr).toContain("Would add a section to");
    expect(text()).toBe("Host a\n");
    expect((await config("-n", "-y")).stdout).toBe(done.stdout);
  });

  it("replaces the section of a stock CLI and takes its options over on request", async () => {
    const stock = [
      START,
      "# This section is managed by coder. DO NOT EDIT.",
      "#",
      "# Last config-ssh options:",
      "# :wait=no",
      "# :ssh-option=ForwardAgent=yes",
      "#",
      "Host coder.*",
      "\tForwardAgent=yes",
      '\tProxyCommand "/usr/bin/coder" --global-config "/home/x" ssh --stdio --wait=no --ssh-host-prefix coder. %h',
      END,
    ];
    writeFileSync(path, `Host a\n${stock.join("\n")}\nHost b\n`);
    expect((await config("--use-previous-options", "--yes")).code).toBe(0);
    expect(text()).toMatch(/^Host a\n# -+START/);
    expect(text()).toMatch(/END-CODER-+\nHost b\n$/);
    expect(text()).toContain("# :wait=no\n# :ssh-option=ForwardAgent=yes\n");
    expect(text()).toContain("\tForwardAgent=yes\n");
    expect(text()).not.toContain("/usr/bin/coder");
    const other = await config("--yes", "--wait=yes");
    expect([other.code, other.stderr]).toEqual([0, expect.stringContaining("Replaced coder's section")]);
    expect(text()).toContain("--wait=yes");
    expect(text()).not.toContain("ForwardAgent");
  });

  it("keeps several deployments side by side", async () => {
    expect((await config("--yes")).code).toBe(0);
    const first = text();
    expect((await config("--yes", "--block", "work")).code).toBe(0);
    expect(text().startsWith(first)).toBe(true);
    expect(text()).toContain("Host work.*\n");
    expect(text()).toContain("Host *.work\n");
    expect((await config("--yes", "-o", "Compression=yes")).code).toBe(0);
    expect(text().match(/^\tCompression=yes/gm)).toHaveLength(2);
    expect(text()).toContain("Host work.*\n");
  });

  it("prompts only on a terminal, and reports that otherwise", async () => {
    const done = await config();
    expect([done.code, existsSync(path)]).toEqual([1, false]);
    expect(done.stderr).toContain("answer with --yes");
  });

  it.each([
    [["--ssh-option", "Host *"], "--ssh-option cannot set Host"],
    [["--ssh-option", "A=1\nProxyCommand evil"], "is not an SSH option"],
    [["--ssh-host-prefix", "a b"], "--ssh-host-prefix is"],
    [["--ssh-host-prefix", "*"], "--ssh-host-prefix is"],
    [["--hostname-suffix", ".coder"], "write it without its dot"],
    [["--hostname-suffix", "", "--ssh-host-prefix", ""], "prefix and suffix are both empty"],
    [["--block", "a\nb"], "--block is"],
    [["--coder-binary-path", "coder"], "takes an absolute path"],
    [["--wait", "maybe"], "takes one of: yes, no, auto"],
    [["--header", "a=b\nProxyCommand evil"], "line break"],
  ])("%j is refused and nothing is written", async (args, words) => {
    const done = await config("--yes", ...args);
    expect([done.code, existsSync(path)]).toEqual([2, false]);
    expect(done.stderr).toContain(words);
  });

  it("leaves a file alone whose section is damaged, and one it may not read", async () => {
    const damaged = `${START}\nHost x\n${START}\n${END}\n`;
    writeFileSync(path, damaged);
    const done = await config("--yes");
    expect([done.code, text()]).toEqual([1, damaged]);
    expect(done.stderr).toContain("is there 2 times");
    path = join(deployment.folder, `folder ${files}`);
    mkdirSync(path);
    expect((await config("--yes")).stderr).toContain("Cannot read");
  });

  describe("security 32: with a hostile server", () => {
    let server: Server;
    let answer: unknown;

    beforeAll(async () => {
      server = createServer((request, response) => {
        response.setHeader("Content-Type", "application/json");
        const body = request.url?.startsWith("/api/v2/deployment/ssh")
          ? answer
          : { workspaces: [{ name: "x; touch evil\nProxyCommand evil" }], count: 1 };
        response.end(JSON.stringify(body));
      }).listen(0, "127.0.0.1");
      await once(server, "listening");
    });

    afterAll(() => {
      server?.close();
    });

    const hostile = (): Promise<Finished> => {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      return deployment.run(["config-ssh", "--yes", "--ssh-config-file", path, "--url", url, "--token", "t"]);
    };

    it("whose host names would add lines, nothing is written", async () => {
      for (const prefix of ["*", "a b", "x\n\tProxyCommand evil\nHost ", "$(id)", "-o", 7]) {
        answer = { hostname_prefix: prefix, hostname_suffix: "", ssh_config_options: {} };
        const done = await hostile();
        expect([done.code, existsSync(path)]).toEqual([1, false]);
        expect(done.stderr).toContain("host name prefix cannot be used");
      }
    });

    it("whose options would run commands, they are left out by name", async () => {
      answer = {
        hostname_prefix: "coder.",
        hostname_suffix: "",
        ssh_config_options: {
          ProxyCommand: "evil",
          "SetEnv\n": "x",
          LogLevel: "INFO\n\tProxyCommand evil",
          Compression: "yes",
        },
      };
      const done = await hostile();
      expect(done.code).toBe(0);
      expect(done.stderr).toContain("they are left out: ProxyCommand, SetEnv?, LogLevel\n");
      expect(done.stderr).not.toContain("touch evil");
      expect(text()).not.toContain("evil");
      expect(text()).toContain("\tCompression=yes\n");
    });
  });
});
