/** A deployment whose access URL is an IPv6 literal, which a content security policy cannot name. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, screenText, watchedPage } from "./chromium.ts";

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));
const lacking = [...missing, ...(hasIpv6 ? [] : ["the address ::1"])];

describe.skipIf(lacking.length > 0)(`an IPv6 literal (missing here: ${lacking.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let front: Server | undefined;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;
  let complaints: string[];

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([
      TestDeployment.start(async (port) => {
        front?.close();
        front = await forward(port);
        return `http://[::1]:${(front.address() as AddressInfo).port}`;
      }),
      launch(),
    ]);
    deployment.startAgent(await deployment.createWorkspace("demo"), { PS1: "$ ", SHELL: "/bin/sh" });
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });
  afterAll(async () => {
    await browser?.close();
    await deployment?.close();
    front?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    ({ page, faults } = await watchedPage(context, deployment.url));
    complaints = [];
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) complaints.push(message.text());
    });
    await logInByForm(page, deployment);
  });
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
    expect(complaints).toEqual([]);
  });

  it("the list follows changes by its stream", async () => {
    await page.getByRole("link", { name: "demo", exact: true }).waitFor();
    const asked: string[] = [];
    page.on("request", (request) => void asked.push(new URL(request.url()).pathname));
    await deployment.createWorkspace("later");
    await page.getByRole("link", { name: "later", exact: true }).waitFor();
    // Without the stream the page would have asked the API.
    expect(asked.filter((path) => path.startsWith("/api/"))).toEqual([]);
  });

  for (const [kind, query] of [
    ["of the server", ""],
    ["end-to-end", "&e2e=1"],
  ] as const)
    it(`a terminal ${kind} runs a command`, async () => {
      await page.goto(`${deployment.url}/@owner/demo/terminal?test=1${query}`);
      if (query !== "") await page.getByText(/end-to-end · relayed via/).waitFor();
      await page.locator(".terminal-screen:not(.away)").waitFor();
      await page.locator(".xterm-helper-textarea").focus();
      await page.keyboard.type("echo x-$((40+2))-x");
      await page.keyboard.press("Enter");
      await screenText(page, (text) => text.includes("x-42-x"), "the result");
    });
});

/** Passes connections to ::1 on to the server, which listens on IPv4. */
async function forward(port: number): Promise<Server> {
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    upstream.on("error", () => client.destroy());
    client.on("error", () => upstream.destroy());
    client.pipe(upstream).pipe(client);
  });
  await once(server.listen(0, "::1"), "listening");
  return server;
}
