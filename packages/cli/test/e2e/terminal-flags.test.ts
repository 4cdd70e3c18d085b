/** `--no-color`, `--force-tty` and the variables beside them, on a terminal and in a pipe. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Finished, PASSWORD, TestDeployment } from "./deployment.ts";
import { PtyCommand } from "./pty.ts";

const ESCAPE = "\u001b[";
/** Prints a diff in colours. */
const DIFF = ["config-ssh", "--dry-run", "--yes"] as const;
const GREEN = "\u001b[32m";

describe("flags about the terminal", () => {
  let deployment: TestDeployment;
  let home: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    home = mkdtempSync(join(deployment.folder, "home-"));
  });

  afterAll(async () => {
    rmSync(home, { recursive: true, force: true });
    await deployment?.close();
  });

  const inPipe = (args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Finished> =>
    deployment.run(args, { environment: { HOME: home, ...environment } });

  async function onTerminal(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<string> {
    const command = new PtyCommand(args, deployment.environment("owner", { HOME: home, ...environment }));
    expect(await command.ended()).toBe(0);
    return command.screen;
  }

  it.each([
    [[], {}, true],
    [["--no-color"], {}, false],
    [[], { NO_COLOR: "1" }, false],
    [["--no-color"], { FORCE_COLOR: "1" }, false],
    [[], { TERM: "dumb" }, false],
  ])("a terminal, with %j and %j, shows colours: %s", async (flags, environment, coloured) => {
    const screen = await onTerminal([...DIFF, ...flags], environment);
    expect(screen).toContain("# ------------START-CODER");
    expect(screen.includes(GREEN)).toBe(coloured);
  });

  it.each([
    [[], {}, false],
    [[], { FORCE_COLOR: "1" }, true],
    [[], { CODER_FORCE_TTY: "true" }, true],
    [["--force-tty"], {}, true],
    [["--force-tty", "--no-color"], {}, false],
    [["--force-tty"], { NO_COLOR: "1" }, false],
  ])("a pipe, with %j and %j, gets colours: %s", async (flags, environment, coloured) => {
    const done = await inPipe([...DIFF, ...flags], environment);
    expect([done.code, done.stdout.includes(GREEN)], done.stderr).toEqual([0, coloured]);
  });

  it("help has its headlines in bold on a terminal, and not with --no-color", async () => {
    expect(await onTerminal(["list", "--help"])).toContain(`${ESCAPE}1mUSAGE`);
    for (const args of [
      ["list", "--help", "--no-color"],
      ["--no-color", "--help"],
    ])
      expect(await onTerminal(args)).not.toContain(ESCAPE);
  });

  it("--force-tty takes the lines of a pipe for answers", async () => {
    await deployment.createWorkspace("piped");
    const kept = await deployment.run(["--force-tty", "delete", "piped"], { input: "perhaps\nn\n" });
    expect([kept.code, kept.stderr]).toEqual([0, expect.stringContaining("Please answer yes or no.")]);
    expect(kept.stderr).toContain("Nothing was deleted");
    const refused = await deployment.run(["delete", "piped"], { input: "y\n" });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("there is no terminal")]);
    const deleted = await deployment.run(["delete", "--force-tty", "piped"], { input: "y\n" });
    expect([deleted.code, deleted.stderr]).toEqual([0, expect.stringContaining('Workspace "piped" is deleted')]);
  });

  it("--force-tty asks several questions of one pipe, and ends where the answers do", async () => {
    const user = "grace";
    const answers = await deployment.run(["users", "create", "--force-tty", "--password", PASSWORD], {
      input: `${user}\n${user}@example.com\n`,
    });
    expect([answers.code, answers.stderr]).toEqual([0, expect.stringContaining("A new user has been created!")]);
    const short = await deployment.run(["users", "create", "--force-tty"], { input: "only\n" });
    expect([short.code, short.stdout]).toEqual([130, ""]);
    expect(existsSync(join(deployment.folder, "config/owner/session"))).toBe(true);
  });
});
