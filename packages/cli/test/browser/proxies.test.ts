/** The page of workspace proxies in a real browser: from an empty list to a running proxy, and back to the empty list. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { PROXY_REGISTER_PATH, PROXY_TOKEN_HEADER, PROXY_TOKEN_PATTERN } from "coder-protocol/rest/workspace-proxies";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, seriousFaults, watchedPage } from "./chromium.ts";

describe.skipIf(missing.length > 0)(`workspace proxies (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;
  let proxy: Server;

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    proxy = createServer((_request, response) => response.end('{"errors":[],"warnings":["the disk is nearly full"]}'));
    await once(proxy.listen(0, "127.0.0.1"), "listening");
    await deployment.addMember("bob");
  });
  afterAll(async () => {
    proxy?.close();
    await browser?.close();
    await deployment?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    ({ page, faults } = await watchedPage(context, deployment.url));
  });
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
  });

  const rowOf = (title: string): Locator =>
    page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: title }) });

  /** Clicks until the dialog is gone, because it ignores clicks right after it has opened. */
  const agreeTo = async (label: string): Promise<void> => {
    const button = page.getByRole("dialog").getByRole("button", { name: label });
    const answered = async (): Promise<number> => {
      if (await button.isEnabled({ timeout: 100 }).catch(() => false))
        await button.click({ timeout: 1_000 }).catch(() => {}); // the button may vanish with the dialog
      return await page.getByRole("dialog").count();
    };
    await expect.poll(answered, { timeout: 30_000, interval: 200 }).toBe(0);
  };

  const linesOf = (text: Locator): Promise<number> =>
    text.evaluate((element) => {
      const range = element.ownerDocument.createRange();
      range.selectNodeContents(element);
      return new Set([...range.getClientRects()].map(({ top }) => top)).size;
    });

  const register = (token: string): Promise<Response> =>
    fetch(`${deployment.url}${PROXY_REGISTER_PATH}`, {
      method: "POST",
      headers: { [PROXY_TOKEN_HEADER]: token, "Content-Type": "application/json" },
      body: JSON.stringify({
        access_url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
        derp_enabled: false,
        derp_only: false,
        replica_id: randomUUID(),
        version: "v1.2.3",
      }),
    });

  /** The token, once the page has been asked to show it. */
  const shownToken = async (title: string): Promise<string> => {
    const token = page.getByRole("region", { name: `Token of ${title}` }).getByRole("region", { name: "Token" });
    await token.waitFor();
    expect(await token.locator("code").textContent()).toMatch(/^•+$/);
    await token.getByRole("button", { name: "Show" }).click();
    const text = (await token.locator("code").textContent()) ?? "";
    expect(text).toMatch(PROXY_TOKEN_PATTERN);
    return text;
  };

  it("a proxy is added by the keyboard, started with its token, edited, given another token, and deleted", async () => {
    await logInByForm(page, deployment);
    await page.goto(`${deployment.url}/deployment/proxies`);
    await page.getByText("There is no proxy yet").waitFor();
    expect(await rowOf("Default").getByRole("button").allTextContents()).toEqual(["Edit"]);

    await page.getByRole("button", { name: "Add a proxy" }).press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.locator("input[name=name]:focus").waitFor();
    await page.keyboard.type("Sydney");
    await dialog.getByText("The name must consist of lower-case letters").waitFor();
    await page.keyboard.press("Control+a");
    await page.keyboard.type("sydney");
    await page.keyboard.press("Tab");
    await page.keyboard.type("Sydney");
    await page.keyboard.press("Enter");

    const token = await shownToken("Sydney");
    const line = page.getByRole("region", { name: "Command line that starts the proxy" });
    const command = await line.locator("code").textContent();
    expect(command).toContain(`--primary-access-url ${deployment.url} `);
    expect(command).not.toContain(token);
    await rowOf("Sydney").getByText("Not started yet").waitFor();
    expect((await register(token)).status).toBe(201);
    // The page updates without a reload.
    await rowOf("Sydney").getByText("Warning").waitFor();
    await rowOf("Sydney").getByText("The disk is nearly full").waitFor();
    await rowOf("Sydney").getByText("v1.2.3").waitFor();

    await page.getByRole("button", { name: "The token is saved" }).click();
    expect(await page.content()).not.toContain(token);

    await page.getByRole("button", { name: "Edit: Sydney" }).click();
    await dialog.getByLabel("Display name").fill("Sydney, Australia");
    await dialog.getByLabel("Access URL").fill("ftp://example.com");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByRole("alert").waitFor();
    await dialog.getByLabel("Access URL").fill(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    await dialog.getByRole("button", { name: "Save" }).click();
    await rowOf("Sydney, Australia").waitFor();

    await page.getByRole("button", { name: "New token: Sydney, Australia" }).click();
    await dialog.getByText("The present token is refused at once").waitFor();
    await dialog.getByText("Terminals and web apps that are open through it end at once").waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    expect((await register(token)).status).toBe(201);
    await page.getByRole("button", { name: "New token: Sydney, Australia" }).click();
    await agreeTo("Replace the token");
    const second = await shownToken("Sydney, Australia");
    expect((await register(token)).status).toBe(401);
    expect((await register(second)).status).toBe(201);

    await page.getByRole("button", { name: "Delete: Sydney, Australia" }).click();
    expect(await dialog.getByRole("button", { name: "Delete the proxy" }).isDisabled()).toBe(true);
    await dialog.getByLabel("Type sydney to delete it").fill("sydney");
    await agreeTo("Delete the proxy");
    await page.getByText("There is no proxy yet").waitFor();
    expect(await page.content()).not.toContain(second);
    expect((await register(second)).status).toBe(401);
  });

  it("tokens stay until they are saved, and an answer that comes late leaves another dialog open", async () => {
    await logInByForm(page, deployment);
    await page.goto(`${deployment.url}/deployment/proxies`);
    const dialog = page.getByRole("dialog");
    const add = async (name: string): Promise<void> => {
      await page.getByRole("button", { name: "Add a proxy" }).click();
      await dialog.getByLabel("Name", { exact: true }).fill(name);
      await page.keyboard.press("Enter");
    };
    const masked = (title: string): Promise<boolean> =>
      page
        .getByRole("region", { name: `Token of ${title}` })
        .getByRole("region", { name: "Token" })
        .locator("code")
        .textContent()
        .then((text) => /^•+$/.test(text ?? ""));
    await add("first");
    const first = await shownToken("first");
    await add("second");
    await page.getByRole("region", { name: "Token of second" }).waitFor();
    expect([await masked("first"), await masked("second")]).toEqual([false, true]);

    await page.getByRole("link", { name: "Shares" }).click();
    await page.getByRole("heading", { name: "Shares", exact: true }).waitFor();
    await page.getByRole("link", { name: "Workspace proxies" }).click();
    expect(await shownToken("first")).toBe(first);
    const asked = page.waitForEvent("dialog");
    await page.close({ runBeforeUnload: true });
    expect((await asked).type()).toBe("beforeunload");
    expect(faults.dialogs.splice(0)).toHaveLength(1);

    const answer = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    await page.route("**/api/v2/workspaceproxies/*", async (route) => {
      held.resolve();
      await answer.promise;
      await route.continue();
    });
    await page.getByRole("button", { name: "Delete: first" }).click();
    await dialog.getByLabel("Type first to delete it").fill("first");
    const agree = async (): Promise<boolean> => {
      await dialog
        .getByRole("button", { name: "Delete the proxy" })
        .click({ timeout: 1_000 })
        .catch(() => {}); // the button is disabled while the request runs
      return await Promise.race([held.promise.then(() => true), page.waitForTimeout(200).then(() => false)]);
    };
    await expect.poll(agree, { timeout: 30_000 }).toBe(true);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Add a proxy" }).click();
    await dialog.getByLabel("Name", { exact: true }).fill("third");
    answer.resolve();
    await rowOf("first").waitFor({ state: "detached" });
    expect(await dialog.getByLabel("Name", { exact: true }).inputValue()).toBe("third");
    expect(await page.getByRole("region", { name: "Token of first", includeHidden: true }).count()).toBe(0);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "The token is saved" }).click();
    await page.getByRole("region", { name: "Token of second" }).waitFor({ state: "detached" });
  });

  it("has no serious fault of accessibility with its dialogs, and fits 360 pixels", async () => {
    for (const [name, display_name] of [
      ["near", ""],
      ["a-name-of-thirty-two-letters-abc", "A region whose name for people is longer than most"],
    ])
      await deployment.api("POST", "/api/v2/workspaceproxies", { name, display_name });
    await logInByForm(page, deployment);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.goto(`${deployment.url}/deployment/proxies`);
      await rowOf("near").waitFor();
      expect(await linesOf(rowOf("Default").getByText(/^\+/))).toBe(1);
      expect([colorScheme, await seriousFaults(page)]).toEqual([colorScheme, []]);
      for (const name of ["Add a proxy", "Edit: near", "New token: near", "Delete: near"]) {
        await page.getByRole("button", { name }).click();
        await page.getByRole("dialog").waitFor();
        expect([name, colorScheme, await seriousFaults(page)]).toEqual([name, colorScheme, []]);
        await page.keyboard.press("Escape");
        await page.getByRole("dialog").waitFor({ state: "detached" });
      }
    }
    await page.setViewportSize({ width: 360, height: 740 });
    expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBe(360);
  });

  it("is for owners only", async () => {
    await logInByForm(page, deployment, "bob");
    await page.goto(`${deployment.url}/deployment/proxies`);
    await page.getByText("Only owners of this deployment see this page").waitFor();
  });
});
