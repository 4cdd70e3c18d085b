/** `coder open terminal --local` in a real browser: the page of the installed command, over a tunnel of its own. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { LocalPageCommand } from "../local-page.ts";
import { launch, missing, type PageFaults, screenText, seriousFaults, watchedPage } from "./chromium.ts";

describe.skipIf(missing.length > 0)(`a local terminal page (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let command: LocalPageCommand;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    deployment.startAgent(await deployment.createWorkspace("demo"), { PS1: "$ ", SHELL: "/bin/sh" });
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });
  afterAll(async () => {
    await browser?.close();
    await deployment?.close();
  });
  beforeEach(async () => {
    command = await LocalPageCommand.start(deployment, ["demo"]);
    context = await browser.newContext({ acceptDownloads: true });
    ({ page, faults } = await watchedPage(context, command.origin));
  });
  afterEach(async () => {
    await context.close();
    await command.end();
    // Nothing was requested from the deployment, nor from anywhere else.
    expect(faults).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
  });

  const ready = async (): Promise<void> => {
    await page.locator(".xterm-helper-textarea").waitFor({ state: "attached" });
    await page.locator(".terminal-screen:not(.away)").waitFor();
  };
  /** Opens the printed address, and then the page with the text of the screen offered to tests. */
  const openTerminal = async (query = ""): Promise<void> => {
    await page.goto(command.address.href);
    await page.waitForURL(/\/@owner\/demo\.main\/terminal\?/);
    await page.goto(`${command.origin}/@owner/demo.main/terminal?test=1${query}`);
    await ready();
  };
  const run = async (line: string): Promise<void> => {
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.type(line);
    await page.keyboard.press("Enter");
  };
  const shows = (text: string): Promise<string> => screenText(page, (screen) => screen.includes(text), text);

  it("security S23, S28: opens a shell that answers, over a direct path", async () => {
    await page.goto(command.address.href);
    await page.waitForURL(/\/@owner\/demo\.main\/terminal\?reconnect=[0-9a-f-]{36}$/);
    expect(await page.evaluate<string>("document.cookie")).toBe("");
    await openTerminal();
    await run("echo x-$((40+2))-x");
    await shows("x-42-x");
    await page.locator(".terminal-bar .path.direct").waitFor();
    await page.getByText("Served by this machine").waitFor();
    expect(await seriousFaults(page)).toEqual([]);
  });

  it("security S28: the address works once, and leaves neither the bar nor the history with its secret", async () => {
    await openTerminal();
    await page.goBack();
    expect(page.url()).not.toContain(command.secret);
    const other = await browser.newContext();
    try {
      const late = await other.newPage();
      await late.goto(command.address.href);
      await late.getByText("This browser may not use the terminal.").waitFor();
      expect(late.url()).toBe(`${command.origin}/`);
      expect((await late.goto(`${command.origin}/@owner/demo.main/terminal`))?.status()).toBe(401);
    } finally {
      await other.close();
    }
  });

  it("offers nothing that does not exist here", async () => {
    await openTerminal();
    for (const gone of ["End-to-end", "Log in", "Search", "Workspaces"])
      expect([gone, await page.getByText(gone, { exact: true }).count()]).toEqual([gone, 0]);
    expect(await page.locator("header, .region-chooser").count()).toBe(0);
    const link = page.getByRole("link", { name: "demo" });
    expect(await link.getAttribute("href")).toBe(`${deployment.url}/@owner/demo`);
    expect(await link.getAttribute("rel")).toBe("noreferrer");
  });

  it("a reload finds the same shell, and another tab opens it from the list of sessions", async () => {
    await openTerminal();
    await run("kept=$((40+2)); printf '\\033]0;the first\\007'; echo set-$((1+1))");
    await shows("set-2");
    await page.reload();
    await ready();
    await run("echo kept=$kept=");
    await shows("kept=42=");
    const second = (await watchedPage(context, command.origin)).page;
    await second.goto(`${command.origin}/@owner/demo.main/terminal?test=1`);
    await second.locator(".terminal-screen:not(.away)").waitFor();
    await second.getByRole("button", { name: "Sessions" }).click();
    const dialog = second.getByRole("dialog");
    await dialog.getByRole("button", { name: "Open the first here" }).click();
    await screenText(second, (screen) => screen.includes("kept=42="), "the output of the first tab");
    await second.getByText("2 viewers").waitFor();
  });

  it("the program follows the size of the window", async () => {
    await openTerminal();
    await page.setViewportSize({ width: 700, height: 400 });
    const sizes = new Set<string>();
    // Resizes are sent after a delay, so the shell is asked until it reports another size.
    for (let round = 0; round < 20 && sizes.size < 2; round++) {
      if (round === 3) await page.setViewportSize({ width: 900, height: 500 });
      await run(`echo size=$(stty size | tr ' ' x)=${round}=`);
      const screen = await shows(`=${round}=`);
      for (const [size] of screen.matchAll(/size=\d+x\d+/g)) sizes.add(size);
    }
    expect(sizes.size).toBeGreaterThanOrEqual(2);
  });

  it("files are dropped into the workspace, and downloaded from it", async () => {
    const name = `sent-${command.secret.slice(0, 8)}.txt`;
    await openTerminal();
    await run(`cd ${deployment.folder} && echo in-$((1+1))`);
    await shows("in-2");
    const data = await page.evaluateHandle(
      `(() => { const data = new DataTransfer(); data.items.add(new File(["from the browser"], "${name}")); return data; })()`,
    );
    await page.locator(".terminal-screen > div").first().dispatchEvent("drop", { dataTransfer: data });
    await page.getByText(`uploaded to`).waitFor();
    await run(`cat ${name}`);
    await shows("from the browser");
    await page.getByRole("button", { name: "Download" }).click();
    await page.getByLabel("Path of the file").fill(name);
    const download = page.waitForEvent("download");
    await page.getByRole("dialog").getByRole("button", { name: "Download" }).click();
    expect((await download).suggestedFilename()).toBe(name);
  });

  it("security S24: a command in a link waits for an answer; without one a shell is shown", async () => {
    await openTerminal();
    const command64 = encodeURIComponent("echo ran-$((1+1)); sleep 600");
    await page.goto(`${command.origin}/@owner/demo.main/terminal?test=1&command=${command64}`);
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    expect(await page.locator(".xterm").count()).toBe(0);
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await page.waitForURL(/terminal\?reconnect=/);
    await ready();
    expect(page.url()).not.toContain("command=");
  });

  it("security S28: a page on another port of 127.0.0.1 can neither read, nor act, nor open a terminal", async () => {
    await openTerminal();
    const evil = createServer((_request, response) => {
      response.setHeader("Content-Type", "text/html").end("<!doctype html><title>another</title>");
    });
    await once(evil.listen(0, "127.0.0.1"), "listening");
    try {
      const answer = await deployment.api("GET", "/api/v2/users/owner/workspace/demo");
      const { latest_build: build } = (await answer.json()) as {
        latest_build: { resources: { agents: { id: string }[] }[] };
      };
      const agent = build.resources[0]!.agents[0]!.id;
      const other = await context.newPage();
      await other.goto(`http://127.0.0.1:${(evil.address() as AddressInfo).port}/`);
      const found = await other.evaluate(
        async ([origin, agent]) => {
          const status = async (path: string, init: RequestInit): Promise<string> =>
            fetch(`${origin}${path}`, { credentials: "include", ...init }).then(
              ({ type, status: code }) => `${type} ${code}`,
              () => "failed",
            );
          const socket = new WebSocket(
            `${origin!.replace("http", "ws")}/api/v2/workspaceagents/${agent}/pty?reconnect=${crypto.randomUUID()}`,
          );
          const opened = await new Promise<string>((resolve) => {
            socket.onopen = () => resolve("open");
            socket.onclose = () => resolve("closed");
          });
          return [await status("/api/v2/regions", {}), await status("/enter", { method: "POST", body: "" }), opened];
        },
        [command.origin, agent],
      );
      expect(found).toEqual(["failed", "failed", "closed"]);
      await other.close();
    } finally {
      evil.closeAllConnections();
      evil.close();
    }
  });

  it("says so when the command has ended", async () => {
    await openTerminal();
    await page.locator(".terminal-bar .path.direct").waitFor();
    await command.end();
    await page.getByText("The command that serves this page does not answer; it may have ended.").waitFor();
    await page.locator(".terminal-bar .path").waitFor({ state: "detached" });
  });
});
