/** How an untrusted certificate is described, and how the login remembers what to trust. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { INSPECTOR, NO_TRUST, PrivateDeployment } from "./private-deployment.ts";

describe("an authority that is not trusted", () => {
  let own: PrivateDeployment;

  beforeAll(async () => {
    own = await PrivateDeployment.start();
  });

  afterAll(async () => {
    await own?.close();
  });

  it("is named when it is not trusted, with its properties and a remedy", async () => {
    const done = await own.deployment.run(["list"], { environment: { SSL_CERT_FILE: undefined } });
    expect(done.code).toBe(1);
    expect(done.stderr).toContain(`issued by "${INSPECTOR}": looks like TLS inspection   (ERR_TLS_UNTRUSTED)`);
    expect(done.stderr).toContain("--ca-file or CODER_CA_FILE");
  });

  it("is named by the agent, which keeps retrying", async () => {
    const agent = own.deployment.spawn(["agent"], {
      SSL_CERT_FILE: "/no/such/file",
      CODER_AGENT_URL: own.deployment.url,
      CODER_AGENT_TOKEN: await own.deployment.createWorkspace("waiting"),
      CODER_CONFIG_DIR: undefined,
    });
    let log = "";
    const warned = new Promise<void>((resolve) =>
      agent.stderr!.on("data", (chunk: Buffer) => {
        log += chunk.toString("utf8");
        if (log.includes("trying again")) resolve();
      }),
    );
    await warned;
    expect(log).toContain(`issued by \\"${INSPECTOR}\\": looks like TLS inspection`);
    expect(log).toContain('SSL_CERT_FILE \\"/no/such/file\\" cannot be read');
    expect(agent.exitCode).toBeNull();
  });

  it("is remembered by the login, and forgotten at logout", async () => {
    const variables = { ...NO_TRUST, CODER_LOGIN_PASSWORD: "a password for tests" };
    const flags = ["--ca-file", own.path("root"), ...own.clientFlags];
    const login = await own.deployment.run(["login", own.deployment.url, "--email", "owner@example.com", ...flags], {
      user: "second",
      environment: variables,
    });
    expect(login.code, login.stderr).toBe(0);
    const later = await own.deployment.run(["whoami"], { user: "second", environment: NO_TRUST });
    expect([later.code, later.stdout], later.stderr).toEqual([0, expect.stringContaining("owner")]);
    // Other deployments are not affected.
    const other = await own.deployment.run(["--url", own.deployment.url.replace("localhost", "127.0.0.1"), "list"], {
      user: "second",
      environment: NO_TRUST,
    });
    expect(other.stderr).toContain("ERR_TLS");
    expect((await own.deployment.run(["logout", "--yes"], { user: "second", environment: NO_TRUST })).code).toBe(0);
    const after = await own.deployment.run(["--url", own.deployment.url, "list"], {
      user: "second",
      environment: NO_TRUST,
    });
    expect(after.stderr).toContain("(ERR_TLS_UNTRUSTED)");
  });
});
