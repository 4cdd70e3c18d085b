/** A deployment whose every text tries to control the terminal. Whatever a command prints of it must be harmless. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PtyCommand } from "./pty.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const EVIL = "x\u001b]0;owned\u0007\u001b[2J\u009b31m\u009d52;c;aGk=\u009c\u202egnp\u2066\rforged\u001bPq\u001b\\";
const DANGEROUS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
const ID = "11111111-1111-4111-8111-111111111111";
const TIME = "2026-01-01T00:00:00Z";

/** Commands that print nothing of the answer. */
const SILENT = new Set([
  "users show bob",
  "external-workspaces list",
  "apps list dev",
  "apps edit dev x --share owner",
  "apps approve dev x",
  "apps remove dev x",
  "update-cli",
]);

const user = {
  id: ID,
  username: EVIL,
  email: EVIL,
  name: EVIL,
  status: EVIL,
  created_at: EVIL,
  roles: [{ name: EVIL }],
};
const agent = {
  id: ID,
  name: EVIL,
  status: EVIL,
  lifecycle_state: EVIL,
  version: EVIL,
  apps: [{ slug: EVIL }],
  scripts: [],
};
const workspace = {
  id: ID,
  name: EVIL,
  owner_name: EVIL,
  template_name: EVIL,
  outdated: false,
  health: { healthy: true, failing_agents: [] },
  latest_build: {
    id: ID,
    status: EVIL,
    transition: "start",
    created_at: TIME,
    template_version_name: EVIL,
    job: { error: EVIL },
    resources: [{ agents: [agent] }],
  },
};

const PROXY = {
  id: ID,
  name: EVIL,
  display_name: EVIL,
  icon_url: EVIL,
  healthy: false,
  path_app_url: EVIL,
  wildcard_hostname: EVIL,
  version: EVIL,
  created_at: TIME,
  updated_at: TIME,
  deleted: false,
  derp_enabled: true,
  derp_only: true,
  status: { status: EVIL, report: { errors: [EVIL], warnings: [EVIL] }, checked_at: EVIL },
};
const TERMINAL = {
  id: EVIL,
  command: EVIL,
  title: EVIL,
  started_at: TIME,
  last_attached_at: TIME,
  viewers: 1,
  viewer_names: [EVIL],
  foreground: EVIL,
  cols: 80,
  rows: 24,
  kept_until: null,
  owner: EVIL,
};

describe("hostile answers", () => {
  let server: Server;
  let url: string;
  let home: string;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "coder-hostile-"));
    server = createServer((request, response) => {
      const path = new URL(request.url!, "http://x").pathname;
      const answer = answerTo(request.method!, path);
      response.writeHead(answer.status, {
        "Content-Type": "application/json",
        "X-Coder-Build-Version": "v0.0.1\u009b2J",
      });
      response.end(JSON.stringify(answer.body));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
    rmSync(home, { recursive: true, force: true });
  });

  // Each is a process that starts, answers and ends: some at a time (vitest's maxConcurrency).
  it.concurrent.each([
    "whoami",
    "whoami -o json",
    "list",
    "list -o json",
    "list -c id,workspace",
    "show dev",
    "show dev -o json",
    "start dev",
    "stop --yes dev",
    "restart --yes dev",
    "rename dev other",
    "delete --yes dev",
    "open app dev",
    "open app dev none",
    "users list",
    "users list -o json",
    "users show bob",
    "users show me",
    "users delete alice",
    "users suspend --yes alice",
    "users edit-roles alice --roles owner",
    "users create -u alice -e a@b",
    "tokens list",
    "tokens create",
    "login --token x",
    "login --email a@b --password c",
    "ssh dev -- true",
    "ssh --stdio dev",
    "ping -n 1 dev",
    "port-forward dev --tcp 27281",
    "cp /etc/hostname dev:x",
    "config-ssh --yes --dry-run",
    "external-workspaces create new",
    "external-workspaces list",
    "external-workspaces agent-instructions dev",
    "external-workspaces agent-instructions -o json dev",
    "external-workspaces rotate-token --yes dev",
    "external-workspaces rotate-token dev",
    "apps list dev",
    "apps ports dev",
    "apps add dev x --app-url http://127.0.0.1:80",
    "apps edit dev x --share owner",
    "apps share dev 3000 --level owner",
    "apps approve dev x",
    "apps remove dev x",
    "wsproxy list",
    "wsproxy list -o json",
    "wsproxy create --name far",
    "wsproxy edit far --display-name y",
    "wsproxy delete --yes far",
    "wsproxy regenerate-token far",
    "terminals list dev",
    "terminals list dev -o json",
    "terminals end dev x",
    "doctor dev",
    "status dev",
    "update-cli",
    "users edit-connection-policy alice inherit",
    "external-workspaces edit-connection-policy dev inherit",
  ])("coder %s", async (line) => {
    const done = await run([...line.split(" "), ...(line.startsWith("login") ? [url] : [])]);
    expect(done.stdout, "stdout").not.toMatch(DANGEROUS);
    expect(done.stderr, "stderr").not.toMatch(DANGEROUS);
    expect(done.stdout + done.stderr, "a bug").not.toContain("ERR_BUG");
    // The text was received and printed.
    if (!SILENT.has(line)) expect(done.stdout + done.stderr).toContain("owned");
  });

  it.concurrent.each(["delete dev", "external-workspaces rotate-token dev"])(
    "coder %s asks without driving the terminal",
    async (line) => {
      const command = new PtyCommand(line.split(" "), environment());
      await command.sees(/x\?\]0;owned\?.*\(Y\/n\)/s);
      for (const sequence of ["\u001b]0;", "\u009b31m", "\u009d52", "\u202e", "\u001bPq"])
        expect(command.screen).not.toContain(sequence);
      command.hangUp();
    },
  );

  function answerTo(method: string, path: string): { status: number; body: unknown } {
    if (path.endsWith("/users/first")) return { status: 200, body: {} };
    if (path.endsWith("/users/login"))
      return { status: 400, body: { message: EVIL, detail: EVIL, validations: [{ field: EVIL, detail: EVIL }] } };
    if (path.endsWith("/bob")) return { status: 404, body: { message: EVIL } };
    if (path.endsWith("/tokens"))
      return method === "GET"
        ? { status: 200, body: [{ id: EVIL, token_name: EVIL, last_used: TIME, expires_at: EVIL, created_at: EVIL }] }
        : { status: 403, body: { message: EVIL, detail: EVIL } };
    const proxies = { status: 200, body: { regions: [PROXY] } };
    if (path.endsWith("/workspaceproxies"))
      return method === "GET" ? proxies : { status: 409, body: { message: EVIL } };
    if (path.includes("/workspaceproxies/"))
      return method === "GET" ? { status: 200, body: PROXY } : { status: 409, body: { message: EVIL, detail: EVIL } };
    if (path.endsWith("/terminals")) return { status: 200, body: { terminals: [TERMINAL] } };
    if (path.endsWith("/keys")) return { status: 201, body: { key: "abcdefghij-abcdefghijabcdefghijab" } };
    if (path.endsWith("/deployment/ssh"))
      return {
        status: 200,
        body: { hostname_prefix: "coder.", hostname_suffix: EVIL, ssh_config_options: { [EVIL]: EVIL } },
      };
    if (path.endsWith("/buildinfo")) return { status: 200, body: { version: EVIL, dashboard_url: EVIL } };
    if (path.endsWith("/api/v2/workspaces")) return { status: 200, body: { workspaces: [workspace], count: 1 } };
    if (path.includes("/external-agent/")) return { status: 200, body: { agent_token: EVIL, command: EVIL } };
    if (/\/workspace\/|\/workspaces\//.test(path))
      return method === "GET"
        ? { status: 200, body: workspace }
        : { status: 409, body: { message: EVIL, detail: EVIL } };
    if (path.endsWith("/api/v2/users") && method === "GET") return { status: 200, body: { users: [user], count: 1 } };
    if (path.includes("/users/"))
      return { status: method === "GET" ? 200 : 400, body: method === "GET" ? user : { message: EVIL, detail: EVIL } };
    return { status: 400, body: { message: EVIL, detail: EVIL } };
  }

  const environment = (): NodeJS.ProcessEnv => ({
    PATH: process.env["PATH"],
    HOME: home,
    CODER_URL: url,
    CODER_SESSION_TOKEN: "abcdefghij-abcdefghijabcdefghijab",
  });

  async function run(args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [coder, ...args], {
      env: environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    const late = setTimeout(() => child.kill("SIGTERM"), 60_000);
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    await once(child, "close");
    clearTimeout(late);
    return { stdout, stderr };
  }
});
