/** A reverse proxy that knows WebSocket and nothing else: the relay's raw upgrade does not get through. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { freePort, TestDeployment } from "../e2e/deployment.ts";
import { missingTools } from "../natlab/lab.ts";

const missing = missingTools("nginx").filter((name) => name !== "root");

describe.skipIf(missing.length > 0)(
  `nginx in front of the server (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    let deployment: TestDeployment;
    let nginx: ChildProcess | undefined;

    /** Only "websocket" is passed on as an upgrade; any other kind reaches the server as a plain request. */
    async function front(port: number, folder: string): Promise<string> {
      const publicPort = await freePort();
      const config = join(folder, "nginx.conf");
      writeFileSync(
        config,
        `daemon off;
pid ${folder}/nginx.pid;
error_log stderr warn;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  map $http_upgrade $passed_upgrade { default ""; websocket websocket; }
  map $http_upgrade $passed_connection { default close; websocket upgrade; }
  server {
    listen 127.0.0.1:${publicPort};
    location / {
      proxy_pass http://127.0.0.1:${port};
      proxy_http_version 1.1;
      proxy_set_header Host $host:$server_port;
      proxy_set_header Upgrade $passed_upgrade;
      proxy_set_header Connection $passed_connection;
      proxy_read_timeout 300s;
    }
  }
}
`,
      );
      nginx = spawn("nginx", ["-p", folder, "-c", config], { stdio: "ignore" });
      // It listens before there is a server behind it: whoever asks then gets 502.
      const answers = () =>
        fetch(`http://127.0.0.1:${publicPort}/`).then(
          ({ status }) => status === 502,
          () => false,
        );
      await vi.waitUntil(answers, { timeout: 10_000 });
      return `http://127.0.0.1:${publicPort}`;
    }

    beforeAll(async () => {
      deployment = await TestDeployment.start(front);
      deployment.startAgent(await deployment.createWorkspace("demo"));
    });

    afterAll(async () => {
      await deployment?.close();
      // The master ends its workers; killed, it would leave them.
      nginx?.kill("SIGTERM");
    });

    it("reaches the workspace: the relay connection falls back to WebSocket by itself", async () => {
      const done = await deployment.run(["ssh", "-v", "demo", "--", "echo through nginx"]);
      expect(done.stdout).toBe("through nginx\n");
      expect(done.stderr).toMatch(/WebSocket/i);
    });

    it("carries 8 MiB each way unchanged", async () => {
      const data = randomBytes(8 * 1024 * 1024);
      const up = await deployment.run(["ssh", "demo", "--", "sha256sum"], { input: data });
      expect(up.stdout.slice(0, 64)).toBe(createHash("sha256").update(data).digest("hex"));
      const down = await deployment.run(["ssh", "demo", "--", "head -c 8388608 /dev/zero"]);
      expect([down.stdout.length, /^\0*$/.test(down.stdout)]).toEqual([8 * 1024 * 1024, true]);
    });
  },
);
