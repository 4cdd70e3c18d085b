/**
 * Makes the pictures of docs/dashboard in both themes: a small deployment with agents, clients and proxies, all on this machine,
 * photographed in Chromium. Runs in a network namespace of its own, in which no other program listens, so it needs root and Linux.
 * `node scripts/pictures.ts [NAME...]` makes the pictures whose names begin so; by default all.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { launch, logInByForm } from "../packages/cli/test/browser/chromium.ts";
import { sceneOf } from "./pictures/scene.ts";

type Browser = Awaited<ReturnType<typeof launch>>;
type BrowserContext = Awaited<ReturnType<Browser["newContext"]>>;
type Page = Awaited<ReturnType<BrowserContext["newPage"]>>;

const FOLDER = join(import.meta.dirname, "../docs/dashboard");
const INSIDE = "CODER_PICTURES_INSIDE";
const WIDTH = 1280;
const HEIGHT = 800;

interface Picture {
  readonly name: string;
  readonly path: string;
  /** Shown without a login. */
  readonly open?: true;
  /** Taken of the whole page, as high as it is. */
  readonly whole?: true;
  readonly width?: number;
  readonly themes?: readonly ("light" | "dark")[];
  /** Brings the page into the state to show. */
  readonly prepare?: (page: Page) => Promise<void>;
}

const PICTURES: readonly Picture[] = [
  { name: "login", path: "/login", open: true, prepare: (page) => page.getByLabel("E-mail").waitFor() },
  {
    name: "workspaces",
    path: "/workspaces",
    prepare: (page) =>
      page
        .getByText(/^Direct/)
        .first()
        .waitFor(),
  },
  { name: "create", path: "/workspaces/new", prepare: create },
  { name: "workspace", path: "/@owner/demo", whole: true, prepare: workspace },
  { name: "workspace", path: "/@owner/demo", width: 390, themes: ["light"], prepare: connected },
  { name: "terminal", path: "/@owner/demo/terminal?test=1&e2e=1", prepare: terminal },
  { name: "users", path: "/users", prepare: (page) => page.getByText("grace", { exact: true }).waitFor() },
  { name: "health", path: "/health", prepare: (page) => page.getByText(/relay/i).first().waitFor() },
  { name: "network", path: "/deployment/network", prepare: network },
  { name: "proxies", path: "/deployment/proxies", prepare: (page) => page.getByText("Failing").waitFor() },
  {
    name: "deployment",
    path: "/deployment/overview",
    prepare: (page) => page.getByText("access-url").first().waitFor(),
  },
];

if (process.env[INSIDE] === undefined) {
  const line = `ip link set lo up && exec "$0" "$@"`;
  const args = ["--net", "sh", "-c", line, process.execPath, ...process.argv.slice(1)];
  const { status, error } = spawnSync("unshare", args, { stdio: "inherit", env: { ...process.env, [INSIDE]: "1" } });
  if (error !== undefined) throw error;
  process.exitCode = status ?? 1;
} else await main(process.argv.slice(2));

async function main(names: readonly string[]): Promise<void> {
  const wanted = PICTURES.filter(({ name }) => names.length === 0 || names.some((start) => name.startsWith(start)));
  if (wanted.length === 0) throw new Error(`no picture begins with ${names.join(" or ")}`);
  await using scene = await sceneOf();
  const browser = await launch();
  try {
    for (const theme of ["light", "dark"] as const) {
      const context = await browser.newContext({ colorScheme: theme, locale: "en-US", timezoneId: "UTC" });
      const visitor = await browser.newContext({ colorScheme: theme, locale: "en-US", timezoneId: "UTC" });
      await logInByForm(await context.newPage(), scene.deployment);
      for (const picture of wanted)
        if (picture.themes === undefined || picture.themes.includes(theme))
          await take(picture.open === true ? visitor : context, scene.deployment.url, picture, theme);
      await context.close();
      await visitor.close();
    }
  } finally {
    await browser.close();
  }
}

async function take(context: BrowserContext, url: string, picture: Picture, theme: string): Promise<void> {
  const { name, path, width, whole = false, prepare } = picture;
  const page = await context.newPage();
  await page.setViewportSize({ width: width ?? WIDTH, height: HEIGHT });
  await page.goto(`${url}${path}`);
  await prepare?.(page);
  // The pointer and the focus are no part of a picture.
  await page.mouse.move(0, 0);
  const file = `${name}-${width === undefined ? theme : "narrow"}.png`;
  await page.screenshot({ path: join(FOLDER, file), fullPage: whole, caret: "hide", animations: "disabled" });
  process.stdout.write(`${file}\n`);
  await page.close();
}

async function connected(page: Page): Promise<void> {
  await page
    .getByText(/client.* directly/)
    .first()
    .waitFor();
}

async function workspace(page: Page): Promise<void> {
  await connected(page);
  await page.getByText("Over time").click();
  await page.getByText("Median latency").waitFor();
  await page.getByText("Succeeded").first().waitFor();
  await page.getByRole("row", { name: /8080/ }).waitFor();
}

async function create(page: Page): Promise<void> {
  await page.getByLabel("Name", { exact: true }).fill("studio");
}

async function terminal(page: Page): Promise<void> {
  await page.locator(".terminal-screen:not(.away)").waitFor();
  await page.getByText(/end-to-end · relayed via/).waitFor();
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.type("clear; ls -la --color project; git -C project log --oneline | cat");
  await page.keyboard.press("Enter");
  await page.waitForFunction("window.__terminal?.text().includes('first page')");
}

async function network(page: Page): Promise<void> {
  await page.getByText(/direct \(/).waitFor();
  await page.getByText(/\d ms/).first().waitFor();
}
