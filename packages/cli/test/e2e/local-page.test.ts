/** `coder open terminal`: the deployment's page, and with --local a page of this command over a tunnel of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LocalPageCommand } from "../local-page.ts";
import { TestDeployment } from "./deployment.ts";

const PATIENCE = { timeout: 30_000, interval: 50 };

/** One terminal of the page, as the page opens it. */
class Terminal {
  readonly socket: WebSocket;
  readonly events: { readonly type: string; readonly kind?: string }[] = [];
  output = "";
  closed: number | undefined;

  constructor(command: LocalPageCommand, agent: string, cookie: string, id: string) {
    const address = `${command.origin.replace("http", "ws")}/api/v2/workspaceagents/${agent}/pty`;
    const query = `?reconnect=${id}&width=80&height=24&control=1`;
    // Browsers set these headers themselves; Node's WebSocket takes them as an option.
    const options: object = { headers: { Origin: command.origin, Cookie: cookie } };
    this.socket = new WebSocket(`${address}${query}`, options);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.output += Buffer.from(data).toString("utf8");
      else this.events.push(JSON.parse(String(data)));
    };
    this.socket.onclose = ({ code }) => {
      this.closed = code;
    };
  }

  type(text: string): void {
    this.socket.send(Buffer.from(JSON.stringify({ data: text })));
  }

  async shows(text: string): Promise<void> {
    await expect.poll(() => this.output, PATIENCE).toContain(text);
  }

  async saw(type: string): Promise<void> {
    await expect.poll(() => this.events.map((event) => event.type), PATIENCE).toContain(type);
  }
}

describe("coder open terminal", () => {
  let deployment: TestDeployment;
  let command: LocalPageCommand;
  let cookie: string;
  let agent: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    const token = await deployment.createWorkspace("demo");
    deployment.startAgent(token, { PS1: "$ ", SHELL: "/bin/sh" });
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    const answer = await deployment.api("GET", "/api/v2/workspaces");
    const { workspaces } = (await answer.json()) as {
      workspaces: { latest_build: { resources: { agents: { id: string }[] }[] } }[];
    };
    agent = workspaces[0]!.latest_build.resources[0]!.agents[0]!.id;
  });
  afterAll(async () => {
    await deployment?.close();
  });

  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${command.origin}${path}`, {
      ...init,
      headers: { Origin: command.origin, Cookie: cookie, ...init.headers },
    });

  it("without --local, prints the address of the deployment's page", async () => {
    const done = await deployment.run(["open", "terminal", "demo"]);
    expect(done).toEqual({ code: 0, stdout: `${deployment.url}/@owner/demo/terminal\n`, stderr: "" });
    const named = await deployment.run(["open", "terminal", "owner/demo.main"]);
    expect(named.stdout).toBe(`${deployment.url}/@owner/demo.main/terminal\n`);
    expect((await deployment.run(["open", "terminal", "no-such"])).code).toBe(1);
  });

  describe("--local", () => {
    beforeEach(async () => {
      command = await LocalPageCommand.start(deployment, ["demo"]);
      ({ cookie } = await command.enter());
    });
    afterEach(async () => {
      await command.end();
    });

    it("security S28, S23: serves the dashboard's terminal page with the policy of the server, and no token anywhere", async () => {
      const page = await ask("/@owner/demo.main/terminal");
      const html = await page.text();
      expect(page.status).toBe(200);
      const policy = page.headers.get("content-security-policy") ?? "";
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self' 'nonce-");
      expect(policy).toContain(`connect-src 'self' ${command.origin.replace("http", "ws")}; `);
      expect(policy).toContain("require-trusted-types-for 'script'");
      const boot = JSON.parse(/<script[^>]*id="boot">(.*)<\/script>/.exec(html)![1]!) as object;
      expect(boot).toMatchObject({ local: { deployment: deployment.url, workspace: "owner/demo" } });
      const script = /src="(\/assets\/[^"]+\.js)"/.exec(html)![1]!;
      expect((await ask(script)).headers.get("content-type")).toBe("text/javascript; charset=utf-8");
      const texts = [html, command.output];
      for (const path of [
        "/users/owner/workspace/demo",
        `/workspaceagents/${agent}`,
        "/regions",
        "/applications/host",
      ]) {
        const answer = await ask(`/api/v2${path}`);
        expect([path, answer.status]).toEqual([path, 200]);
        texts.push(await answer.text(), JSON.stringify([...answer.headers]));
      }
      for (const text of texts) expect(text).not.toContain(deployment.ownerToken);
    });

    it("security S28: refuses the rest of the deployment's API", async () => {
      for (const path of [
        "/users/me",
        "/workspaces",
        "/users/owner/keys",
        "/users/owner/workspace/other",
        "/users/me/keys/tokens",
      ])
        expect([path, (await ask(`/api/v2${path}`)).status]).toEqual([path, 404]);
      const build = await ask("/api/v2/workspaces/x/builds", { method: "POST", body: "{}" });
      expect(build.status).toBe(404);
    });

    it("runs a shell over a direct path, shows it again to a second viewer, lists and ends it", async () => {
      const id = crypto.randomUUID();
      const first = new Terminal(command, agent, cookie, id);
      await first.saw("hello");
      first.type("echo x-$((40+2))-x\r");
      await first.shows("x-42-x");
      await expect
        .poll(() => first.events.some(({ type, kind }) => type === "path" && kind === "direct"), PATIENCE)
        .toBe(true);
      const network = (await (await ask(`/api/v2/workspaceagents/${agent}/network`)).json()) as object;
      expect(network).toMatchObject({ connections: { direct: 1, relayed: 0, unknown: 0 } });
      const second = new Terminal(command, agent, cookie, id);
      await second.saw("replay-end");
      expect(second.output).toContain("x-42-x");
      const list = await (await ask(`/api/v2/workspaceagents/${agent}/terminals`)).json();
      expect(list).toMatchObject({ terminals: [{ id, owner: "owner", viewers: 2 }], supported: true });
      // The deployment shows the same terminals.
      const there = await deployment.api("GET", `/api/v2/workspaceagents/${agent}/terminals`);
      expect(await there.json()).toMatchObject({ terminals: [{ id, owner: "owner" }] });
      const ended = await ask(`/api/v2/workspaceagents/${agent}/terminals/${id}`, { method: "DELETE" });
      expect(ended.status).toBe(204);
      await expect.poll(() => [first.closed, second.closed], PATIENCE).toEqual([1000, 1000]);
    });

    it("sends files both ways without the server", async () => {
      const files = `/api/v2/workspaceagents/${agent}/files`;
      const path = `${deployment.folder}/sent.bin`;
      const content = Buffer.alloc(300_000, "coder");
      const query = new URLSearchParams({ path });
      expect((await ask(`${files}?${query}`, { method: "PUT", body: content })).status).toBe(201);
      expect((await ask(`${files}?${query}`, { method: "PUT", body: content })).status).toBe(409);
      expect((await ask(`${files}?${query}&check=true`)).status).toBe(204);
      const back = await ask(`${files}?${query}`);
      expect(back.headers.get("content-disposition")).toContain('attachment; filename="sent.bin"');
      expect(Buffer.from(await back.arrayBuffer()).equals(content)).toBe(true);
      expect((await ask(`${files}?path=${encodeURIComponent(`${path}.none`)}`)).status).toBe(404);
    });

    it("ends with Ctrl-C: pages learn it, programs run on", async () => {
      const id = crypto.randomUUID();
      const terminal = new Terminal(command, agent, cookie, id);
      await terminal.saw("hello");
      terminal.type("kept=1; echo is-$((1+1))\r");
      await terminal.shows("is-2");
      command.child.kill("SIGINT");
      expect(await command.exit).toEqual([null, "SIGINT"]);
      expect(command.output).toContain("programs in it run on in the workspace");
      await expect.poll(() => terminal.closed, PATIENCE).toBe(1001);
      command = await LocalPageCommand.start(deployment, ["demo"]);
      ({ cookie } = await command.enter());
      const again = new Terminal(command, agent, cookie, id);
      await again.saw("replay-end");
      again.type("echo kept=$kept=\r");
      await again.shows("kept=1=");
    });

    it("ends when the right to the workspace ends, and the page knows why", async () => {
      await deployment.addMember("bob");
      deployment.startAgent(await deployment.createWorkspace("place", "bob"), { SHELL: "/bin/sh" });
      expect((await deployment.run(["ssh", "place", "--", "true"], { user: "bob" })).code).toBe(0);
      const bobs = deployment.spawn(["open", "terminal", "--local", "place"], {}, "bob");
      const page = await LocalPageCommand.of(bobs);
      const entered = await page.enter();
      const found = await deployment.api("GET", "/api/v2/users/bob/workspace/place");
      const { latest_build: build } = (await found.json()) as {
        latest_build: { resources: { agents: { id: string }[] }[] };
      };
      const terminal = new Terminal(page, build.resources[0]!.agents[0]!.id, entered.cookie, crypto.randomUUID());
      await terminal.saw("hello");
      expect((await deployment.api("PUT", "/api/v2/users/bob/status/suspend")).status).toBe(200);
      expect((await page.exit)[0]).not.toBe(0);
      await expect.poll(() => terminal.closed, PATIENCE).toBe(1008);
    });

    it.runIf(process.platform === "linux" && process.getuid?.() === 0)(
      "security S28: refuses another user of this machine, who knows the secret and the cookie",
      async () => {
        const script = `const { origin, cookie, secret } = JSON.parse(process.argv[1]);
          const headers = { Origin: origin, Cookie: cookie };
          Promise.all([
            fetch(origin + "/@owner/demo.main/terminal", { headers }),
            fetch(origin + "/enter", { method: "POST", headers, body: secret }),
          ]).then((answers) => console.log(answers.map(({ status }) => status).join()));`;
        const told = JSON.stringify({ origin: command.origin, cookie, secret: command.secret });
        const status = async (uid: number): Promise<string> => {
          const other = spawn(process.execPath, ["-e", script, told], { uid, gid: uid, cwd: "/" });
          let output = "";
          other.stdout.on("data", (chunk) => {
            output += String(chunk);
          });
          await once(other, "close");
          return output.trim();
        };
        expect(await status(65_534)).toBe("403,403");
        expect(await status(0)).toBe("200,200");
      },
    );
  });
});
