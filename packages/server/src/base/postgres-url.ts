/** Parses the URL of a PostgreSQL database in libpq's form. Pure: opens nothing. */

/** `host` is a name, an address or, with a leading slash, the directory of a Unix socket. */
export interface PostgresHost {
  readonly host: string;
  readonly port: number;
}

export type PostgresTls = "disable" | "require" | "verify-ca" | "verify-full";

export interface PostgresTarget {
  /** Tried in this order; at least one. */
  readonly hosts: readonly PostgresHost[];
  readonly user: string;
  readonly password: string | undefined;
  readonly database: string;
  /** Undefined: the URL does not set it, and the connection is not encrypted. */
  readonly tls: PostgresTls | undefined;
  /** File names: a certificate authority, and a certificate with its key for this client. */
  readonly rootCertFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

const DEFAULT_PORT = 5432;
const MAX_URL_LENGTH = 4096;
const MAX_HOSTS = 16;
const URL_PARTS = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^/?#]*))?(?:\?([^#]*))?$/;
const HOST_AND_PORT = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]*))(?::(\d{1,5}))?$/;
const TLS_MODES: readonly string[] = ["disable", "require", "verify-ca", "verify-full"] satisfies PostgresTls[];
/** Parameters that are supported. */
const PARAMETERS: readonly string[] = [
  "host",
  "port",
  "user",
  "password",
  "dbname",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
];
/**
 * Further parameters that libpq's URLs may contain. Each is accepted only with the value that describes what happens anyway;
 * undefined accepts any.
 */
const IGNORED: ReadonlyMap<string, string | undefined> = new Map([
  ["application_name", undefined],
  ["connect_timeout", undefined],
  ["target_session_attrs", "read-write"],
]);

/** @returns the target, or the rest of a sentence that says what is wrong, without any part of the URL that may be secret. */
export function parsePostgresUrl(text: string): PostgresTarget | { readonly error: string } {
  const parts = text.length > MAX_URL_LENGTH ? null : URL_PARTS.exec(text);
  if (parts === null) return { error: "must be a URL such as postgres://user:password@host:5432/database" };
  const [, credentials = "", authority = "", path = "", query = ""] = parts;
  const parameters = new URLSearchParams(query);
  const unknown = [...parameters.keys()].find((name) => !PARAMETERS.includes(name) && !IGNORED.has(name));
  if (unknown !== undefined) {
    return { error: `has the parameter "${unknown}", which is not known; there are: ${PARAMETERS.join(", ")}` };
  }
  for (const [name, value] of IGNORED) {
    const given = parameters.get(name);
    if (value !== undefined && given !== null && given !== value) return { error: `must have ${name}=${value}` };
  }
  const tls = parameters.get("sslmode") ?? undefined;
  if (tls !== undefined && !isTlsMode(tls)) return { error: `must have an sslmode of ${TLS_MODES.join(", ")}` };
  const hosts = hostsOf(parameters.get("host") ?? decode(authority), parameters.get("port"));
  if (hosts === undefined) return { error: "must name its hosts as host:port, separated by commas" };
  const colon = credentials.indexOf(":");
  const user = parameters.get("user") ?? decode(colon < 0 ? credentials : credentials.slice(0, colon));
  const password =
    parameters.get("password") ?? (colon < 0 ? undefined : decode(credentials.slice(colon + 1), "as it is"));
  if (user === undefined || user === "") return { error: "must name a user" };
  const database = parameters.get("dbname") ?? decode(path);
  if (database === undefined) return { error: "must have a database name whose percent signs are %25" };
  return {
    hosts,
    user,
    password,
    database: database === "" ? user : database,
    tls,
    rootCertFile: parameters.get("sslrootcert") ?? undefined,
    certFile: parameters.get("sslcert") ?? undefined,
    keyFile: parameters.get("sslkey") ?? undefined,
  };
}

/** The database's URL for logs, pages and errors: without its password, and without the names of files. */
export function maskedPostgresUrl(target: PostgresTarget): string {
  const hosts = target.hosts.map(({ host, port }) => `${hostText(host)}:${port}`).join(",");
  const password = target.password === undefined ? "" : ":***";
  const mode = target.tls === undefined ? "" : `?sslmode=${target.tls}`;
  return `postgres://${encodeURIComponent(target.user)}${password}@${hosts}/${encodeURIComponent(target.database)}${mode}`;
}

/** Whether a connection to that host leaves this machine. */
export function isRemote({ host }: PostgresHost): boolean {
  return !(host.startsWith("/") || host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host));
}

function isTlsMode(text: string): text is PostgresTls {
  return TLS_MODES.includes(text);
}

function hostsOf(list: string | undefined, ports: string | null): PostgresHost[] | undefined {
  if (list === undefined) return undefined;
  const given = ports === null ? [] : ports.split(",");
  const hosts: PostgresHost[] = [];
  for (const [index, entry] of list.split(",").entries()) {
    const match = entry.startsWith("/") ? [entry, undefined, entry] : HOST_AND_PORT.exec(entry);
    const portText = match?.[3] ?? given[index] ?? given[0] ?? String(DEFAULT_PORT);
    const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
    if (match === null || port < 1 || port > 65_535) return undefined;
    hosts.push({ host: match[1] || match[2] || "localhost", port });
  }
  return hosts.length > MAX_HOSTS ? undefined : hosts;
}

function hostText(host: string): string {
  if (host.startsWith("/")) return encodeURIComponent(host);
  return host.includes(":") ? `[${host}]` : host;
}

/** @param otherwise "as it is" takes a password with a bare percent sign literally. */
function decode(text: string, otherwise?: "as it is"): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not percent-encoded.
    return otherwise === undefined ? undefined : text;
  }
}
