/** The list of a thousand workspaces: what its page needs, and that it stays usable. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing } from "./chromium.ts";

const WORKSPACES = 1_000;
const CREATED_AT_ONCE = 8;

describe.skipIf(missing.length > 0)(`a long list (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    const lane = async (first: number): Promise<void> => {
      for (let n = first; n < WORKSPACES; n += CREATED_AT_ONCE) {
        const name = `box-${String(n).padStart(4, "0")}`;
        const answer = await deployment.api("POST", "/api/v2/users/me/workspaces", { name });
        if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
      }
    };
    await Promise.all(Array.from({ length: CREATED_AT_ONCE }, (_, first) => lane(first)));
  });
  afterAll(async () => {
    await browser?.close();
    await deployment?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
    await logInByForm(page, deployment);
  });
  afterEach(() => context.close());

  const row = (name: string) => page.getByRole("link", { name, exact: true });

  it("its first rows are in the page: they are drawn before the stream or the API has answered", async () => {
    const requests: string[] = [];
    await context.close();
    context = await browser.newContext({ storageState: await loggedIn() });
    // Nothing but the page's own files is answered; the stream's worker is one of them, but its script never comes.
    await context.route(/\/api\/|\/assets\/worker\//, () => new Promise(() => undefined));
    page = await context.newPage();
    page.on("request", (request) => void requests.push(new URL(request.url()).pathname));
    await page.goto(`${deployment.url}/workspaces`, { waitUntil: "commit" });
    await row("box-0000").waitFor();
    await row("box-0020").waitFor();
    expect(await page.getByRole("table").getAttribute("aria-rowcount")).toBe(String(WORKSPACES + 1));
    await page.getByText("1000 workspaces").waitFor();
    const files = requests.filter((path) => !path.includes("/worker/") && path !== "/icon/coder.svg");
    // The page, two scripts and a style sheet; with the stream and its worker that makes six.
    expect(files, files.join(", ")).toHaveLength(4);
  });

  it("a scroll to its end that began with the first rows ends at the last one", async () => {
    await context.close();
    context = await browser.newContext({ storageState: await loggedIn() });
    const rest = Promise.withResolvers<void>();
    await context.route(/\/api\/|\/assets\/worker\//, async (route) => {
      await rest.promise;
      await route.continue();
    });
    page = await context.newPage();
    await page.goto(`${deployment.url}/workspaces`, { waitUntil: "commit" });
    await row("box-0000").waitFor();
    await page.keyboard.press("End");
    const below = () =>
      page.evaluate<number>("document.documentElement.scrollHeight - innerHeight - Math.ceil(scrollY)");
    await expect.poll(below, { timeout: 30_000 }).toBeLessThanOrEqual(0);
    rest.resolve();
    await row("box-0999").waitFor();
  });

  it("a scroll to its end, another order and a filter show the right rows, and only a few exist", async () => {
    const drawn = () => page.locator("tr[aria-rowindex]").count();
    await row("box-0000").waitFor();
    // At once: the page is as high as all rows before they have come, and its end stays its end.
    await page.keyboard.press("End");
    await row("box-0999").waitFor();
    expect(await drawn()).toBeLessThan(80);
    await page.keyboard.press("Home");
    await row("box-0000").waitFor();
    await page.getByLabel("Filter workspaces").fill("box-099");
    await page.getByText("10 workspaces").waitFor();
    expect(await page.locator("tr[aria-rowindex]").count()).toBe(10);
    await page.getByLabel("Filter workspaces").fill("");
    await page.getByText("1000 workspaces").waitFor();
    await row("box-0000").waitFor();
    await page.getByLabel("Sort by").selectOption("used");
    // The latest was made last, give or take those that were made beside it.
    await page.locator("tr[aria-rowindex='2']", { hasText: /box-099\d/ }).waitFor();
    expect(await drawn()).toBeLessThan(80);
  });

  const loggedIn = async () => {
    const fresh = await browser.newContext();
    await logInByForm(await fresh.newPage(), deployment);
    const state = await fresh.storageState();
    await fresh.close();
    return state;
  };
});
