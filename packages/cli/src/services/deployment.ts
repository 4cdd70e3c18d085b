import { exec } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { isSea } from "node:sea";
import { createSecureContext } from "node:tls";
import { promisify } from "node:util";
import { ClientError } from "coder-client/base/client-error";
import { Dialer, type TlsSettings } from "coder-client/dial/dialer";
import { Deployment } from "coder-client/rest/deployment";
import { defaultConfigDir, readConfig, removeConfig, writeConfig } from "../config-dir.ts";
import { UserError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagValues, listFlag, stringFlag } from "../flags/spec.ts";
import { say } from "../ui/say.ts";
import { VERSION } from "../version.ts";
import { clientSessionId } from "./session-id.ts";

const HEADER_COMMAND_TIMEOUT_MS = 10_000;
/** A rollout behind a load balancer takes seconds. Before a login it is unknown whether the URL belongs to a deployment at all. */
const PATIENCE = {
  limitMs: 8_000,
  onWait: (error: ClientError): void => say(`warning: ${error.message}; trying again`),
};

export function configDirOf(flags: FlagValues): string {
  return stringFlag(flags, "global-config") ?? defaultConfigDir(process.env);
}

/** The deployment's URL by flag, variable or file. Throws when there is none. */
export function deploymentUrl(flags: FlagValues): URL {
  const text = stringFlag(flags, "url") ?? readConfig(configDirOf(flags), "url");
  if (text === undefined) throw new ClientError("ERR_NOT_LOGGED_IN", "You are not logged in");
  return parseDeploymentUrl(text);
}

/** A deployment URL as people type it: no scheme means https, or http for localhost. */
export function parseDeploymentUrl(text: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(text) ? text : `${text.startsWith("localhost") ? "http" : "https"}://${text}`;
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

/** The deployment with the stored or given login. Throws when not logged in. */
export function openDeployment(flags: FlagValues): Deployment {
  const url = deploymentUrl(flags);
  const token = stringFlag(flags, "token") ?? readConfig(configDirOf(flags), "session");
  return deploymentAt(url, token, flags);
}

export function deploymentAt(url: URL, token: string | undefined, flags: FlagValues): Deployment {
  return new Deployment({
    url,
    ...(token === undefined ? {} : { token }),
    dialer: dialerOf(withRemembered(flags, url)),
    extraHeaders: headerSource(url, listFlag(flags, "header"), stringFlag(flags, "header-command")),
    clientVersion: VERSION,
    sessionId: clientSessionId(),
    ...(token === undefined ? {} : { patience: PATIENCE }),
    ...(booleanFlag(flags, "no-version-warning")
      ? {}
      : {
          onVersionMismatch: (server: string) => {
            say(
              `version mismatch: this client is ${VERSION}, the deployment is ${server}; to have its client, run: ${updateLine(url)}`,
            );
          },
        }),
  });
}

/** The command that brings the deployment's client: by itself where it can replace itself. */
function updateLine(url: URL): string {
  if (isSea()) return "coder update-cli";
  return process.platform === "win32"
    ? `iwr -useb ${url.origin}/install.ps1 | iex`
    : `curl -fsSL ${url.origin}/install.sh | sh`;
}

/** Flags that name files of TLS; a login remembers them for its deployment. */
const TLS_FILES = ["ca-file", "client-cert", "client-key"] as const;

/** How everything is dialled by these flags. */
export function dialerOf(flags: FlagValues): Dialer {
  return new Dialer({ tls: tlsSettings(flags) });
}

/** The flags, with what was remembered at the login to this deployment where they say nothing. */
function withRemembered(flags: FlagValues, url: URL): FlagValues {
  const dir = configDirOf(flags);
  const stored = readConfig(dir, "url");
  if (stored === undefined || parseDeploymentUrl(stored).href !== url.href) return flags;
  // A pair belongs together: one from here and one from there would fit nothing.
  const names = ["client-cert", "client-key"].some((name) => stringFlag(flags, name) !== undefined)
    ? (["ca-file"] as const)
    : TLS_FILES;
  const remembered = names.flatMap((name) => {
    const path = stringFlag(flags, name) === undefined ? readConfig(dir, name) : undefined;
    return path === undefined ? [] : [[name, path]];
  });
  return remembered.length === 0 ? flags : { ...flags, ...Object.fromEntries(remembered) };
}

/**
 * Stores beside the login which files of TLS it took, as far as flags named them: variables speak for themselves next time.
 * Call before the URL is stored.
 */
export function rememberTlsFiles(line: Pick<ParsedLine, "values" | "origins">, url: URL): void {
  const dir = configDirOf(line.values);
  const used = withRemembered(line.values, url);
  for (const name of TLS_FILES) {
    const path = line.origins[name] === "environment" ? undefined : stringFlag(used, name);
    if (path === undefined) removeConfig(dir, name);
    else writeConfig(dir, name, resolve(path));
  }
}

function tlsSettings(flags: FlagValues): TlsSettings {
  const ca = readPem(flags, "ca-file");
  const cert = readPem(flags, "client-cert");
  const key = readPem(flags, "client-key");
  if ((cert === undefined) !== (key === undefined)) {
    throw new UserError("--client-cert and --client-key belong together", { code: "ERR_USAGE", exit: 2 });
  }
  if (cert !== undefined && key !== undefined) refuseMismatch(flags, cert, key);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** Found now, with the files' names; in the middle of a connection it would be a riddle. */
function refuseMismatch(flags: FlagValues, cert: string, key: string): void {
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new UserError(
      `--client-key "${stringFlag(flags, "client-key")}" cannot be used with --client-cert "${stringFlag(flags, "client-cert")}"`,
      {
        why: (error as Error).message,
        next: ["give the certificate's own key, as PEM and without a passphrase"],
        code: "ERR_BAD_PEM",
        cause: error,
      },
    );
  }
}

function readPem(flags: FlagValues, name: string): string | undefined {
  const path = stringFlag(flags, name);
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

/** Headers of flags, then of the command, whose output is asked for anew each time. */
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
