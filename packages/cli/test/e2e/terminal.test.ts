/** The terminal that outlives its connections, through real processes: over a tunnel, and as a browser. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { Deployment } from "coder-client/rest/deployment";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TcpStream } from "wg-userspace/io/sockets/tcp-stream";
import { TestDeployment } from "./deployment.ts";

describe("the terminal of a workspace", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    await deployment.createWorkspace("empty");
    await deployment.addMember("member");
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  it("keeps a terminal over the end of its connection, for several viewers", async () => {
    const id = randomUUID();
    await using first = await connect(deployment, "demo");
    const one = await Terminal.open(first, id, 33, 101);
    one.send({ data: "stty size; echo pid=$$. $CODER_WORKSPACE_NAME $TERM\r" });
    await one.sees(/pid=\d+\. demo xterm-256color/);
    expect(one.seen).toContain("33 101");
    const pid = /pid=(\d+)\./.exec(one.seen)![1];
    const two = await Terminal.open(first, id, 40, 120);
    await two.sees(new RegExp(`pid=${pid}\\.`));
    two.send({ data: "stty size; echo shared\r" });
    await one.sees(/40 120\s+shared/);
    await first.close();

    await using second = await connect(deployment, "demo");
    const again = await Terminal.open(second, id, 24, 80);
    await again.sees(/shared/);
    again.send({ data: "echo again=$$.; exit\r" });
    await again.sees(new RegExp(`again=${pid}\\.`));
    await again.ended;
  });

  it("is served to browsers, survives a reload, and is shared with tunnels", async () => {
    const id = randomUUID();
    const agentId = await agentOf(deployment, "demo");
    const query = { reconnect: id, width: "101", height: "33" };
    const page = await Page.open(deployment, agentId, query);
    page.send({ data: "stty size; echo pid=$$.\r" });
    await page.sees(/33 101/);
    await page.sees(/pid=\d+\./);
    const pid = /pid=(\d+)\./.exec(page.seen)![1];
    page.close();

    const reloaded = await Page.open(deployment, agentId, { ...query, width: "120", height: "40" });
    await reloaded.sees(new RegExp(`pid=${pid}\\.`));
    reloaded.send({ data: "stty size; seq -s, 1 50000; echo last\r" });
    await reloaded.sees(/40 120/);
    await reloaded.sees(/49999,50000\s+last/);
    expect(reloaded.seen).toContain(Array.from({ length: 50_000 }, (_, i) => i + 1).join(","));
    await using tunnel = await connect(deployment, "demo");
    const shared = await Terminal.open(tunnel, id, 0, 0);
    await shared.sees(/last/);
    reloaded.send({ data: "exit\r" });
    expect(await reloaded.closed).toBe(1000);
  });

  it("runs a command instead of the shell when the page asks for one", async () => {
    const agentId = await agentOf(deployment, "demo");
    const page = await Page.open(deployment, agentId, { reconnect: randomUUID(), command: "echo $((6*7))" });
    expect(await page.closed).toBe(1000);
    expect(page.seen).toBe("42\r\n");
  });

  it("shows in the terminal why there is none, and refuses other users", async () => {
    const agentId = await agentOf(deployment, "demo");
    const container = await Page.open(deployment, agentId, { reconnect: randomUUID(), container: "db" });
    await container.closed;
    expect(container.seen).toBe("coder agent: this agent has no containers\r\n");
    await expect(Page.open(deployment, agentId, { reconnect: "x" })).rejects.toThrow("refused");
    await expect(Page.open(deployment, agentId, { reconnect: randomUUID() }, "member")).rejects.toThrow("refused");
  });

  it("ends when the login does", async () => {
    const agentId = await agentOf(deployment, "demo");
    await deployment.logIn("owner");
    const page = await Page.open(deployment, agentId, { reconnect: randomUUID() });
    page.send({ data: "echo rea''dy\r" });
    await page.sees(/ready/);
    expect((await deployment.run(["logout", "--yes"])).code).toBe(0);
    expect(await page.closed).toBe(1008);
    await deployment.logIn("owner");
  });
});

/** The browser's end: the token in its address, and binary messages. */
class Page {
  readonly closed: Promise<number>;
  seen = "";
  readonly #socket: WebSocket;
  readonly #decoder = new TextDecoder();
  #changed = (): void => undefined;

  static async open(
    deployment: TestDeployment,
    agentId: string,
    query: Record<string, string>,
    user = "owner",
  ): Promise<Page> {
    const search = new URLSearchParams({ ...query, coder_session_token: tokenOf(deployment, user) });
    const url = `${deployment.url.replace("http", "ws")}/api/v2/workspaceagents/${agentId}/pty?${search}`;
    const page = new Page(new WebSocket(url));
    await new Promise<void>((resolve, reject) => {
      page.#socket.addEventListener("open", () => resolve());
      page.#socket.addEventListener("error", () => reject(new Error("refused")));
    });
    return page;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      this.seen += this.#decoder.decode(data as ArrayBuffer, { stream: true });
      this.#changed();
    });
    this.closed = new Promise((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
  }

  send(input: unknown): void {
    this.#socket.send(Buffer.from(JSON.stringify(input)));
  }

  sees(pattern: RegExp): Promise<void> {
    return until(
      pattern,
      () => this.seen,
      (changed) => {
        this.#changed = changed;
      },
    );
  }

  close(): void {
    this.#socket.close();
  }
}

async function agentOf(deployment: TestDeployment, workspace: string): Promise<string> {
  const shown = JSON.parse((await deployment.run(["show", workspace, "--output", "json"])).stdout);
  return shown.latest_build.resources[0].agents[0].id;
}

function tokenOf(deployment: TestDeployment, user: string): string {
  return readFileSync(join(deployment.environment(user)["CODER_CONFIG_DIR"]!, "session"), "utf8").trim();
}

async function connect(deployment: TestDeployment, workspace: string): Promise<WorkspaceConnection> {
  return WorkspaceConnection.open({
    deployment: new Deployment({ url: new URL(deployment.url), token: tokenOf(deployment, "owner") }),
    agentId: await agentOf(deployment, workspace),
    timeoutMs: 20_000,
  });
}

/** Resolves once the growing text matches. */
function until(pattern: RegExp, text: () => string, onChange: (changed: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${pattern} in ${JSON.stringify(text())}`)), 10_000);
    const look = (): void => {
      if (!pattern.test(text())) return;
      clearTimeout(late);
      resolve();
    };
    onChange(look);
    look();
  });
}

class Terminal {
  readonly ended: Promise<void>;
  seen = "";
  readonly #stream: TcpStream;
  #changed = (): void => undefined;

  static async open(connection: WorkspaceConnection, id: string, rows: number, columns: number): Promise<Terminal> {
    const stream = await connection.dial(2);
    const json = Buffer.from(
      `{"ID":"${id}","Height":${rows},"Width":${columns},"Command":"","Container":"","ContainerUser":"","BackendType":""}`,
    );
    const head = Buffer.alloc(2);
    head.writeUInt16LE(json.length);
    stream.write(Buffer.concat([head, json]));
    return new Terminal(stream);
  }

  private constructor(stream: TcpStream) {
    this.#stream = stream;
    stream.on("error", () => undefined); // its connection is closed by the other end
    stream.on("data", (chunk: Buffer) => {
      this.seen += Buffer.from(chunk).toString("utf8");
      this.#changed();
    });
    this.ended = new Promise((resolve) => stream.once("end", resolve));
  }

  send(input: unknown): void {
    this.#stream.write(JSON.stringify(input));
  }

  sees(pattern: RegExp): Promise<void> {
    return until(
      pattern,
      () => this.seen,
      (changed) => {
        this.#changed = changed;
      },
    );
  }
}
