/** A web page in a real browser fetches from a workspace through the tunnel. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { missingTools } from "../natlab/lab.ts";

const missing = missingTools("chromium").filter((name) => name !== "root");
const FILE = randomBytes(20 << 20);

const PAGE = `<!doctype html><title>page</title><script type="module">
import { connectWorkspace } from "/library.js";
const { token, port } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const report = { agent: navigator.userAgent };
try {
  const started = performance.now();
  const workspace = await connectWorkspace({ url: new URL(location.origin), token, workspace: "demo" });
  report.connectedMs = performance.now() - started;
  const file = await (await workspace.fetch(Number(port), "/file")).arrayBuffer();
  report.fileMs = performance.now() - started - report.connectedMs;
  report.sha256 = hex(await crypto.subtle.digest("SHA-256", file));
  const echoed = await workspace.fetch(Number(port), "/echo", { method: "POST", body: "from a page" });
  report.echo = [echoed.status, await echoed.text()];
  report.refused = await workspace.fetch(1023, "/").then(() => "answered", (error) => error.code);
  await workspace.close();
} catch (error) {
  report.error = String(error.stack ?? error) + " " + (error.detail ?? "");
}
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
</script>`;

describe.skipIf(missing.length > 0)(`a web page (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let program: Server;
  let site: Server;
  let browser: ChildProcess | undefined;
  const reported = Promise.withResolvers<Record<string, unknown>>();
  /** Sizes in bytes: uncompressed, by gzip and by brotli. */
  let sizes: number[];

  beforeAll(async () => {
    const root = join(import.meta.dirname, "../../../..");
    const library = join(root, ".build/interop/coder-client.browser.js");
    const built = execFileSync(process.execPath, [join(root, "scripts/build-library.ts"), library], {
      encoding: "utf8",
    });
    sizes = /: (\d+) bytes, (\d+) by gzip, (\d+) by brotli/.exec(built)!.slice(1).map(Number);
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    program = createServer((request, response) => {
      if (request.url === "/echo") request.pipe(response.writeHead(201));
      else response.end(FILE);
    }).listen(0, "127.0.0.1");
    await once(program, "listening");
    site = siteBefore(deployment.directUrl, readFileSync(library), reported.resolve).listen(0, "127.0.0.1");
    await once(site, "listening");
  });

  afterAll(async () => {
    browser?.kill("SIGKILL");
    site?.close();
    site?.closeAllConnections();
    program?.close();
    await deployment?.close();
  });

  it("fetches 20 MB from a port of the workspace, byte for byte", async () => {
    const token = (await deployment.run(["tokens", "create"])).stdout.trim();
    const { port } = program.address() as AddressInfo;
    const page = `http://127.0.0.1:${(site.address() as AddressInfo).port}/page#token=${token}&port=${port}`;
    const profile = join(deployment.folder, "profile");
    browser = spawn(
      "chromium",
      ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", `--user-data-dir=${profile}`, page],
      { stdio: "ignore", env: deployment.environment() },
    );
    const ended = once(browser, "exit").then(([code]) => {
      throw new Error(`the browser ended with ${code}`);
    });
    ended.catch(() => undefined); // it is killed at the end
    const report = await Promise.race([reported.promise, ended]);
    expect(report["error"]).toBeUndefined();
    expect(report["agent"]).toContain("Chrome");
    expect(report["sha256"]).toBe(createHash("sha256").update(FILE).digest("hex"));
    expect(report["echo"]).toEqual([201, "from a page"]);
    expect(report["refused"]).toBe("ERR_CONNECTION_REFUSED");
    const perSecond = (FILE.length * 8) / 1e3 / (report["fileMs"] as number);
    process.stdout.write(
      `a web page: library ${sizes[0]} bytes (${sizes[1]} by gzip, ${sizes[2]} by brotli), connected in ${Math.round(report["connectedMs"] as number)} ms, ${Math.round(perSecond)} Mbit/s through the relay\n`,
    );
  });

  it("needs no more than 400 kB for it", () => {
    expect(sizes[0]).toBeLessThan(400_000);
    expect(sizes[1]).toBeLessThan(140_000);
  });
});

/** A site that serves the page and passes everything else to the deployment, as one origin, like a dashboard. */
function siteBefore(
  deploymentUrl: string,
  library: Buffer,
  onReport: (report: Record<string, unknown>) => void,
): Server {
  const { hostname, port } = new URL(deploymentUrl);
  const site = createServer((request, response) => {
    if (request.url === "/page") response.writeHead(200, { "Content-Type": "text/html" }).end(PAGE);
    else if (request.url === "/library.js") response.writeHead(200, { "Content-Type": "text/javascript" }).end(library);
    else if (request.url === "/report") {
      void textOf(request).then((text) => onReport(JSON.parse(text) as Record<string, unknown>));
      response.end();
    } else {
      const { method, url: path, headers } = request;
      const passed = httpRequest({ hostname, port, method, path, headers }, (answer) => {
        answer.pipe(response.writeHead(answer.statusCode!, answer.headers));
      });
      request.pipe(passed);
    }
  });
  site.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const upstream = connect(Number(port), hostname, () => {
      const lines = request.rawHeaders.flatMap((name, i, all) => (i % 2 === 0 ? [`${name}: ${all[i + 1]}`] : []));
      upstream.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const)
      one.on("error", () => other.destroy());
  });
  return site;
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}
