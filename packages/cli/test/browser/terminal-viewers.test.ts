/** The web terminal over time and with several viewers: lost servers and networks, floods, files, foreign pages. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, createServer as listenSilently, type Socket } from "node:net";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, screenText, watchedPage } from "./chromium.ts";

describe.skipIf(missing.length > 0)(`viewers of terminals (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;
  let home: string;

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    home = join(deployment.folder, "home");
    deployment.startAgent(await deployment.createWorkspace("demo"), { HOME: home, PS1: "$ ", SHELL: "/bin/sh" });
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

  const openTerminal = async (on: Page, query = ""): Promise<void> => {
    await on.goto(`${deployment.url}/@owner/demo/terminal?test=1${query}`);
    await on.locator(".terminal-place:not([hidden]) .terminal-screen:not(.away)").waitFor();
  };
  const run = async (on: Page, line: string): Promise<void> => {
    await on.locator(".terminal-place:not([hidden]) .xterm-helper-textarea").focus();
    await on.keyboard.type(line);
    await on.keyboard.press("Enter");
  };
  const shows = (on: Page, text: string): Promise<string> =>
    screenText(on, (screen) => screen.includes(text), JSON.stringify(text));
  const shellOf = async (on: Page, mark: string): Promise<string> => {
    await run(on, `echo ${mark}=$$=`);
    const pattern = new RegExp(`${mark}=(\\d+)=`);
    return pattern.exec(await screenText(on, (text) => pattern.test(text), "the shell"))![1]!;
  };

  it("T4: a killed server that comes back is the same shell, without a click", async () => {
    await openTerminal(page);
    const before = await shellOf(page, "before");
    const { server } = deployment;
    server!.kill("SIGKILL");
    await once(server!, "exit");
    await page.locator(".terminal-screen.away").waitFor();
    await page.keyboard.type("x");
    await page.getByText("Keys are not sent now.").waitFor();
    await deployment.startServer();
    await page.locator(".terminal-screen:not(.away)").waitFor({ timeout: 60_000 });
    expect(await shellOf(page, "after")).toBe(before);
  });

  it("T4: what answers nothing in the server's place is named, and its end reconnects", async () => {
    await openTerminal(page);
    const before = await shellOf(page, "before");
    const { server } = deployment;
    server!.kill("SIGKILL");
    await once(server!, "exit");
    const held = new Set<Socket>();
    const silent = listenSilently((socket) => held.add(socket.on("error", () => undefined)));
    silent.listen(Number(new URL(deployment.directUrl).port), "127.0.0.1");
    await once(silent, "listening");
    await page.getByText("Connecting…").waitFor({ timeout: 60_000 });
    await page.keyboard.type("x");
    await page.getByText("Keys are not sent now.").waitFor();
    for (const socket of held) socket.destroy();
    silent.close();
    await once(silent, "close");
    await deployment.startServer();
    await page.locator(".terminal-screen:not(.away)").waitFor({ timeout: 60_000 });
    expect(await shellOf(page, "after")).toBe(before);
  });

  it("T4: a network that was away is noticed, and its return reconnects", async () => {
    await openTerminal(page);
    const before = await shellOf(page, "before");
    await context.setOffline(true);
    await page.locator(".terminal-screen.away").waitFor({ timeout: 60_000 });
    await context.setOffline(false);
    await page.locator(".terminal-screen:not(.away)").waitFor({ timeout: 60_000 });
    expect(await shellOf(page, "after")).toBe(before);
  });

  it("T5: two windows share a shell: sizes, one answer, and one that only watches", async () => {
    await page.setViewportSize({ width: 1000, height: 600 });
    await openTerminal(page);
    await run(page, "echo shared-$((1+1))");
    await shows(page, "shared-2");
    const id = new URL(page.url()).searchParams.get("reconnect")!;
    const second = await context.newPage();
    await second.setViewportSize({ width: 700, height: 420 });
    await openTerminal(second, `&reconnect=${id}`);
    await shows(second, "shared-2");
    await run(second, "stty size");
    await page.getByText(/^Sized for owner's window/).waitFor();
    const [, columns] = /^\d+ (\d+)$/m.exec(await screenText(second, (text) => /^\d+ \d+$/m.test(text), "a size"))!;
    await page.getByText(`(${columns}×`).waitFor();
    await page.getByRole("button", { name: "Use mine" }).click();
    await second.getByText(/^Sized for owner's window/).waitFor();
    const watcher = await context.newPage();
    await openTerminal(watcher, `&reconnect=${id}&readonly=1`);
    await shows(watcher, "shared-2");
    await watcher.locator(".xterm-helper-textarea").focus();
    await watcher.keyboard.type("wrong");
    await run(page, "clear; stty -echo -icanon; printf '\\033[c'; cat -v");
    for (const viewer of [page, second, watcher]) await shows(viewer, "[?1;2c");
    await run(page, "done");
    for (const viewer of [page, second, watcher]) {
      const screen = await shows(viewer, "done");
      expect(screen.match(/\[\?1;2c/g)).toHaveLength(1);
      expect(screen).not.toContain("wrong");
    }
    await page.getByRole("button", { name: "Detach the others" }).click();
    await second.getByText("Another window took over this terminal.").waitFor();
    await second.getByRole("button", { name: "Take it back" }).click();
    await second.locator(".terminal-screen:not(.away)").waitFor();
  });

  it("security S22: T6: a flood leaves page and server small, and Ctrl-C ends it", async () => {
    await openTerminal(page);
    const rssKiB = (): number =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${deployment.server!.pid}/status`, "utf8"))?.[1]);
    const before = rssKiB();
    await run(page, "yes");
    await shows(page, "y\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny");
    await page.waitForTimeout(3_000); // determines the length of the flood; proves nothing
    const grown = rssKiB() - before;
    const heap = await page.evaluate<number>("performance.memory.usedJSHeapSize");
    const pressed = performance.now();
    await page.keyboard.press("Control+c");
    await run(page, "echo after-$((1+1))");
    await shows(page, "after-2");
    console.info(
      `T6: prompt ${Math.round(performance.now() - pressed)} ms after Ctrl-C, heap ${heap}, server +${grown} KiB`,
    );
    expect(heap).toBeLessThan(100 * 2 ** 20);
    expect(grown).toBeLessThan(128 * 1024);
  });

  it("security S8, S20: T9: a foreign page opens neither the socket nor a frame of the terminal", async () => {
    await openTerminal(page);
    const { searchParams } = new URL(page.url());
    const { id: agentId } = await page.evaluate<{ id: string }>(
      `fetch("/api/v2/users/me/workspace/demo").then((answer) => answer.json())
        .then((found) => found.latest_build.resources.flatMap((one) => one.agents)[0])`,
    );
    const socket = `${deployment.url.replace("http", "ws")}/api/v2/workspaceagents/${agentId}/pty?reconnect=${searchParams.get("reconnect")}`;
    const evil = createServer((_request, response) => {
      response.setHeader("Content-Type", "text/html");
      response.end(`<iframe src="${deployment.url}/@owner/demo/terminal"></iframe><script>
        const socket = new WebSocket(${JSON.stringify(socket)});
        socket.onopen = () => { document.title = "opened"; };
        socket.onerror = () => { document.title = "refused"; };
      </script>`);
    });
    evil.listen(0, "127.0.0.1");
    await once(evil, "listening");
    try {
      // Cookies do not depend on the port, so this page's requests carry the session.
      const foreign = await context.newPage();
      await foreign.goto(`http://127.0.0.1:${(evil.address() as AddressInfo).port}/`);
      await foreign.waitForFunction("document.title !== ''");
      expect(await foreign.title()).toBe("refused");
      const framed = foreign.frames().find((frame) => frame !== foreign.mainFrame());
      expect(await framed?.locator(".terminal").count()).toBe(0);
    } finally {
      evil.closeAllConnections();
      evil.close();
    }
  });

  const drop = (bytes: number, name: string): Promise<void> =>
    page.evaluate(
      `(() => {
        const content = new Uint8Array(${bytes});
        for (let at = 0; at < content.length; at++) content[at] = (at * 31 + (at >> 8)) & 255;
        const data = new DataTransfer();
        data.items.add(new File([content], ${JSON.stringify(name)}));
        document.querySelector(".terminal-screen .xterm-screen").dispatchEvent(
          new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
      })()`,
    );

  it("T12: a dropped file arrives whole in the shell's directory, and one that is called off leaves nothing", async () => {
    await openTerminal(page);
    await run(page, "mkdir drop-here && cd drop-here && echo in-$((1+1))");
    await shows(page, "in-2");
    const size = 20 * 2 ** 20;
    await drop(size, "big.bin");
    await page.getByText(/uploaded to .*drop-here\/big\.bin/).waitFor({ timeout: 90_000 });
    const expected = Buffer.alloc(size);
    for (let at = 0; at < size; at++) expected[at] = (at * 31 + (at >> 8)) & 255;
    const hash = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
    expect(hash(readFileSync(join(home, "drop-here/big.bin")))).toBe(hash(expected));
    await drop(10, "big.bin");
    await page.getByText("A file of that name exists.").waitFor();
    await page.getByRole("button", { name: "Replace it" }).click();
    await expect.poll(() => readFileSync(join(home, "drop-here/big.bin")).length, { timeout: 30_000 }).toBe(10);
    const session = await context.newCDPSession(page);
    await session.send("Network.enable");
    await session.send("Network.emulateNetworkConditions", {
      offline: false,
      latency: 0,
      downloadThroughput: -1,
      uploadThroughput: 512 * 1024,
    });
    await drop(size, "off.bin");
    const parts = (): string[] => readdirSync(join(home, "drop-here")).filter((name) => name.startsWith(".off.bin"));
    await expect.poll(parts, { timeout: 30_000 }).toHaveLength(1);
    await page.getByRole("button", { name: "Cancel" }).click();
    await expect.poll(parts, { timeout: 30_000 }).toEqual([]);
    expect(existsSync(join(home, "drop-here/off.bin"))).toBe(false);
  });

  it("tabs keep their programs over a reload, and the list of sessions opens and ends them", async () => {
    await openTerminal(page);
    const first = await shellOf(page, "first");
    await page.getByRole("button", { name: "New terminal" }).click();
    await page.locator('[role="tab"][aria-selected="true"]', { hasText: "2:" }).waitFor();
    await page.locator(".terminal-place:not([hidden]) .terminal-screen:not(.away)").waitFor();
    const second = await shellOf(page, "second");
    expect(second).not.toBe(first);
    await page.reload();
    await page.locator(".terminal-place:not([hidden]) .terminal-screen:not(.away)").waitFor();
    expect(await page.getByRole("tab").count()).toBe(2);
    await page.getByRole("button", { name: "Close this tab" }).click();
    await page.getByRole("button", { name: "Sessions" }).click();
    const dialog = page.getByRole("dialog", { name: "Running sessions" });
    await dialog.getByRole("row").nth(2).waitFor();
    const rows = await dialog.getByRole("row").count();
    await dialog.getByRole("button", { name: /^End / }).first().click();
    await expect.poll(() => dialog.getByRole("row").count(), { timeout: 30_000 }).toBe(rows - 1);
    await dialog
      .getByRole("button", { name: /^Open .* here$/ })
      .last()
      .click();
    await dialog.waitFor({ state: "detached" });
    await page.locator(".terminal-place:not([hidden]) .terminal-screen:not(.away)").waitFor();
  });
});
