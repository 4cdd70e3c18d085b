import { X509Certificate } from "node:crypto";
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import type { Server } from "node:https";
import { createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import { nodeErrorCode, ServerError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { TlsConfig } from "../config/listening.ts";

/** How often the files are checked. */
const DEFAULT_CHECK_MS = 5_000;
/** Time to wait after a change, because a certificate and its key are rarely replaced at the same moment. */
const SETTLE_MS = 250;

/** The certificates of the server: read at the start, and again on request or when a file changes. */
export class Certificates {
  readonly #config: TlsConfig;
  readonly #log: Logger;
  readonly #servers = new Set<Server>();
  #identities: readonly Identity[];
  #settling: NodeJS.Timeout | undefined;

  /** Throws ServerError ERR_TLS_CERTIFICATE. */
  constructor(config: TlsConfig, log: Logger) {
    this.#config = config;
    this.#log = log;
    this.#identities = loadIdentities(config);
  }

  /** Options of a listener. SNI selects the certificate: the first that names the host, otherwise the first of all. */
  options(): TlsOptions {
    return {
      ...this.#defaultIdentity(),
      minVersion: this.#config.minVersion,
      // Slow handshakes are ended like slow headers.
      handshakeTimeout: 10_000,
      SNICallback: (name, done) => {
        const match = this.#identities.find(({ certificate }) => certificate.checkHost(name) !== undefined);
        done(null, (match ?? this.#identities[0])?.context);
      },
    };
  }

  /** When each certificate in use expires. */
  expiries(): readonly { readonly file: string; readonly untilMs: number }[] {
    return this.#identities.map(({ certificate }, index) => ({
      file: this.#config.certFiles[index] ?? "",
      untilMs: Date.parse(certificate.validTo),
    }));
  }

  /** From now on, new handshakes of this listener use the certificates that were read last. */
  serve(server: Server): void {
    this.#servers.add(server);
  }

  /** Reads the files again and logs the outcome. Unusable files change nothing. */
  reload(reason: string): void {
    let identities: readonly Identity[];
    try {
      identities = loadIdentities(this.#config);
    } catch (error) {
      const why = error instanceof ServerError ? [error.message, error.why].filter(Boolean).join(": ") : String(error);
      this.#log.error({ reason, why }, "TLS certificates not reloaded: the previous ones stay in use");
      return;
    }
    this.#identities = identities;
    for (const server of this.#servers) {
      server.setSecureContext({ ...this.#defaultIdentity(), minVersion: this.#config.minVersion });
    }
    const certificates = identities.map(({ certificate }) => ({
      names: certificate.subjectAltName ?? certificate.subject,
      until: certificate.validTo,
    }));
    this.#log.info({ reason, certificates }, "TLS certificates reloaded");
  }

  /** Reloads whenever a file changes, until the returned function is called. */
  watch(checkMs = DEFAULT_CHECK_MS): () => void {
    const files = [...new Set([...this.#config.certFiles, ...this.#config.keyFiles])];
    const changed = (): void => {
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => this.reload("a file changed"), Math.min(SETTLE_MS, checkMs)).unref();
    };
    // fs.watch would miss files that are replaced through a symbolic link or are on a network file system.
    for (const file of files) watchFile(file, { interval: checkMs, persistent: false }, changed);
    return () => {
      clearTimeout(this.#settling);
      for (const file of files) unwatchFile(file, changed);
    };
  }

  #defaultIdentity(): { cert: Buffer; key: Buffer } {
    const first = this.#identities[0];
    if (first === undefined) throw new ServerError("ERR_TLS_CERTIFICATE", "There is no TLS certificate");
    return { cert: first.cert, key: first.key };
  }
}

interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly certificate: X509Certificate;
  readonly context: SecureContext;
}

function loadIdentities(config: TlsConfig): Identity[] {
  return config.certFiles.map((certFile, index) => loadIdentity(config, certFile, config.keyFiles[index] ?? ""));
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
