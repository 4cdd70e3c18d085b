import { exec } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { isSea } from "node:sea";
import { createSecureContext } from "node:tls";
import { promisify } from "node:util";
import { ClientError } from "coder-client/base/client-error";
import { Dialer, type TlsSettings } from "coder-client/dial/dialer";
import { Deployment } from "coder-client/rest/deployment";
import { readConfig, removeConfig, writeConfig } from "../base/config-dir.ts";
import { clientSessionId } from "../base/session-id.ts";
import { VERSION } from "../base/version.ts";
import { UserError } from "../errors/user-error.ts";
import { ownProgram, packagedBy } from "./packaged-by.ts";

const HEADER_COMMAND_TIMEOUT_MS = 10_000;
/**
 * Requests are retried this long, because a rollout behind a load balancer takes seconds. Before a login it is unknown whether
 * the URL belongs to a deployment at all.
 */
const PATIENCE_MS = 8_000;

/** Which deployment and login to use, and how to dial. Undefined fields are taken from the stored login. */
export interface DeploymentOptions {
  readonly url: string | undefined;
  readonly token: string | undefined;
  /** Folder where the login is stored. */
  readonly configDir: string;
  /** Each `key=value`. */
  readonly headers: readonly string[];
  /** Program that prints further headers. */
  readonly headerCommand: string | undefined;
  readonly tls: TlsFiles;
  /** Whether to warn when the versions differ. */
  readonly versionWarning: boolean;
  /** Called with a line for the user. */
  readonly say: (text: string) => void;
}

/** TLS files by the names of their options; a login remembers them for its deployment. */
export type TlsFiles = Readonly<Record<TlsFile, string | undefined>>;
export type TlsFile = (typeof TLS_FILES)[number];
const TLS_FILES = ["ca-file", "client-cert", "client-key"] as const;

/** The deployment's URL from a flag, variable or file. Throws when there is none. */
function deploymentUrl({ url, configDir }: DeploymentOptions): URL {
  const text = url ?? readConfig(configDir, "url");
  if (text === undefined) throw new ClientError("ERR_NOT_LOGGED_IN", "You are not logged in");
  return parseDeploymentUrl(text);
}

/** Parses a deployment URL as people type it: without a scheme it is https, or http for localhost. */
export function parseDeploymentUrl(text: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(text)
    ? text
    : `${/^(?:[a-z0-9-]+\.)*localhost(?:[:/.]|$)/i.test(text) ? "http" : "https"}://${text}`;
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:") || url.hostname === "") {
    throw new UserError(`"${text}" is not the URL of a deployment`, {
      next: ["give it as https://coder.example.com"],
      code: "ERR_BAD_URL",
    });
  }
  url.search = "";
  url.hash = "";
  return url;
}

/** The deployment with the given or stored login. Throws when there is none. */
export function openDeployment(options: DeploymentOptions): Deployment {
  const token = options.token ?? readConfig(options.configDir, "session");
  return deploymentAt(deploymentUrl(options), token, options);
}

export function deploymentAt(url: URL, token: string | undefined, options: DeploymentOptions): Deployment {
  const { say } = options;
  const onWait = (error: ClientError): void => say(`warning: ${error.message}; trying again`);
  return new Deployment({
    url,
    token,
    dialer: dialerOf(withRemembered(options, url)),
    extraHeaders: headerSource(url, options.headers, options.headerCommand),
    clientVersion: VERSION,
    sessionId: clientSessionId(),
    patience: token === undefined ? undefined : { limitMs: PATIENCE_MS, onWait },
    onVersionMismatch: options.versionWarning ? (server) => say(mismatchText(server, url)) : undefined,
  });
}

function mismatchText(server: string, url: URL): string {
  const single = isSea();
  const line = updateLine(url, { path: ownProgram(single), single, platform: process.platform });
  return `version mismatch: this client is ${VERSION}, the deployment is ${server}; to have its client, run: ${line}`;
}

/**
 * The command that installs the deployment's version of the client: `update-cli` for an executable that can replace itself,
 * otherwise that of its package manager or the install script.
 */
export function updateLine(
  url: URL,
  { path, single, platform }: { readonly path: string; readonly single: boolean; readonly platform: NodeJS.Platform },
): string {
  const packaged = packagedBy(path);
  if (packaged !== undefined) return packaged.next;
  if (single) return "coder update-cli";
  return platform === "win32"
    ? `iwr -useb ${url.origin}/install.ps1 | iex`
    : `curl -fsSL ${url.origin}/install.sh | sh`;
}

/** A dialer that uses these TLS files. */
export function dialerOf(files: TlsFiles): Dialer {
  return new Dialer({ tls: tlsSettings(files) });
}

/** Fills missing files with those remembered at the login to this deployment. */
function withRemembered({ tls, configDir }: DeploymentOptions, url: URL): TlsFiles {
  const stored = readConfig(configDir, "url");
  if (stored === undefined || parseDeploymentUrl(stored).href !== url.href) return tls;
  const remembered = (file: TlsFile): string | undefined => tls[file] ?? readConfig(configDir, file);
  const ca = { "ca-file": remembered("ca-file") };
  // Certificate and key belong together: a given one and a remembered one would not match.
  if (tls["client-cert"] !== undefined || tls["client-key"] !== undefined) return { ...tls, ...ca };
  return { ...ca, "client-cert": remembered("client-cert"), "client-key": remembered("client-key") };
}

/**
 * Stores beside the login the TLS files that it used. Call before the URL is stored.
 * @param namedByVariables Files that variables name, and will name again next time.
 */
export function rememberTlsFiles(options: DeploymentOptions, url: URL, namedByVariables: readonly TlsFile[]): void {
  const used = withRemembered(options, url);
  for (const file of TLS_FILES) {
    const path = namedByVariables.includes(file) ? undefined : used[file];
    if (path === undefined) removeConfig(options.configDir, file);
    else writeConfig(options.configDir, file, resolve(path));
  }
}

function tlsSettings(files: TlsFiles): TlsSettings {
  const ca = readPem(files, "ca-file");
  const cert = readPem(files, "client-cert");
  const key = readPem(files, "client-key");
  if ((cert === undefined) !== (key === undefined)) {
    throw new UserError("--client-cert and --client-key belong together", { code: "ERR_USAGE", exit: 2 });
  }
  if (cert !== undefined && key !== undefined) refuseMismatch(files, cert, key);
  return { ca, cert, key };
}

/** Checked up front so that the error can name the files; a failed handshake could not. */
function refuseMismatch(files: TlsFiles, cert: string, key: string): void {
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new UserError(
      `--client-key "${files["client-key"]}" cannot be used with --client-cert "${files["client-cert"]}"`,
      {
        why: (error as Error).message,
        next: ["give the certificate's own key, as PEM and without a passphrase"],
        code: "ERR_BAD_PEM",
        cause: error,
      },
    );
  }
}

function readPem(files: TlsFiles, name: TlsFile): string | undefined {
  const path = files[name];
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UserError(`Cannot read --${name} "${path}"`, {
      why: (error as NodeJS.ErrnoException).code,
      cause: error,
    });
  }
  if (!text.includes("-----BEGIN "))
    throw new UserError(`--${name} "${path}" is not a PEM file`, { code: "ERR_BAD_PEM" });
  return text;
}

/** Fixed headers, then those printed by the header command, which runs for every request. */
export function headerSource(
  url: URL,
  pairs: readonly string[],
  command: string | undefined,
): () => Promise<Readonly<Record<string, string>>> {
  const fixed = Object.fromEntries(pairs.map((pair) => headerOf(pair, "--header")));
  if (command === undefined) return async () => fixed;
  return async () => {
    let output: string;
    try {
      const done = await promisify(exec)(command, {
        env: { ...process.env, CODER_URL: url.href },
        timeout: HEADER_COMMAND_TIMEOUT_MS,
        maxBuffer: 64 * 1024,
      });
      output = done.stdout;
    } catch (error) {
      throw new UserError(`The header command failed: "${command}"`, { why: (error as Error).message, cause: error });
    }
    const lines = output.split("\n").filter((line) => line.trim() !== "");
    return { ...fixed, ...Object.fromEntries(lines.map((line) => headerOf(line, "the header command"))) };
  };
}

function headerOf(pair: string, from: string): [string, string] {
  const equals = pair.indexOf("=");
  const name = pair.slice(0, equals).trim();
  const value = pair.slice(equals + 1).trim();
  if (equals <= 0 || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[\r\n\0]/.test(value)) {
    throw new UserError(`${from} gave "${pair}"; a header is written key=value`, { code: "ERR_USAGE", exit: 2 });
  }
  return [name, value];
}
