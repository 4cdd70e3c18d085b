/** Runs the examples of the client library unchanged. */
import { type ChildProcess, execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const examples = join(import.meta.dirname, "../../../client/examples");

describe("the examples of the client library", () => {
  let deployment: TestDeployment;
  let token: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    token = (await deployment.run(["tokens", "create"])).stdout.trim();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  function example(
    name: string,
    args: readonly string[],
    input = "",
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      const child: ChildProcess = execFile(
        process.execPath,
        ["--no-warnings", join(examples, name), ...args],
        { env: { ...deployment.environment(), CODER_URL: deployment.url, CODER_SESSION_TOKEN: token } },
        (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
      child.stdin!.end(input);
    });
  }

  it("port.ts reaches a port", async () => {
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
    await once(echo, "listening");
    const done = await example("port.ts", ["demo", String((echo.address() as AddressInfo).port)], "there and back\n");
    echo.close();
    expect(done).toEqual({ code: 0, stdout: "there and back\n", stderr: "" });
  });

  it("fetch.ts fetches a page", async () => {
    const web = createHttpServer((request, response) => response.end(`you asked for ${request.url}`)).listen(
      0,
      "127.0.0.1",
    );
    await once(web, "listening");
    const done = await example("fetch.ts", ["demo", String((web.address() as AddressInfo).port), "/a?b"]);
    web.close();
    expect([done.code, done.stdout], done.stderr).toEqual([0, "200 you asked for /a?b\n"]);
  });

  it("ssh-exec.ts runs a command and passes its exit code", async () => {
    const done = await example("ssh-exec.ts", ["demo", "echo $CODER_WORKSPACE_NAME; exit 7"]);
    expect(done).toEqual({ code: 7, stdout: "demo\n", stderr: "" });
  });

  it("udp.ts asks a UDP port", async () => {
    const program = createSocket("udp4", (payload, from) =>
      program.send(`heard ${payload}`, from.port, from.address),
    ).bind(0, "127.0.0.1");
    await once(program, "listening");
    const done = await example("udp.ts", ["demo", String(program.address().port), "hello"]);
    program.close();
    expect(done).toEqual({ code: 0, stdout: "heard hello\n", stderr: "" });
  });
});
