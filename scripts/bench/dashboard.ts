/** The pages of the dashboard in Chromium, with a thousand workspaces, beside a plain server of the same files in the same run. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { launch, logInByForm, missing } from "../../packages/cli/test/browser/chromium.ts";
import { TestDeployment } from "../../packages/cli/test/e2e/deployment.ts";
import { addViewers, fanOut } from "./dashboard-streams.ts";
import { type Bench, median, quantile, Rounds } from "./report.ts";

type Browser = Awaited<ReturnType<typeof launch>>;
type BrowserContext = Awaited<ReturnType<Browser["newContext"]>>;
type Page = Awaited<ReturnType<BrowserContext["newPage"]>>;
type Cookie = Awaited<ReturnType<BrowserContext["cookies"]>>[number];

const OURS = "dashboard";
const PLAIN = "plain file server";
const WORKSPACES = 1_000;
const CREATED_AT_ONCE = 8;
/** The slow computer that the budgets of the pages assume. */
const SLOWER = 4;
const UPDATES = 30;
const LISTINGS = 20;
const PAGES = join(import.meta.dirname, "../../packages/cli/dist/dashboard");
const LIST = "workspaces.json";
/** Finds the first workspace of the list by its name, whatever its number. */
const RENAMED = "aaa-";

const less = { better: "lower" } as const;

interface Site {
  readonly deployment: TestDeployment;
  readonly browser: Browser;
  readonly plainUrl: string;
  readonly cookies: Cookie[];
  readonly renamedId: string;
  /** Tokens of users who see every workspace. */
  readonly viewers: readonly string[];
}

export const dashboardBench: Bench = async ({ rounds, progress }) => {
  if (missing.length > 0)
    return { figures: [], ratios: [], missing: missing.map((what) => `the dashboard's pages: ${what}`), notes: [] };
  const measured = new Rounds();
  await using owned = new AsyncDisposableStack();
  progress(`dashboard: ${WORKSPACES} workspaces are made`);
  const site = await open(owned);
  for (let round = 0; round < rounds; round++) {
    progress(`dashboard, round ${round + 1} of ${rounds}`);
    await pages(site, measured);
    await listings(site, measured);
    await updates(site, measured, round);
    const name = (change: number): string => `${RENAMED}${round}-to-all-${change}`;
    await fanOut(site.deployment, { tokens: site.viewers, workspaceId: site.renamedId, name }, measured);
  }
  const figures = measured.figures();
  return {
    figures,
    ratios: figures
      .filter(({ name }) => name.startsWith(`${OURS},`))
      .flatMap(({ name }) => measured.against(name, name.replace(OURS, PLAIN))),
    missing: [],
    notes: [
      `cold caches, and a processor that is ${SLOWER} times slower for pages; ${WORKSPACES} workspaces; the plain server sends the login page as the dashboard answered it, its files by brotli, and the list as a file; what is on the wire is without the stream of a page, which has one for all tabs`,
    ],
  };
};

/** What a first visit costs. */
async function pages(site: Site, measured: Rounds): Promise<void> {
  const form = 'input[name="password"]';
  for (const [name, url] of [
    [OURS, site.deployment.url],
    [PLAIN, site.plainUrl],
  ] as const) {
    const login = await visit(site, `${url}/login`, form, []);
    measured.add(`${name}, login page shown`, login.shownMs, "ms", less);
    measured.add(`${name}, login page on the wire`, login.kB, "kB", less);
  }
  const list = await visit(site, `${site.deployment.url}/workspaces`, 'main a[href^="/@owner/"]', site.cookies);
  const figure = (what: string): string => `list of ${WORKSPACES} workspaces, ${what}`;
  measured.add(figure("first row shown"), list.shownMs, "ms", { ...less, target: 800 });
  measured.add(figure("on the wire"), list.kB, "kB", less);
  measured.add(figure("requests until it is shown"), list.requests, "requests", { ...less, target: 6 });
  measured.add(figure("heap of the page"), list.heapMB, "MB", { ...less, target: 30 });
}

interface Visit {
  readonly shownMs: number;
  readonly kB: number;
  readonly requests: number;
  readonly heapMB: number;
}

/** Opens a page with nothing in the cache. `selector` is what a person waits for. */
async function visit({ browser }: Site, url: string, selector: string, cookies: Cookie[]): Promise<Visit> {
  const context = await browser.newContext();
  try {
    await context.addCookies(cookies);
    const page = await context.newPage();
    await page.addInitScript({ content: whenShown(selector) });
    const devTools = await context.newCDPSession(page);
    let [bytes, requests] = [0, 0];
    devTools.on("Network.loadingFinished", ({ encodedDataLength }) => {
      bytes += encodedDataLength;
      requests++;
    });
    await devTools.send("Network.enable");
    await devTools.send("Performance.enable");
    await devTools.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
    await page.goto(url, { waitUntil: "commit" });
    const shownMs = await page.evaluate<number>("window.__shown");
    const seen = { shownMs, kB: bytes / 1_000, requests };
    const { metrics } = await devTools.send("Performance.getMetrics");
    const heap = metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? Number.NaN;
    return { ...seen, heapMB: heap / 1e6 };
  } finally {
    await context.close();
  }
}

/** Milliseconds from the start of the navigation until the frame after the one that has `selector`. */
function whenShown(selector: string): string {
  return `window.__shown = new Promise((resolve) => {
    const look = () => document.querySelector(${JSON.stringify(selector)}) === null
      ? requestAnimationFrame(look)
      : requestAnimationFrame(() => resolve(performance.now()));
    look();
  });`;
}

async function listings({ deployment, plainUrl }: Site, measured: Rounds): Promise<void> {
  const headers = { "Coder-Session-Token": deployment.ownerToken };
  for (const [name, url] of [
    [OURS, `${deployment.directUrl}/api/v2/workspaces?limit=${WORKSPACES}`],
    [PLAIN, `${plainUrl}/${LIST}`],
  ] as const) {
    const times: number[] = [];
    for (let i = 0; i < LISTINGS; i++) {
      const started = performance.now();
      await (await fetch(url, { headers })).arrayBuffer();
      times.push(performance.now() - started);
    }
    measured.add(`${name}, ${WORKSPACES} workspaces by the API`, median(times), "ms", less);
  }
}

/** From the request that renames a workspace until an open page shows its new name. */
async function updates(
  { deployment, browser, cookies, renamedId }: Site,
  measured: Rounds,
  round: number,
): Promise<void> {
  const context = await browser.newContext();
  try {
    const page = await listOf(context, deployment.url, cookies);
    const times: number[] = [];
    for (let i = 0; i < UPDATES; i++) {
      const name = `${RENAMED}${round}-${i}`;
      const shown = page.evaluate<number>(whenNamed(name));
      const started = wallClock();
      const answer = await deployment.api("PATCH", `/api/v2/workspaces/${renamedId}`, { name });
      if (!answer.ok) throw new Error(`the workspace was not renamed: ${answer.status} ${await answer.text()}`);
      times.push((await shown) - started);
    }
    measured.add("a change of a workspace until an open page shows it, p50", quantile(times, 0.5), "ms", less);
    measured.add("a change of a workspace until an open page shows it, p99", quantile(times, 0.99), "ms", {
      ...less,
      target: 100,
    });
  } finally {
    await context.close();
  }
}

async function listOf(context: BrowserContext, url: string, cookies: Cookie[]): Promise<Page> {
  await context.addCookies(cookies);
  const page = await context.newPage();
  await page.goto(`${url}/workspaces`);
  await page.locator(`main a[href^="/@owner/${RENAMED}"]`).first().waitFor();
  return page;
}

/** The time of day at which a link with this name is there. The page and this process have one clock. */
function whenNamed(name: string): string {
  return `new Promise((resolve) => {
    const look = () => {
      if (document.querySelector('main a[href="/@owner/${name}"]') === null) return false;
      observer.disconnect();
      resolve(performance.timeOrigin + performance.now());
      return true;
    };
    const observer = new MutationObserver(look);
    if (!look()) observer.observe(document.body, { subtree: true, childList: true, attributes: true });
  })`;
}

function wallClock(): number {
  return performance.timeOrigin + performance.now();
}

async function open(owned: AsyncDisposableStack): Promise<Site> {
  const deployment = await TestDeployment.start(undefined, process.env["BENCH_NODE"]);
  owned.defer(() => deployment.close());
  const names = [`${RENAMED}first`, ...Array.from({ length: WORKSPACES - 1 }, (_, n) => `box-${n}`)];
  const made = await Promise.all(
    Array.from({ length: CREATED_AT_ONCE }, async (_, lane) => {
      let first = "";
      for (let at = lane; at < names.length; at += CREATED_AT_ONCE) {
        const answer = await deployment.api("POST", "/api/v2/users/me/workspaces", { name: names[at] });
        if (answer.status !== 201) throw new Error(`no workspace was made: ${answer.status} ${await answer.text()}`);
        const { id } = (await answer.json()) as { id: string };
        if (at === 0) first = id;
      }
      return first;
    }),
  );
  const browser = await launch();
  owned.defer(() => browser.close());
  const context = await browser.newContext();
  await logInByForm(await context.newPage(), deployment);
  const cookies = await context.cookies();
  await context.close();
  const plainUrl = await startPlain(owned, deployment);
  const viewers = await addViewers(deployment);
  return { deployment, browser, plainUrl, cookies, renamedId: made[0]!, viewers };
}

async function startPlain(owned: AsyncDisposableStack, deployment: TestDeployment): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "bench-pages-"));
  owned.defer(() => rmSync(folder, { recursive: true }));
  cpSync(PAGES, folder, { recursive: true });
  const page = await fetch(`${deployment.directUrl}/login`, { headers: { Accept: "text/html" } });
  writeFileSync(join(folder, "login"), await page.text());
  const list = await deployment.api("GET", `/api/v2/workspaces?limit=${WORKSPACES}`);
  writeFileSync(join(folder, LIST), await list.text());
  const program = spawn(process.execPath, [join(import.meta.dirname, "static-files.ts"), folder], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  owned.defer(() => void program.stdin?.end());
  const [line] = (await once(createInterface({ input: program.stdout! }), "line")) as [string];
  return `http://127.0.0.1:${(JSON.parse(line) as { port: number }).port}`;
}
