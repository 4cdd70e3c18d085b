/** Debian's Chromium, and a page on which everything that must never happen is counted. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { PASSWORD } from "../e2e/deployment.ts";

const EXECUTABLE = "/usr/bin/chromium";

/** Names of the programs that are missing here; empty when there are none. */
export const missing: readonly string[] = existsSync(EXECUTABLE) ? [] : ["chromium"];

/** @param args Further arguments of the browser. */
export function launch(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader", ...args],
  });
}

/** What a page did that it must never do. */
export interface PageFaults {
  readonly violations: string[];
  readonly errors: string[];
  readonly dialogs: string[];
  /** Requests to hosts outside the deployment. */
  readonly foreign: string[];
}

const REPORT_VIOLATIONS = `document.addEventListener("securitypolicyviolation", (event) => {
  console.error("policy: " + [event.violatedDirective, event.blockedURI, event.sourceFile, event.sample].join(" "));
});`;

/** A page of the deployment. Its faults are collected across all its documents. */
export async function watchedPage(
  context: BrowserContext,
  origin: string,
): Promise<{ page: Page; faults: PageFaults }> {
  const faults: PageFaults = { violations: [], errors: [], dialogs: [], foreign: [] };
  await context.addInitScript({ content: REPORT_VIOLATIONS });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" && message.text().startsWith("policy: ")) faults.violations.push(message.text());
  });
  page.on("pageerror", (error) => void faults.errors.push(String(error.stack ?? error)));
  page.on("dialog", (dialog) => {
    faults.dialogs.push(dialog.message());
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.protocol !== "blob:" && url.origin !== origin) faults.foreign.push(url.href);
  });
  return { page, faults };
}

export async function logInByForm(page: Page, deployment: { readonly url: string }, user = "owner"): Promise<void> {
  await page.goto(`${deployment.url}/login`);
  await page.getByLabel("E-mail").fill(`${user}@example.com`);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  try {
    await page.getByRole("heading", { name: "Workspaces", exact: true }).waitFor();
  } catch (cause) {
    const shown = await page.textContent("body");
    throw new Error(`the login did not lead to the workspaces; ${page.url()} shows:\n${shown}`, { cause });
  }
}

/** The text of the terminal's screen, once it fulfils `condition`. */
export async function screenText(page: Page, condition: (text: string) => boolean, what: string): Promise<string> {
  let text = "";
  const limit = AbortSignal.timeout(60_000);
  while (!limit.aborted) {
    text = await page.evaluate<string>("window.__terminal?.text() ?? ''");
    if (condition(text)) return text;
    await page.waitForTimeout(100);
  }
  throw new Error(`the screen never showed ${what}; it shows:\n${text}`);
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
  }[];
}

/** Serious accessibility faults. The checker runs in an isolated world, to which the page's policy does not apply. */
export async function seriousFaults(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = (await session.send("Page.getFrameTree")) as { frameTree: { frame: { id: string } } };
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  await session.send("Runtime.evaluate", { contextId: executionContextId, expression: AXE });
  const { result } = await session.send("Runtime.evaluate", {
    contextId: executionContextId,
    expression: "axe.run().then((found) => JSON.stringify({ violations: found.violations }))",
    awaitPromise: true,
    returnByValue: true,
  });
  await session.detach();
  const { violations } = JSON.parse(String(result.value)) as AxeResult;
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
    );
}
