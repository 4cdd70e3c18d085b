/** The pages in a real browser, beside ttyd where it is installed; and a thousand browsers that follow one deployment. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, missing } from "../../packages/cli/test/browser/chromium.ts";
import { PASSWORD, TestDeployment } from "../../packages/cli/test/e2e/deployment.ts";
import { streamRows } from "./dashboard-streams.ts";
import { type Bench, median, Rounds } from "./report.ts";
import { freePort } from "./sshd.ts";

type Browser = Awaited<ReturnType<typeof launch>>;
type Page = Awaited<ReturnType<Browser["newPage"]>>;

const TTYD = "/usr/bin/ttyd";
const OURS = "web terminal";
const PEER = "ttyd";
const MB = 1_000_000;
/** Together with the making of users, workspaces and files, the case ends within four minutes. */
const MAX_ROUNDS = 3;
/** Of a person, and of root. */
const PROMPT = /[$#] /;
const KEYS = 40;
const LIST = 1_000;
const SLOW_DOWN = 4;
const SCROLL_MS = 2_000;
const LATE_MS = 60_000;
const ECHO_WITHIN_MS = 10_000;
const TOGETHER = 8;

export const dashboardBench: Bench = async ({ rounds, megabytes, progress }) => {
  if (missing.length > 0)
    return { figures: [], ratios: [], missing: [`the dashboard: ${missing.join(", ")}`], notes: [] };
  const measured = new Rounds();
  const absent = existsSync(TTYD) ? [] : ["ttyd, beside the web terminal: the package ttyd"];
  await using owned = new AsyncDisposableStack();
  const deployment = await TestDeployment.start();
  owned.defer(() => deployment.close());
  deployment.startAgent(await deployment.createWorkspace("dev"), { PS1: "$ ", SHELL: "/bin/sh" });
  const up = await deployment.run(["ssh", "dev", "--", "true"]);
  if (up.code !== 0) throw new Error(up.stderr);
  const file = textFile(join(deployment.folder, "text"), Math.min(megabytes, 50) * MB);
  const browser = await launch();
  owned.defer(() => browser.close());
  const peer = absent.length > 0 ? undefined : await startTtyd(owned);
  for (let round = 0; round < Math.min(rounds, MAX_ROUNDS); round++) {
    progress(`dashboard, round ${round + 1} of ${Math.min(rounds, MAX_ROUNDS)}`);
    await walk(browser, deployment, measured);
    const ours = await openTerminal(browser, deployment);
    progress("dashboard, keys and output");
    await echoes(ours, measured);
    await longOutput(ours, OURS, file, measured);
    await ours.context().close();
    if (peer === undefined) continue;
    const theirs = await openTtyd(browser, peer);
    measured.add(`${PEER}, key to echo painted`, await keyToEcho(theirs), "ms", { better: "lower" });
    await longOutput(theirs, PEER, file, measured);
    await theirs.context().close();
  }
  progress("dashboard, 1,000 streams");
  await streamRows(deployment, measured);
  progress(`dashboard, a list of ${LIST} workspaces`);
  await longList(browser, deployment, measured);
  const output = `${Math.min(megabytes, 50)} MB of text to the prompt`;
  return {
    figures: measured.figures(),
    ratios: [
      ...measured.against(`${OURS}, key to echo painted`, `${PEER}, key to echo painted`),
      ...measured.against(`${OURS}, ${output}`, `${PEER}, ${output}`),
    ],
    missing: absent,
    notes: [
      "Chromium without a screen and without a GPU, which paints on the same cores; server, agent and browser on one machine",
      `a cold cache in each round; "slowed" is the processor of the page, to a ${SLOW_DOWN}th`,
    ],
  };
};

/** Lines as a compiler or a log writes them. */
function textFile(path: string, bytes: number): string {
  const line = "2026-01-02T03:04:05.678Z info request method=GET path=/api/v2/workspaces status=200 ms=12\n";
  const chunk = Buffer.from(line.repeat(1_000));
  const file = openSync(path, "w");
  for (let left = bytes; left > 0; left -= chunk.length) writeSync(file, chunk, 0, Math.min(left, chunk.length));
  closeSync(file);
  return path;
}

/** Notes, in every document, when the first row of the list is on the screen. */
const NOTE_FIRST_ROW = `(() => {
  const look = () => {
    if (document.querySelector("main tbody a[href^='/@']") === null) return void requestAnimationFrame(look);
    requestAnimationFrame(() => { window.firstRowAt = performance.timeOrigin + performance.now(); });
  };
  requestAnimationFrame(look);
})()`;

const now = (): number => performance.timeOrigin + performance.now();

/** The page's policy lets no text become a function: the page looks by itself. */
function until(page: Page, expression: string): Promise<unknown> {
  return page.evaluate(`new Promise((resolve, reject) => {
    const end = performance.now() + ${LATE_MS};
    const look = () => {
      if (${expression}) resolve();
      else if (performance.now() > end) reject(new Error(${JSON.stringify(`never: ${expression}`)}));
      else setTimeout(look, 10);
    };
    look();
  })`);
}

async function firstRowAt(page: Page): Promise<number> {
  await page.waitForURL("**/workspaces");
  await until(page, "window.firstRowAt !== undefined");
  return await page.evaluate<number>("window.firstRowAt");
}

/** From the login to the list, from the list to a shell; and a visit with a processor that is slow. */
async function walk(browser: Browser, deployment: TestDeployment, measured: Rounds): Promise<void> {
  const context = await browser.newContext();
  await context.addInitScript({ content: NOTE_FIRST_ROW });
  const page = await context.newPage();
  await page.goto(`${deployment.url}/login`);
  await page.getByLabel("E-mail").fill("owner@example.com");
  await page.getByLabel("Password").fill(PASSWORD);
  let started = now();
  await page.getByRole("button", { name: "Log in" }).click();
  measured.add("login to list painted", (await firstRowAt(page)) - started, "ms", { better: "lower", target: 800 });
  const prompt = new Promise<void>((resolve) => {
    page.on("websocket", (socket) => {
      if (!socket.url().includes("/pty?")) return;
      socket.on("framereceived", ({ payload }) => {
        if (PROMPT.test(String(payload))) resolve();
      });
    });
  });
  started = now();
  await page.getByRole("link", { name: "Terminal of dev" }).click();
  const late = sleep(LATE_MS, "late", { ref: false });
  if ((await Promise.race([prompt, late])) === "late") throw new Error("no prompt came from the shell");
  await painted(page);
  measured.add("list to shell prompt painted", now() - started, "ms", { better: "lower", target: 1_000 });
  const cookies = await context.cookies();
  await context.close();
  const slow = await browser.newContext();
  await slow.addCookies(cookies);
  await slow.addInitScript({ content: NOTE_FIRST_ROW });
  const cold = await slow.newPage();
  await (await slow.newCDPSession(cold)).send("Emulation.setCPUThrottlingRate", { rate: SLOW_DOWN });
  let requests = 0;
  cold.on("request", () => {
    requests++;
  });
  started = now();
  await cold.goto(`${deployment.url}/workspaces`);
  measured.add("list painted, cold and slowed", (await firstRowAt(cold)) - started, "ms", {
    better: "lower",
    target: 800,
  });
  measured.add("requests until then", requests, "", { better: "lower", target: 6 });
  await slow.close();
}

/** What was drawn when this was called is on the screen. */
function painted(page: Page): Promise<unknown> {
  return page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))");
}

async function loggedIn(browser: Browser, deployment: TestDeployment): Promise<Page> {
  const context = await browser.newContext();
  await context.addCookies([
    { name: "coder_session_token", value: deployment.ownerToken, url: deployment.url, sameSite: "Lax" },
  ]);
  return await context.newPage();
}

async function openTerminal(browser: Browser, deployment: TestDeployment): Promise<Page> {
  const page = await loggedIn(browser, deployment);
  await page.goto(`${deployment.url}/@owner/dev/terminal?test=1`);
  await until(page, `${PROMPT}.test((window.__terminal?.text() ?? "") + " ")`);
  await page.locator(".xterm-helper-textarea").focus();
  return page;
}

/** A key, and the same bytes over a socket of its own of the page, without an emulator. */
async function echoes(page: Page, measured: Rounds): Promise<void> {
  const echo = await keyToEcho(page);
  const trip = await page.evaluate<number>(`(async () => {
    const { pathname } = location;
    const [, owner, name] = /^\\/@([^/]+)\\/([^/]+)/.exec(pathname);
    const workspace = await (await fetch("/api/v2/users/" + owner + "/workspace/" + name)).json();
    const agent = workspace.latest_build.resources[0].agents[0].id;
    const socket = new WebSocket("/api/v2/workspaceagents/" + agent + "/pty?width=200&height=50&reconnect=" + crypto.randomUUID());
    socket.binaryType = "arraybuffer";
    const next = () => new Promise((resolve) => { socket.onmessage = resolve; });
    for (let text = ""; !${PROMPT}.test(text); ) text += new TextDecoder().decode((await next()).data);
    const trips = [];
    for (let i = 0; i < ${KEYS}; i++) {
      const started = performance.now();
      socket.send('{"data":"x"}');
      await next();
      trips.push(performance.now() - started);
    }
    socket.close();
    return trips.sort((a, b) => a - b)[trips.length >> 1];
  })()`);
  measured.add(`${OURS}, key to echo painted`, echo, "ms", { better: "lower" });
  measured.add("WebSocket round trip to the shell", trip, "ms", { better: "lower" });
  measured.add("key to echo painted, above the round trip", echo - trip, "ms", { better: "lower", target: 16 });
}

/** Median time from a key to the frame that shows its echo. */
async function keyToEcho(page: Page): Promise<number> {
  const times: number[] = [];
  await page.locator(".xterm-helper-textarea").focus();
  for (let i = 0; i < KEYS; i++) {
    await page.evaluate(`{
      const text = () => {
        if (window.term === undefined) return window.__terminal.text().length;
        const { active } = window.term.buffer;
        return active.baseY + active.cursorY + active.cursorX;
      };
      const before = text();
      window.echo = new Promise((resolve, reject) => {
        addEventListener("keydown", () => {
          const started = performance.now();
          const look = () => {
            const now = performance.now();
            if (text() !== before) resolve(now - started);
            else if (now - started > ${ECHO_WITHIN_MS}) reject(new Error("no echo"));
            else requestAnimationFrame(look);
          };
          requestAnimationFrame(look);
        }, { capture: true, once: true });
      });
      0;
    }`);
    await page.keyboard.press("x");
    times.push(await page.evaluate<number>("window.echo"));
  }
  return median(times);
}

/** Until a title behind the output has arrived: the emulator has parsed all of it. */
async function longOutput(page: Page, name: string, file: string, measured: Rounds): Promise<void> {
  await page.keyboard.press("Control+c");
  await page.keyboard.type(`cat ${file}; printf '\\033]2;%s\\007' all-$((40+2))`);
  const title = until(page, "document.title.includes('all-42')");
  const started = now();
  await page.keyboard.press("Enter");
  await title;
  const megabytes = Math.round(statSync(file).size / MB);
  measured.add(`${name}, ${megabytes} MB of text to the prompt`, (now() - started) / 1_000, "s", { better: "lower" });
}

async function startTtyd(owned: AsyncDisposableStack): Promise<string> {
  const port = await freePort();
  const args = ["--writable", "--interface", "127.0.0.1", "--port", String(port), "/bin/sh"];
  const child = spawn(TTYD, args, { stdio: "ignore", env: { ...process.env, PS1: "$ " } });
  owned.defer(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  return `http://127.0.0.1:${port}/`;
}

async function openTtyd(browser: Browser, url: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  for (const end = now() + 10_000; ; ) {
    const answer = await page.goto(url).catch((error: unknown) => {
      if (now() > end) throw error;
      return null; // not listening yet
    });
    if (answer !== null) break;
  }
  await until(page, "window.term?.buffer.active.cursorX > 0");
  await page.locator(".xterm-helper-textarea").focus();
  return page;
}

/** Frames while the list is scrolled by a line in each, and the time from a key of the filter to its rows. */
async function longList(browser: Browser, deployment: TestDeployment, measured: Rounds): Promise<void> {
  for (let made = 0; made < LIST; made += TOGETHER) {
    const names = Array.from({ length: Math.min(TOGETHER, LIST - made) }, (_, index) => `many-${made + index}`);
    await Promise.all(
      names.map(async (name) => {
        const answer = await deployment.api("POST", "/api/v2/users/me/workspaces", { name });
        if (answer.status !== 201) throw new Error(await answer.text());
        await answer.arrayBuffer();
      }),
    );
  }
  const page = await loggedIn(browser, deployment);
  const started = now();
  await page.addInitScript({ content: NOTE_FIRST_ROW });
  await page.goto(`${deployment.url}/workspaces`);
  measured.add(`list of ${LIST}, painted`, (await firstRowAt(page)) - started, "ms", { better: "lower" });
  await until(page, `document.documentElement.scrollHeight > ${LIST} * 20`);
  const frames = await page.evaluate<number>(`(async () => {
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    await frame();
    const started = performance.now();
    let frames = 0;
    for (; performance.now() - started < ${SCROLL_MS}; frames++) {
      window.scrollBy(0, 48);
      await frame();
    }
    return frames / ((performance.now() - started) / 1000);
  })()`);
  measured.add(`list of ${LIST}, frames a second while it is scrolled`, frames, "", { better: "higher", target: 50 });
  const heap = await (await page.context().newCDPSession(page)).send("Runtime.getHeapUsage");
  measured.add(`list of ${LIST}, heap of the page`, heap.usedSize / 2 ** 20, "MiB", { better: "lower", target: 30 });
  await page.context().close();
}
