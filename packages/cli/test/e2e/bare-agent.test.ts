/** An agent in a bare container: a uid without a passwd entry, no home directory, no folder for temporary files. */
import { spawn, spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
/** A uid as OpenShift assigns it. */
const NAMELESS = 1_000_650_000;
/** This process may switch to another user, who may read the built command. */
const canChangeUser =
  process.getuid?.() === 0 &&
  spawnSync(process.execPath, ["-e", `require("fs").accessSync(${JSON.stringify(coder)}, 4)`], {
    uid: NAMELESS,
    gid: NAMELESS,
    cwd: "/",
  }).status === 0;

describe("an agent in a bare container", () => {
  let deployment: TestDeployment;
  /** Stands in for an SSH agent and echoes what it receives. */
  let keys: Server;
  let socket: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    chmodSync(deployment.folder, 0o755);
    socket = join(deployment.folder, "keys");
    keys = createServer((connection) => connection.pipe(connection));
    await new Promise<void>((resolve) => keys.listen(socket, resolve));
  });
  afterAll(async () => {
    keys?.close();
    await deployment?.close();
  });

  const askKeys = `${process.execPath} -e 'require("net").connect(process.env.SSH_AUTH_SOCK).on("data", (answer) => { console.log(String(answer)); process.exit(); }).write("who is there")'`;

  async function answerOfKeys(workspace: string): Promise<void> {
    const environment = { SSH_AUTH_SOCK: socket };
    const done = await deployment.run(["ssh", "-A", workspace, "--", askKeys], { environment });
    expect([done.code, done.stdout], done.stderr).toEqual([0, "who is there\n"]);
  }

  it.skipIf(!canChangeUser)(
    "runs as a uid without a passwd entry, with neither HOME nor a writable TMPDIR",
    async () => {
      const agent = spawn(process.execPath, [coder, "agent"], {
        uid: NAMELESS,
        gid: NAMELESS,
        cwd: "/",
        env: {
          PATH: process.env["PATH"],
          TMPDIR: deployment.folder,
          CODER_AGENT_URL: deployment.url,
          CODER_AGENT_TOKEN: await deployment.createWorkspace("nameless"),
        },
        stdio: "ignore",
      });
      try {
        const script = 'id -u; pwd; echo "$HOME"; test -w "$TMPDIR" || echo read-only';
        const done = await deployment.run(["ssh", "nameless", "--", script]);
        expect([done.code, done.stdout], done.stderr).toEqual([0, `${NAMELESS}\n/\n/\nread-only\n`]);
        await answerOfKeys("nameless");
      } finally {
        agent.kill("SIGTERM");
      }
    },
  );

  it("forwards the SSH agent where TMPDIR is no directory", async () => {
    deployment.startAgent(await deployment.createWorkspace("file"), { TMPDIR: deployment.write("a-file", "") });
    await answerOfKeys("file");
  });
});
