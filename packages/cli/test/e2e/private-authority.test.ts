/** A deployment whose certificate comes from a private authority: everything that dials trusts it in the same ways. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, type Server } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const INSPECTOR = "Zscaler Intermediate Root CA";

describe("a private authority", () => {
  let deployment: TestDeployment;
  let front: Server;
  let path: (name: string) => string;
  let clientFlags: string[];
  let clientVariables: NodeJS.ProcessEnv;

  const openssl = (...args: readonly string[]): void => {
    execFileSync("openssl", args, { stdio: "ignore" });
  };

  /** Root → intermediate → leaf for localhost, and a client certificate; `chain` is what the front presents. */
  function makeCertificates(folder: string): void {
    path = (name) => join(folder, `${name}.pem`);
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    openssl("req", "-x509", ...key, "-subj", `/CN=${INSPECTOR}`, "-keyout", path("root-key"), "-out", path("root"));
    const sign = (name: string, subject: string, by: string, extensions: string): void => {
      writeFileSync(path(`${name}-ext`), extensions);
      openssl("req", ...key, "-subj", subject, "-keyout", path(`${name}-key`), "-out", path(`${name}-req`));
      openssl(
        // biome-ignore format: one option and its value a pair
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        path(`${name}-req`),
        "-CA",
        path(by),
        "-CAkey",
        path(`${by}-key`),
        "-CAcreateserial",
        "-extfile",
        path(`${name}-ext`),
        "-out",
        path(name),
      );
    };
    sign("intermediate", "/CN=Branch CA", "root", "basicConstraints=critical,CA:TRUE\n");
    sign("leaf", "/CN=localhost", "intermediate", "subjectAltName=DNS:localhost\n");
    openssl("req", "-x509", ...key, "-subj", "/CN=somebody", "-keyout", path("client-key"), "-out", path("client"));
    writeFileSync(path("chain"), readFileSync(path("leaf"), "utf8") + readFileSync(path("intermediate"), "utf8"));
    const store = join(folder, "store");
    mkdirSync(store);
    copyFileSync(path("root"), join(store, "anything.crt"));
    writeFileSync(join(store, "README"), "no certificate");
  }

  beforeAll(async () => {
    deployment = await TestDeployment.start(async (port, folder) => {
      makeCertificates(folder);
      clientFlags = ["--client-cert", path("client"), "--client-key", path("client-key")];
      clientVariables = { CODER_CLIENT_CERT: path("client"), CODER_CLIENT_KEY: path("client-key") };
      front = createTlsServer(
        {
          cert: readFileSync(path("chain")),
          key: readFileSync(path("leaf-key")),
          ca: readFileSync(path("client")),
          requestCert: true,
          rejectUnauthorized: true,
          ALPNProtocols: ["http/1.1"],
        },
        (client) => {
          const server = connect(port, "127.0.0.1");
          server.on("error", () => client.destroy());
          client.on("error", () => server.destroy());
          client.pipe(server).pipe(client);
        },
      );
      await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
      return {
        url: `https://localhost:${(front.address() as AddressInfo).port}`,
        environment: { ...clientVariables, SSL_CERT_FILE: path("root") },
      };
    });
  });

  afterAll(async () => {
    await deployment?.close();
    front?.close();
  });

  const none = { SSL_CERT_FILE: undefined, CODER_CLIENT_CERT: undefined, CODER_CLIENT_KEY: undefined };
  const ways: readonly [string, () => { flags: string[]; variables: NodeJS.ProcessEnv }][] = [
    ["--ca-file", () => ({ flags: ["--ca-file", path("root"), ...clientFlags], variables: none })],
    ["CODER_CA_FILE", () => ({ flags: [], variables: { ...none, ...clientVariables, CODER_CA_FILE: path("root") } })],
    ["SSL_CERT_FILE", () => ({ flags: [], variables: { ...none, ...clientVariables, SSL_CERT_FILE: path("root") } })],
    [
      "SSL_CERT_DIR",
      () => ({
        flags: [],
        variables: { ...none, ...clientVariables, SSL_CERT_DIR: `/no/such:${join(path("x"), "../store")}` },
      }),
    ],
    [
      "the authority just above",
      () => ({ flags: [], variables: { ...none, ...clientVariables, CODER_CA_FILE: path("intermediate") } }),
    ],
  ];

  it.each(ways)("is trusted through %s, by the agent as by the command", async (name, way) => {
    const { flags, variables } = way();
    const workspace = `w${ways.findIndex(([other]) => other === name)}`;
    const token = await deployment.createWorkspace(workspace);
    deployment.spawn(["agent", ...flags], {
      ...variables,
      CODER_AGENT_URL: deployment.url,
      CODER_AGENT_TOKEN: token,
      CODER_CONFIG_DIR: undefined,
    });
    const done = await deployment.run(["ssh", ...flags, workspace, "--", "echo trusted"], { environment: variables });
    expect([done.code, done.stdout], done.stderr).toEqual([0, "trusted\n"]);
  });

  it("is named when it is not trusted, with its properties and a remedy", async () => {
    const done = await deployment.run(["list"], { environment: { SSL_CERT_FILE: undefined } });
    expect(done.code).toBe(1);
    expect(done.stderr).toContain(`issued by "${INSPECTOR}": looks like TLS inspection   (ERR_TLS_UNTRUSTED)`);
    expect(done.stderr).toContain("--ca-file or CODER_CA_FILE");
  });

  it("is named by the agent, which keeps retrying", async () => {
    const agent = deployment.spawn(["agent"], {
      SSL_CERT_FILE: "/no/such/file",
      CODER_AGENT_URL: deployment.url,
      CODER_AGENT_TOKEN: await deployment.createWorkspace("waiting"),
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
    const variables = { ...none, CODER_LOGIN_PASSWORD: "a password for tests" };
    const flags = ["--ca-file", path("root"), ...clientFlags];
    const login = await deployment.run(["login", deployment.url, "--email", "owner@example.com", ...flags], {
      user: "second",
      environment: variables,
    });
    expect(login.code, login.stderr).toBe(0);
    const later = await deployment.run(["whoami"], { user: "second", environment: none });
    expect([later.code, later.stdout], later.stderr).toEqual([0, expect.stringContaining("owner")]);
    // Another deployment is not affected.
    const other = await deployment.run(["--url", deployment.url.replace("localhost", "127.0.0.1"), "list"], {
      user: "second",
      environment: none,
    });
    expect(other.stderr).toContain("ERR_TLS");
    expect((await deployment.run(["logout", "--yes"], { user: "second", environment: none })).code).toBe(0);
    const after = await deployment.run(["--url", deployment.url, "list"], { user: "second", environment: none });
    expect(after.stderr).toContain("(ERR_TLS_UNTRUSTED)");
  });
});
