/**
 * The web terminal as a peer of the workspace, in a real browser: what the server sees of it, and what happens when the tunnel
 * fails or the machine at its other end is another one.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync, readSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, screenText, seriousFaults, watchedPage } from "./chromium.ts";

const PIECE_BYTES = 16 * 1024 * 1024;
/** Longer than the text that is searched for. */
const OVERLAP_BYTES = 4096;

describe.skipIf(missing.length > 0)(`a terminal end to end (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;
  let sockets: string[];
  let wire: Wire;
  let token: string;
  let agent: ChildProcess;

  const startAgent = (): ChildProcess => deployment.startAgent(token, { PS1: "$ ", SHELL: "/bin/sh" });

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([
      TestDeployment.start(async (port) => {
        wire = await Wire.before(port);
        return wire.url;
      }),
      launch(),
    ]);
    token = await deployment.createWorkspace("demo");
    agent = startAgent();
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });
  afterAll(async () => {
    await browser?.close();
    await deployment?.close();
    wire?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    ({ page, faults } = await watchedPage(context, deployment.url));
    sockets = [];
    page.on("websocket", (socket) => void sockets.push(new URL(socket.url()).pathname));
    await logInByForm(page, deployment);
  });
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
  });

  const openTerminal = async (query: string): Promise<void> => {
    await page.goto(`${deployment.url}/@owner/demo/terminal?test=1${query}`);
    await page.locator(".xterm-helper-textarea").waitFor({ state: "attached" });
  };
  const run = async (line: string): Promise<void> => {
    await page.locator(".xterm-helper-textarea").focus();
    await page.keyboard.type(line);
    await page.keyboard.press("Enter");
  };
  const shows = (text: string): Promise<string> => screenText(page, (screen) => screen.includes(text), text);

  it("security S27: a marker typed and printed 1,000 times is nowhere in the server's memory, database or log", async () => {
    await openTerminal("&e2e=1");
    await page.getByText(/end-to-end · relayed via/).waitFor();
    await page.locator(".terminal-screen:not(.away)").waitFor();
    // Put together in the page, so that neither address nor test nor a server process ever holds the whole text.
    const marker = ["MARK", "end", "to", "END", String(process.pid)].join("-x-");
    await run(`i=0; while [ $i -lt 1000 ]; do echo ${marker}-$i; i=$((i+1)); done; echo all-$((6*7))`);
    await shows("all-42");
    expect(sockets.filter((path) => path.endsWith("/pty"))).toEqual([]);
    expect(occurrencesInMemory(deployment.server!.pid!, marker)).toBe(0);
    // Data that the relay sends is not masked, unlike data from browsers.
    expect(wire.bytes).toBeGreaterThan(1_000 * marker.length);
    expect(wire.occurrences(marker)).toBe(0);
    for (const file of filesBelow(deployment.folder))
      expect([file, occurrences(readFileSync(file), marker)]).toEqual([file, 0]);
    // Shows that the search works: this browser's login is in that memory.
    const { value } = (await context.cookies()).find(({ name }) => name.endsWith("session_token"))!;
    expect(occurrencesInMemory(deployment.server!.pid!, value.slice(0, 10))).toBeGreaterThan(0);
  });

  it("security S27: ends in browser-only mode, as it is a tunnel; the server's connection is used after a click alone", async () => {
    await openTerminal("&e2e=1");
    await page.locator(".terminal-screen:not(.away)").waitFor();
    await run("echo open-$((6*7))");
    await shows("open-42");
    await deployment.run(["external-workspaces", "edit-connection-policy", "demo", "browser-only"]);
    try {
      const question = page.getByRole("dialog", { name: "Use the server's connection instead?" });
      await question.getByText("Non-browser connections are disabled for your deployment.").waitFor();
      await page.keyboard.press("Escape");
      expect(sockets.filter((path) => path.endsWith("/pty"))).toEqual([]);
      await page.waitForTimeout(600); // buttons that confirm ignore clicks in the first half second
      await question.getByRole("button", { name: "Use the server's connection" }).click();
      await page.locator(".terminal-screen:not(.away)").waitFor();
      await run("echo fallen-$((6*7))");
      await shows("fallen-42");
      expect(sockets.filter((path) => path.endsWith("/pty"))).toHaveLength(1);
      expect(wire.occurrences("fallen-42")).toBeGreaterThan(0);
    } finally {
      await deployment.run(["external-workspaces", "edit-connection-policy", "demo", "inherit"]);
    }
  });

  it("security S27: goes on by itself after a restart of the agent, and asks before it connects to another machine", async () => {
    await openTerminal("&e2e=1");
    await page.locator(".terminal-screen:not(.away)").waitFor();
    const restartAgent = async (): Promise<void> => {
      const ended = once(agent, "close");
      agent.kill();
      await ended;
      agent = startAgent();
      expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    };
    const question = page.getByRole("dialog", { name: "This is not the machine that this browser knows" });
    await restartAgent();
    await page.reload();
    await page.locator(".terminal-screen:not(.away)").waitFor();
    expect(await question.count()).toBe(0);

    rmSync(join(deployment.folder, "home", ".config", "coder", "agent-identity"));
    await restartAgent();
    await page.reload();
    await question.waitFor();
    expect(await seriousFaults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await question.getByRole("button", { name: "Do not connect" }).click();
    await page.getByText("The workspace is not the one this browser knows").waitFor();
    await page.reload(); // it is asked again, and of no other connection
    await question.waitFor();
    expect(await page.locator(".terminal-screen:not(.away)").count()).toBe(0);
    expect(sockets.filter((path) => path.endsWith("/pty"))).toEqual([]);
    await page.waitForTimeout(600); // buttons that agree ignore the first half second
    await question.getByRole("button", { name: "Trust it from now on" }).click();
    await page.locator(".terminal-screen:not(.away)").waitFor();
    await run("echo trusted-$((6*7))");
    await shows("trusted-42");
    await page.reload();
    await page.locator(".terminal-screen:not(.away)").waitFor();
    expect(await question.count()).toBe(0);
  });

  it("is the only kind of terminal where the workspace requires it", async () => {
    const shown = await deployment.api("GET", "/api/v2/users/me/workspace/demo");
    const { id } = (await shown.json()) as { id: string };
    const require = (wanted: boolean) =>
      deployment.api("PUT", `/api/v2/workspaces/${id}/connection-policy`, { require_e2e: wanted });
    expect((await require(true)).status).toBe(200);
    try {
      await openTerminal("");
      await page.getByText(/end-to-end · relayed via/).waitFor();
      await page.locator(".terminal-screen:not(.away)").waitFor();
      await run("echo required-$((6*7))");
      await shows("required-42");
      expect(sockets.filter((path) => path.endsWith("/pty"))).toEqual([]);
      expect(await page.getByLabel("End-to-end").isDisabled()).toBe(true);
    } finally {
      await require(false);
    }
  });
});

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function occurrences(bytes: Buffer, text: string): number {
  let count = 0;
  for (const needle of [Buffer.from(text), Buffer.from(text, "utf16le")])
    for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) count++;
  return count;
}

/** Searches all memory that a process may write to. */
function occurrencesInMemory(pid: number, text: string): number {
  const file = openSync(`/proc/${pid}/mem`, "r");
  const piece = Buffer.alloc(PIECE_BYTES);
  let count = 0;
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from === undefined || to === undefined) continue;
      const end = BigInt(`0x${to}`);
      for (let at = BigInt(`0x${from}`); at < end; at += BigInt(PIECE_BYTES - OVERLAP_BYTES)) {
        const length = Number(end - at < BigInt(PIECE_BYTES) ? end - at : BigInt(PIECE_BYTES));
        let read = 0;
        try {
          read = readSync(file, piece, 0, length, at);
        } catch {
          break; // unmapped since it was listed, or memory of a device
        }
        count += occurrences(piece.subarray(0, read), text);
      }
    }
  } finally {
    closeSync(file);
  }
  return count;
}

/** A listener in front of the server that keeps every byte that passes, in both directions. */
class Wire {
  readonly #server: Server;
  readonly #kept: Buffer[][] = [];
  bytes = 0;

  static async before(port: number): Promise<Wire> {
    const wire = new Wire(port);
    await once(wire.#server.listen(0, "127.0.0.1"), "listening");
    return wire;
  }

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        const kept: Buffer[] = [];
        this.#kept.push(kept);
        from.on("data", (chunk: Buffer) => {
          kept.push(chunk);
          this.bytes += chunk.length;
        });
        from.on("error", () => to.destroy());
        from.pipe(to);
      }
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  occurrences(text: string): number {
    return this.#kept.reduce((sum, kept) => sum + occurrences(Buffer.concat(kept), text), 0);
  }

  close(): void {
    this.#server.close();
  }
}
