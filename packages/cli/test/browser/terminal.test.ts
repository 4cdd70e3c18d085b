/** The web terminal in a real browser, with a real agent behind it. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, screenText, seriousFaults, watchedPage } from "./chromium.ts";

describe.skipIf(missing.length > 0)(`the web terminal (missing here: ${missing.join(", ") || "nothing"})`, () => {
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
  });
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
  });

  const openTerminal = async (query = ""): Promise<void> => {
    await page.goto(`${deployment.url}/@owner/demo/terminal?test=1${query}`);
    await page.locator(".xterm-helper-textarea").waitFor({ state: "attached" });
    await page.locator(".terminal-screen:not(.away)").waitFor();
  };
  const run = async (line: string): Promise<void> => {
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.type(line);
    await page.keyboard.press("Enter");
  };
  const shows = (text: string): Promise<string> => screenText(page, (screen) => screen.includes(text), text);

  it("T1: from the list to a shell that answers", async () => {
    await page.getByRole("link", { name: "Terminal of demo" }).click();
    await page.waitForURL(/\/@owner\/demo\/terminal\?reconnect=[0-9a-f-]{36}$/);
    await openTerminal();
    await run("echo $((6*7)); echo x-$((40+2))-x");
    await shows("x-42-x");
  });

  it("T2: the program follows the size of the window", async () => {
    await openTerminal();
    await page.setViewportSize({ width: 900, height: 500 });
    const sizes = new Set<string>();
    // Resizes are sent after a delay, so the shell is asked until it reports another size.
    for (let round = 0; round < 20 && sizes.size < 2; round++) {
      if (round === 3) await page.setViewportSize({ width: 700, height: 400 });
      await run(`echo size=$(stty size | tr ' ' x)=${round}=`);
      const screen = await shows(`=${round}=\n`.trimEnd());
      await shows(`x`);
      for (const [size] of screen.matchAll(/size=\d+x\d+/g)) sizes.add(size);
    }
    expect(sizes.size).toBeGreaterThanOrEqual(2);
    for (const size of sizes) expect(size).not.toMatch(/=0x|x0$/);
  });

  it("security S22: T3: a reload finds the same shell, and nothing is typed into it", async () => {
    await openTerminal();
    await run("echo shell=$$=");
    const before = /shell=(\d+)=/.exec(await screenText(page, (text) => /shell=\d+=/.test(text), "the shell"))![1];
    await run(
      "printf '\\033[c\\033[6n\\033[>c\\033[5n\\033[18t\\033]10;?\\007\\033P$qm\\033\\\\'; sleep 0.3; echo asked",
    );
    // Once in the command line, once after the echo of the answers.
    await screenText(page, (text) => text.split("asked").length > 2, "the end of the questions");
    await page.keyboard.press("Control+c");
    await run("clear; echo begin; cat -v");
    await shows("begin");
    for (let round = 0; round < 3; round++) {
      await page.reload();
      await page.locator(".terminal-screen:not(.away)").waitFor();
      await shows("begin");
      await run(`round-${round}`);
      await screenText(page, (text) => text.split(`round-${round}`).length > 2, "the line and its echo");
    }
    const lines = (await shows("round-2")).split("\n").map((line) => line.trim());
    const typed = lines.slice(lines.lastIndexOf("begin") + 1).filter((line) => line !== "");
    expect(typed).toEqual(["round-0", "round-0", "round-1", "round-1", "round-2", "round-2"]);
    await page.keyboard.press("Control+c");
    await run("echo after=$$=");
    const after = /after=(\d+)=/.exec(await screenText(page, (text) => /after=\d+=/.test(text), "the shell"))![1];
    expect(after).toBe(before);
  });

  it("security S24: T8: a command in a link waits for an answer", async () => {
    const file = `${deployment.folder}/ran`;
    const command = `touch ${file}; echo done-$((1+1)); sleep 600`;
    await page.goto(
      `${deployment.url}/@owner/demo/terminal?test=1&command=${encodeURIComponent(`${command}\u001b[2K`)}`,
    );
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    expect(await dialog.locator("pre").textContent()).toBe(`${command}␛[2K`);
    expect(await page.evaluate<string>("document.activeElement.textContent")).toBe("Cancel");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.mouse.click(5, 5);
    await dialog.waitFor();
    expect(await page.locator(".xterm").count()).toBe(0);
    await dialog.getByRole("button", { name: "Run" }).click(); // too early for a user to have read it
    await page.goto(`${deployment.url}/@owner/demo/terminal?test=1&command=${encodeURIComponent(command)}`);
    await dialog.waitFor();
    await expect
      .poll(
        async () => {
          if (await dialog.isVisible()) await dialog.getByRole("button", { name: "Run" }).click();
          return dialog.isVisible();
        },
        { timeout: 30_000 },
      )
      .toBe(false);
    await shows("done-2");
    expect(new URL(page.url()).searchParams.has("command")).toBe(false);
  });

  it("T15: after the program has ended only Enter starts a new one", async () => {
    await openTerminal();
    const first = new URL(page.url()).searchParams.get("reconnect");
    await run("exit");
    await page.getByText("Session ended.").waitFor();
    for (const key of ["a", "Control+c", "Meta+x", "Escape", " "]) await page.keyboard.press(key);
    await page.getByText("Session ended.").waitFor();
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.press("Enter");
    await page.locator(".terminal-screen:not(.away)").waitFor();
    await run("echo again-$((1+1))");
    await shows("again-2");
    expect(new URL(page.url()).searchParams.get("reconnect")).not.toBe(first);
  });

  it("security S22, S23: T7: hostile output does nothing", async () => {
    await openTerminal();
    await run(
      "printf '\\033]0;<img src=x onerror=alert(1)>\\007\\033]8;;javascript:alert(1)\\007link\\033]8;;\\007\\033]52;c;?\\007'; cat",
    );
    await page.locator("h1", { hasText: "<img src=x" }).waitFor();
    expect(await page.locator("h1 img").count()).toBe(0);
    await page.keyboard.press("Control+c");
    await run(
      "printf '\\342\\200\\256\\377\\376\\303\\n\\033[31mred\\033[0m\\n'; head -c 2000000 /dev/zero | tr '\\0' A | (printf '\\033]0;'; cat; printf '\\007'); echo alive-$((1+1))",
    );
    await shows("alive-2");
    expect(await page.getByRole("dialog").count()).toBe(0);
  });

  it("security S22: T11: pasted text stays inside its brackets, and long text is asked about", async () => {
    await openTerminal();
    const paste = (text: string) =>
      page.evaluate(
        `(() => { const data = new DataTransfer(); data.setData("text/plain", ${JSON.stringify(text)});
        document.querySelector(".xterm-helper-textarea").dispatchEvent(
          new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })); })()`,
      );
    await run("stty -echo; printf '\\033[?2004h'; echo ready; cat -v");
    await shows("\nready");
    await paste("one\u001b[201~; rm");
    await page.keyboard.press("Enter");
    await shows("^[[200~one[201~; rm^[[201~");
    await page.keyboard.press("Control+c");
    await run("printf '\\033[?2004l'; echo off; cat > /dev/null");
    await shows("\noff");
    await paste("line\n".repeat(20));
    const dialog = page.getByRole("dialog", { name: "Paste these lines?" });
    await dialog.waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
  });

  it("T14: losing the graphics processor leaves the text", async () => {
    await openTerminal();
    await run("echo gpu-$((1+1))");
    await shows("gpu-2");
    await page.locator(".xterm-screen canvas").first().waitFor({ state: "attached" });
    await page.evaluate(`for (const canvas of document.querySelectorAll(".xterm-screen canvas"))
      canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();`);
    await page.locator(".xterm-rows", { hasText: "gpu-2" }).waitFor({ state: "attached" });
  });

  it("security S13: T10: logging out elsewhere closes the terminal, and the page says so", async () => {
    await openTerminal();
    const other = await context.newPage();
    await other.goto(`${deployment.url}/workspaces`);
    await other.getByRole("button", { name: /owner/ }).click();
    await other.getByRole("button", { name: "Log out" }).click();
    await page
      .getByText(/Your access ended|Log in/)
      .first()
      .waitFor();
  });

  it("T13: the page of the terminal has no serious fault of accessibility", async () => {
    await openTerminal();
    expect(await seriousFaults(page)).toEqual([]);
  });
});
