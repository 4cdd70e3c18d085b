/** The trusted certificate authorities: Node's bundled ones, the system's, and those that the environment names. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import * as tls from "node:tls";

export interface TrustedAuthorities {
  /** PEM texts, each with any number of certificates. */
  readonly pem: readonly string[];
  /** Named files that cannot be used, as sentences without a full stop. */
  readonly problems: readonly string[];
}

/** Where distributions keep their store in one file; the first that exists is used. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const MAX_FILE_BYTES = 8 * 1024 * 1024;
const MAX_FILES = 2048;
const CERTIFICATE = "-----BEGIN ";

/** Whether the environment names authorities besides Node's. */
export function namesAuthorities(environment: NodeJS.ProcessEnv): boolean {
  return filled(environment["SSL_CERT_FILE"]) || filled(environment["SSL_CERT_DIR"]);
}

/**
 * Everything that is trusted on this machine. The variables work as in OpenSSL and Go: SSL_CERT_FILE, and SSL_CERT_DIR with
 * folders separated as in PATH. They add to the rest.
 * @param bundles Candidates for the system's store, of which the first existing file is used.
 */
export function trustedAuthorities(
  environment: NodeJS.ProcessEnv,
  bundles: readonly string[] = SYSTEM_BUNDLES,
): TrustedAuthorities {
  const problems: string[] = [];
  const named = (variable: string, read: (path: string) => string[], separator?: string): string[] => {
    const value = environment[variable] ?? "";
    const paths = separator === undefined ? [value] : value.split(separator);
    return paths.filter(filled).flatMap((path) => {
      try {
        return read(path);
      } catch (error) {
        problems.push(`${variable} "${path}" cannot be read: ${(error as Error).message}`);
        return [];
      }
    });
  };
  const pem = [
    ...tls.rootCertificates,
    ...systemAuthorities(bundles),
    ...named("NODE_EXTRA_CA_CERTS", (path) => [readPem(path)]),
    ...named("SSL_CERT_FILE", (path) => [readPem(path)]),
    ...named("SSL_CERT_DIR", readFolder, delimiter),
  ];
  return { pem, problems };
}

function systemAuthorities(bundles: readonly string[]): readonly string[] {
  for (const path of bundles) {
    try {
      return [readPem(path)];
    } catch {
      // Not this distribution's place, or empty.
    }
  }
  // Windows and macOS keep their store in a database, which Node reads since 22.15.
  return typeof tls.getCACertificates === "function" ? tls.getCACertificates("system") : [];
}

/** Throws when the file cannot be read or has no certificate. */
function readPem(path: string): string {
  if (statSync(path).size > MAX_FILE_BYTES) throw new Error(`it is longer than ${MAX_FILE_BYTES} bytes`);
  const text = readFileSync(path, "utf8");
  if (!text.includes(CERTIFICATE)) throw new Error("it is not a PEM file");
  return text;
}

/** Certificates of a folder; skips other files, as OpenSSL does. */
function readFolder(folder: string): string[] {
  return readdirSync(folder)
    .slice(0, MAX_FILES)
    .flatMap((name) => {
      try {
        return [readPem(join(folder, name))];
      } catch {
        return [];
      }
    });
}

function filled(text: string | undefined): boolean {
  return text !== undefined && text !== "";
}
