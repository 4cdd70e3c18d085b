/** Browser-only mode in a real browser, switched on while a web terminal and a shell of the command line are open. */
import { once } from "node:events";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, screenText, seriousFaults, watchedPage } from "./chromium.ts";

describe.skipIf(missing.length > 0)(`browser-only mode (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;

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
    ({ page, faults } = await watchedPage(context, deployment.url));
    await logInByForm(page, deployment);
  });
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
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

  it("an owner sets the policy of a workspace, of a user and of the deployment on their pages", async () => {
    await deployment.addMember("bob");
    const policyOf = async (path: string): Promise<string | undefined> => {
      const answer = await deployment.api("GET", path);
      return ((await answer.json()) as { connection_policy?: string }).connection_policy;
    };
    const choose = async (label: string): Promise<void> => {
      await page.getByRole("radio", { name: label }).check();
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.getByRole("button", { name: "Save", exact: true, disabled: true }).waitFor();
    };
    await page.goto(`${deployment.url}/@owner/demo/settings`);
    await choose("Exempt from the deployment's default");
    await expect.poll(() => policyOf("/api/v2/users/owner/workspace/demo"), { timeout: 30_000 }).toBe("any");
    await choose("Browsers only");
    await expect.poll(() => policyOf("/api/v2/users/owner/workspace/demo"), { timeout: 30_000 }).toBe("browser_only");
    expect(await seriousFaults(page)).toEqual([]);
    await page.reload();
    expect(await page.getByRole("radio", { name: "Browsers only" }).isChecked()).toBe(true);
    await page.goto(`${deployment.url}/users/bob`);
    await choose("Browsers only");
    await expect.poll(() => policyOf("/api/v2/users/bob"), { timeout: 30_000 }).toBe("browser_only");
    await choose("Any client");
    await expect.poll(() => policyOf("/api/v2/users/bob"), { timeout: 30_000 }).toBe("inherit");
    const rule = async () => await (await deployment.api("GET", "/api/v2/deployment/connection-policy")).json();
    await page.goto(`${deployment.url}/deployment/overview`);
    await choose("Browsers only, in all workspaces");
    await expect.poll(rule, { timeout: 30_000 }).toMatchObject({ browser_only: "enforced" });
    expect(await seriousFaults(page)).toEqual([]);
    await page.goto(`${deployment.url}/users/bob`);
    await page.getByText("this setting has no effect").waitFor();
    await page.goto(`${deployment.url}/deployment/overview`);
    expect(await page.getByRole("radio", { name: "Browsers only, in all workspaces" }).isChecked()).toBe(true);
    await choose("Any client");
    await expect.poll(rule, { timeout: 30_000 }).toMatchObject({ browser_only: "off" });
  });
});
