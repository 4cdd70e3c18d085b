/** The browser tab of a web terminal: its title, downloads, and when it asks before closing. */
import { readFileSync } from "node:fs";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, screenText, seriousFaults, watchedPage } from "./chromium.ts";

describe.skipIf(missing.length > 0)(`the tab of a terminal (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
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
    context = await browser.newContext();
    ({ page, faults } = await watchedPage(context, deployment.url));
    await logInByForm(page, deployment);
    await page.goto(`${deployment.url}/@owner/demo/terminal?test=1`);
    await page.locator(".terminal-screen:not(.away)").waitFor();
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
  const shows = (text: string): Promise<string> => screenText(page, (screen) => screen.includes(text), text);
  /** A headless browser never hides a page on its own. */
  const setVisible = (visible: boolean): Promise<void> =>
    page.evaluate(
      `Object.defineProperty(document, "visibilityState", { value: "${visible ? "visible" : "hidden"}", configurable: true });
       document.dispatchEvent(new Event("visibilitychange"));`,
    );

  it("a bell or a notification marks the title while the tab is hidden, until it is looked at", async () => {
    // Neither a bell in a visible tab nor progress (OSC 9;4) marks the title.
    await run("printf '\\007'; echo seen-$((1+1))");
    await shows("seen-2");
    await setVisible(false);
    await run("printf '\\033]9;4;1;50\\007'; echo progress-$((1+1))");
    await shows("progress-2");
    expect(await page.title()).not.toContain("●");
    for (const sequence of ["\\007", "\\033]9;done\\007", "\\033]777;notify;a;b\\007"]) {
      await setVisible(false);
      await run(`printf '${sequence}'`);
      await expect.poll(() => page.title(), { timeout: 30_000 }).toMatch(/^● /);
      await setVisible(true);
      await expect.poll(() => page.title(), { timeout: 30_000 }).not.toContain("●");
    }
    // A reload replays the earlier bells, which must not count again.
    await run("printf '\\007'; echo rung-$((1+1))");
    await shows("rung-2");
    await page.addInitScript(
      `Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });`,
    );
    await page.reload();
    await shows("rung-2");
    expect(await page.title()).not.toContain("●");
  });

  it("a file is downloaded by its path from the directory of the shell, and a refusal stands in the dialog", async () => {
    await run("mkdir -p out && cd out && printf 'one\\ntwo' > 'a b.txt' && echo written-$((1+1))");
    await shows("written-2");
    await page.getByRole("button", { name: "Download" }).click();
    const dialog = page.getByRole("dialog", { name: "Download a file" });
    await dialog.locator("input:focus").waitFor();
    expect(await seriousFaults(page)).toEqual([]);
    await page.keyboard.type("missing.txt");
    await page.keyboard.press("Enter");
    await dialog.getByRole("alert").waitFor();
    await dialog.getByLabel("Path of the file").fill("a b.txt");
    const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
    expect(download.suggestedFilename()).toBe("a b.txt");
    expect(readFileSync(await download.path(), "utf8")).toBe("one\ntwo");
    await dialog.waitFor({ state: "detached" });
  });

  it("closing asks while a file is sent, and not because a program runs: the program goes on", async () => {
    const sent = Promise.withResolvers<void>();
    await page.route("**/files?*", () => sent.resolve()); // never answered
    await run("sleep 1000");
    await page.evaluate(`(() => {
      const data = new DataTransfer();
      data.items.add(new File(["x"], "x.bin"));
      document.querySelector(".terminal-screen .xterm-screen").dispatchEvent(
        new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    })()`);
    await sent.promise;
    await page.getByRole("progressbar", { name: "Upload of x.bin" }).waitFor();
    const asked = page.waitForEvent("dialog");
    await page.close({ runBeforeUnload: true });
    expect((await asked).type()).toBe("beforeunload");
    expect(faults.dialogs.splice(0)).toHaveLength(1);
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("progressbar").waitFor({ state: "detached" });
    const closed = page.waitForEvent("close");
    await page.close({ runBeforeUnload: true });
    await closed;
  });
});
