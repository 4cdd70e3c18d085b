import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import type { TlsConfig } from "./config-parse.ts";
import { nodeErrorCode, ServerError } from "./errors.ts";

/**
 * Reads the certificates and picks one by SNI: the first that names the host, else the first of all.
 * Throws ServerError ERR_TLS_CERTIFICATE.
 */
export function tlsOptions(config: TlsConfig): TlsOptions {
  const identities = config.certFiles.map((certFile, index) =>
    loadIdentity(config, certFile, config.keyFiles[index] ?? ""),
  );
  const first = identities[0];
  if (first === undefined) throw new ServerError("ERR_TLS_CERTIFICATE", "There is no TLS certificate");
  return {
    cert: first.cert,
    key: first.key,
    minVersion: config.minVersion,
    // Slow handshakes are cut like slow headers.
    handshakeTimeout: 10_000,
    SNICallback: (name, done) => {
      const match = identities.find((identity) => identity.certificate.checkHost(name) !== undefined);
      done(null, (match ?? first).context);
    },
  };
}

interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly certificate: X509Certificate;
  readonly context: SecureContext;
}

function loadIdentity(config: TlsConfig, certFile: string, keyFile: string): Identity {
  const cert = readPem(certFile);
  const key = readPem(keyFile);
  try {
    const certificate = new X509Certificate(cert);
    return { cert, key, certificate, context: createSecureContext({ cert, key, minVersion: config.minVersion }) };
  } catch (cause) {
    throw new ServerError(
      "ERR_TLS_CERTIFICATE",
      `Cannot use the TLS certificate "${certFile}" with the key "${keyFile}"`,
      {
        why:
          nodeErrorCode(cause) === "ERR_OSSL_X509_KEY_VALUES_MISMATCH"
            ? "they do not belong together"
            : "they are not a PEM certificate and its key",
        nextSteps: ["check --tls-cert-file and --tls-key-file"],
        cause,
      },
    );
  }
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ServerError("ERR_TLS_CERTIFICATE", `Cannot read "${path}"`, {
      why: nodeErrorCode(cause) === "ENOENT" ? "there is no such file" : (nodeErrorCode(cause) ?? "it cannot be read"),
      nextSteps: ["check --tls-cert-file and --tls-key-file"],
      cause,
    });
  }
}
