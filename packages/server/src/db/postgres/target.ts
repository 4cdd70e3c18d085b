import { readFileSync } from "node:fs";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import type { ClientConfig } from "pg";
import { nodeErrorCode, ServerError } from "../../base/errors.ts";
import { isRemote, maskedPostgresUrl, type PostgresTarget, parsePostgresUrl } from "../../base/postgres-url.ts";

/** Where the database's URL comes from: the settings, or a file whose first line it is. */
export type PostgresSource = { readonly url: string } | { readonly file: string };

/**
 * Chooses where the next connection goes. A file is read again for every connection, so that a password can be replaced without a
 * restart; with several hosts, the one that served last comes first.
 */
export class Target {
  readonly #source: PostgresSource;
  #host = 0;

  /** Throws ServerError ERR_CONFIG. */
  constructor(source: PostgresSource) {
    this.#source = source;
    this.read();
  }

  /** Throws ServerError ERR_CONFIG. */
  read(): PostgresTarget {
    const parsed = parsePostgresUrl("url" in this.#source ? this.#source.url : firstLine(this.#source.file));
    if ("error" in parsed) throw invalidUrl("file" in this.#source ? this.#source.file : undefined, parsed.error);
    return parsed;
  }

  /** The URL for logs and errors. */
  get masked(): string {
    return maskedPostgresUrl(this.read());
  }

  get hostCount(): number {
    return this.read().hosts.length;
  }

  /** Moves on, because the current host did not serve. */
  next(): void {
    this.#host = (this.#host + 1) % this.hostCount;
  }

  connection(): Pick<ClientConfig, "host" | "port" | "user" | "password" | "database" | "ssl"> {
    const target = this.read();
    const { host, port } = target.hosts[this.#host % target.hosts.length]!;
    const { user, password, database } = target;
    // "" keeps the driver from looking for a missing password in the files of this account's home directory.
    return { host, port, user, password: password ?? "", database, ssl: tlsOptions(target, host) };
  }

  /** What the operator should know about the encryption; undefined if there is nothing. */
  warning(): string | undefined {
    const { hosts, tls, rootCertFile } = this.read();
    if (!hosts.some(isRemote)) return undefined;
    if (tls === undefined || tls === "disable") {
      return "the connection to the database is not encrypted and leaves this machine: add sslmode=verify-full to its URL";
    }
    if (tls === "require" && rootCertFile === undefined) {
      return "the database's certificate is not verified with sslmode=require: use sslmode=verify-full";
    }
    return undefined;
  }
}

function tlsOptions(target: PostgresTarget, host: string): ConnectionOptions | false {
  const { tls, rootCertFile, certFile, keyFile } = target;
  if (tls === undefined || tls === "disable" || host.startsWith("/")) return false;
  return {
    // Like libpq, "require" verifies the certificate if an authority is given.
    rejectUnauthorized: tls !== "require" || rootCertFile !== undefined,
    checkServerIdentity: (_name, certificate) =>
      tls === "verify-full" ? checkServerIdentity(host, certificate) : undefined,
    minVersion: "TLSv1.2",
    ca: rootCertFile === undefined || rootCertFile === "system" ? undefined : pem(rootCertFile, "sslrootcert"),
    cert: certFile === undefined ? undefined : pem(certFile, "sslcert"),
    key: keyFile === undefined ? undefined : pem(keyFile, "sslkey"),
  };
}

function pem(path: string, parameter: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new ServerError("ERR_CONFIG", `Cannot read the ${parameter} of the database's URL`, {
      why: `"${path}": ${nodeErrorCode(cause) ?? String(cause)}`,
      nextSteps: [`name a PEM file that this user may read with ${parameter}`],
      cause,
    });
  }
}

function firstLine(path: string): string {
  try {
    return readFileSync(path, "utf8").split("\n", 1)[0]!.trim();
  } catch (cause) {
    throw new ServerError("ERR_CONFIG", `Cannot read the database's URL from "${path}"`, {
      why: nodeErrorCode(cause) ?? String(cause),
      nextSteps: ["name a file that this user may read with --postgres-url-file or CODER_PG_CONNECTION_URL_FILE"],
      cause,
    });
  }
}

function invalidUrl(file: string | undefined, problem: string): ServerError {
  const title = file === undefined ? `--postgres-url ${problem}` : `The database's URL in "${file}" ${problem}`;
  const setting = file === undefined ? "--postgres-url or CODER_PG_CONNECTION_URL" : "the first line of that file";
  return new ServerError("ERR_CONFIG", title, { nextSteps: [`change ${setting}`] });
}
