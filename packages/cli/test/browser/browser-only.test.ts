/** Browser-only mode in a real browser: switched on while a terminal and a shell of the command line are open. */
import { once } from "node:events";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, type Misdeeds, missing, screenText, watchedPage } from "./chromium.ts";

describe.skipIf(missing.length > 0)(`browser-only mode (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let misdeeds: Misdeeds;

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    deployment.startAgent(await deployment.createWorkspace("demo"), { PS1: "$ ", SHELL: "/bin/sh" });
  });
  afterAll(async () => {
    await browser?.close();
    await deployment?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    ({ page, misdeeds } = await watchedPage(context, deployment.url));
    await logInByForm(page, deployment);
  });
  afterEach(async () => {
    await context.close();
    expect(misdeeds).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
  });

  const run = async (line: string): Promise<void> => {
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.type(line);
    await page.keyboard.press("Enter");
  };

  it("keeps the web terminal, ends ssh, and shows the reason in place of the lines for SSH", async () => {
    const shell = deployment.spawn(["ssh", "demo", "--", "echo ready; sleep 1000"], {});
    await once(shell.stdout!, "data");
    await page.goto(`${deployment.url}/@owner/demo/terminal?test=1`);
    await page.locator(".terminal-screen:not(.away)").waitFor();
    await run("kept=yes");
    const ended = once(shell, "close");
    const set = await deployment.run(["external-workspaces", "edit-connection-policy", "demo", "browser-only"]);
    expect(set.code).toBe(0);
    expect((await ended)[0]).toBe(255);
    await run("echo still-$kept");
    await screenText(page, (text) => text.includes("still-yes"), "the shell's variable");

    await page.goto(`${deployment.url}/@owner/demo`);
    await page.getByText("by your administrator, for this workspace").waitFor();
    expect(await page.getByText("coder ssh demo").count()).toBe(0);
    await page.goto(`${deployment.url}/@owner/demo/terminal?test=1`);
    await run("echo new-$((6*7))");
    await screenText(page, (text) => text.includes("new-42"), "a new terminal");
  });
});
