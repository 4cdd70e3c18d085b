/** Terminates TLS in front of a server, with a self-signed certificate. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";

export interface TlsFront {
  readonly port: number;
  /** The certificate's file, for clients that have to trust it. */
  readonly certificate: string;
  close(): void;
}

/**
 * @param port Port of the server.
 * @param names Names in the certificate.
 */
export async function tlsFront(port: number, folder: string, names: readonly string[]): Promise<TlsFront> {
  const [key, certificate] = [join(folder, "front-key.pem"), join(folder, "front.pem")];
  const made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=front -addext";
  const alternatives = `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}`;
  execFileSync("openssl", [...made.split(" "), alternatives, "-keyout", key, "-out", certificate], { stdio: "ignore" });
  const front = createServer(
    { cert: readFileSync(certificate), key: readFileSync(key), ALPNProtocols: ["http/1.1"] },
    (client) => {
      const server = connect(port, "127.0.0.1");
      server.on("error", () => client.destroy());
      client.on("error", () => server.destroy());
      client.pipe(server).pipe(client);
    },
  );
  await once(front.listen(0, "127.0.0.1"), "listening");
  return { port: (front.address() as AddressInfo).port, certificate, close: () => front.close() };
}
