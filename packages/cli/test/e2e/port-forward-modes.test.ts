/** Other modes of `coder port-forward` (reverse, automatic), and its refusals. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { ANSWER, exchange, ForwardedWorkspace } from "./forwarded-workspace.ts";

describe("port-forward", () => {
  let workspace: ForwardedWorkspace;

  beforeAll(async () => {
    workspace = await ForwardedWorkspace.start();
  });

  afterEach(() => workspace.endForwards());

  afterAll(async () => {
    await workspace?.close();
  });

  it("forwards ports of the workspace to this machine", async () => {
    const remote = await freePort();
    const forwarding = await workspace.forward("--reverse", `${remote}:${workspace.hashingPort}`);
    expect(forwarding.stderr).toContain(
      `Forwarding tcp://127.0.0.1:${remote} in the workspace to tcp://127.0.0.1:${workspace.hashingPort} locally\n`,
    );
    const answer = await exchange(remote, ANSWER);
    expect(answer.subarray(ANSWER.length)).toEqual(createHash("sha256").update(ANSWER).digest());
  });

  it("--auto follows programs as they start and stop listening", async () => {
    const forwarding = await workspace.forward("--auto");
    const program = workspace.deployment.spawnProgram(
      "require('node:net').createServer((s) => s.end('from the workspace')).listen(0, '127.0.0.1', function () { console.log(this.address().port); });",
    );
    const port = Number(String((await once(program.stdout!, "data"))[0]).trim());
    const line = await forwarding.says(new RegExp(`Port ${port} of the workspace( \\(.+\\))? is http://\\S+`));
    const url = new URL(/http:\S+/.exec(line)![0]);
    expect(url.hostname).toBe(`${port}.demo.localhost`);
    expect((await exchange(Number(url.port), Buffer.alloc(0))).toString()).toBe("from the workspace");
    program.kill("SIGTERM");
    await forwarding.says(`Port ${port} of the workspace is closed`);
  });

  describe("errors are reported before anything listens", () => {
    it.each([
      [["--tcp", "0"], 2, "--tcp"],
      [["--tcp", "8080:70000"], 2, "--tcp"],
      [["--tcp", "8000-8010:9000-9005"], 2, "--tcp"],
      [["--udp", "53:dns.internal:53"], 2, "--udp leads to the workspace itself"],
      [[], 2, "Nothing to forward"],
    ])("%j", async (args, code, words) => {
      const done = await workspace.deployment.run(["port-forward", "demo", ...args]);
      expect([done.code, done.stdout]).toEqual([code, ""]);
      expect(done.stderr).toContain(words);
    });

    it("a port that another program uses", async () => {
      const done = await workspace.deployment.run(["tunnel", "demo", "--tcp", `${workspace.hashingPort}`]);
      expect([done.code, done.stdout]).toEqual([1, ""]);
      expect(done.stderr).toContain(`Cannot listen on tcp://127.0.0.1:${workspace.hashingPort}`);
      expect(done.stderr).toContain("(ERR_ADDRESS_IN_USE)");
    });

    it("a port of the workspace that another program uses", async () => {
      const done = await workspace.deployment.run(["port-forward", "demo", "--reverse", `${workspace.hashingPort}:1`]);
      expect(done.code).toBe(1);
      expect(done.stderr).toContain(`The workspace cannot listen on tcp://127.0.0.1:${workspace.hashingPort}`);
    });
  });
});
