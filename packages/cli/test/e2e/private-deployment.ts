/** A deployment whose certificate comes from a private authority, and which demands a client certificate of it. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, type Server } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { TestDeployment } from "./deployment.ts";

export const INSPECTOR = "Zscaler Intermediate Root CA";

/** Removes the variables that {@link TestDeployment} gives to all commands. */
export const NO_TRUST = { SSL_CERT_FILE: undefined, CODER_CLIENT_CERT: undefined, CODER_CLIENT_KEY: undefined };

function openssl(...args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: "ignore" });
}

export class PrivateDeployment {
  readonly deployment: TestDeployment;
  /** The file of a certificate or key. */
  readonly path: (name: string) => string;
  readonly clientFlags: readonly string[];
  readonly clientVariables: NodeJS.ProcessEnv;
  readonly #front: Server;

  static async start(): Promise<PrivateDeployment> {
    let path!: (name: string) => string;
    let front!: Server;
    const deployment = await TestDeployment.start(async (port, folder) => {
      path = (name) => join(folder, `${name}.pem`);
      makeCertificates(folder, path);
      front = await listen(port, path);
      return {
        url: `https://localhost:${(front.address() as AddressInfo).port}`,
        environment: { ...variablesOf(path), SSL_CERT_FILE: path("root") },
      };
    });
    return new PrivateDeployment(deployment, path, front);
  }

  private constructor(deployment: TestDeployment, path: (name: string) => string, front: Server) {
    this.deployment = deployment;
    this.path = path;
    this.#front = front;
    this.clientFlags = ["--client-cert", path("client"), "--client-key", path("client-key")];
    this.clientVariables = variablesOf(path);
  }

  async close(): Promise<void> {
    await this.deployment.close();
    this.#front.close();
  }
}

function variablesOf(path: (name: string) => string): NodeJS.ProcessEnv {
  return { CODER_CLIENT_CERT: path("client"), CODER_CLIENT_KEY: path("client-key") };
}

/** Makes root → intermediate → leaf for localhost, and a client certificate; the front presents `chain`. */
function makeCertificates(folder: string, path: (name: string) => string): void {
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

/** Terminates TLS in front of the server. */
async function listen(port: number, path: (name: string) => string): Promise<Server> {
  const front = createTlsServer(
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
  return front;
}
