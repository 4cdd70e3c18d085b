/** The agent's SSH server with a Go client, which has the post-quantum key exchange that OpenSSH 10 prefers. */
import { type ChildProcess, execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { freePort } from "../free-port.ts";
import { missingTools } from "../natlab/lab.ts";

const HYBRID = "mlkem768x25519-sha256";
const missing = missingTools("go").filter((name) => name !== "root");
const source = join(import.meta.dirname, "../../../server/test/interop/go");
const built = join(import.meta.dirname, "../../../../.build/interop");

describe.skipIf(missing.length > 0)(
  `SSH of golang.org/x/crypto (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    let deployment: TestDeployment;
    let forwarding: ChildProcess;
    let port: number;

    beforeAll(async () => {
      mkdirSync(built, { recursive: true });
      execFileSync("go", ["build", "-o", join(built, "sshkex"), "./sshkex"], {
        cwd: source,
        stdio: ["ignore", "ignore", "inherit"],
      });
      deployment = await TestDeployment.start();
      deployment.startAgent(await deployment.createWorkspace("demo"));
      port = await freePort();
      // Port 1 of the tunnel is the SSH server.
      forwarding = deployment.spawn(["port-forward", "demo", "--tcp", `${port}:1`], {});
      let said = "";
      for await (const chunk of forwarding.stderr!) {
        said += String(chunk);
        if (said.includes("Ready!")) break;
      }
    });

    afterAll(async () => {
      await deployment?.close();
    });

    it("is offered the hybrid exchange first", async () => {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.write("SSH-2.0-test\r\n");
      let heard = "";
      while (!heard.includes("ecdh-sha2-nistp256")) heard += String(((await once(socket, "data")) as [Buffer])[0]);
      socket.destroy();
      expect(heard).toContain(`${HYBRID},curve25519-sha256,`);
    });

    it.each([HYBRID, "curve25519-sha256", "ecdh-sha2-nistp384"])(
      "runs a command over %s, with new keys many times on the way",
      async (kex) => {
        const { stdout } = await promisify(execFile)(
          join(built, "sshkex"),
          [`127.0.0.1:${port}`, kex, "head -c 4000000 /dev/zero | tr '\\0' x"],
          { encoding: "buffer", maxBuffer: 8 << 20 },
        );
        expect(stdout.length).toBe(4_000_000);
        expect(createHash("sha256").update(stdout).digest("hex")).toBe(
          createHash("sha256").update("x".repeat(4_000_000)).digest("hex"),
        );
      },
    );
  },
);
