import type { ClientError } from "coder-client/base/client-error";
import type { NameError } from "coder-protocol/names";
import type { EngineError, ErrorCode } from "wg-userspace/base/errors";
import { printable } from "../base/text.ts";
import type { UsageError } from "../errors/usage-error.ts";
import { type CancelledError, EXIT, UserError } from "./user-error.ts";

/** How this server and stock ones answer when the token's account may not log in: another login would not help. */
const SUSPENDED = /\bsuspended\b|\bnot active\b/i;
const KNOWN_REGION = "give one of these with --region or CODER_REGION, or auto for the one with the shortest route";

/** Turns every expected failure into words for the user. Undefined for a bug of ours. */
export function toUserError(error: unknown): UserError | undefined {
  if (is<UserError>(error, "UserError")) return error;
  if (is<UsageError>(error, "UsageError"))
    return new UserError(capitalized(error.message), { code: "ERR_USAGE", exit: EXIT.usage });
  if (is<NameError>(error, "NameError"))
    return new UserError(capitalized(error.message), { code: "ERR_BAD_NAME", exit: EXIT.usage });
  if (is<ClientError>(error, "ClientError")) return presentClientError(error);
  if (is<EngineError>(error, "EngineError")) return presentEngineError(error);
  return undefined;
}

/** Compares by name: the work of a command is in another bundle, whose class of that name is a different one. */
function is<T extends Error>(error: unknown, name: T["name"]): error is T {
  return error instanceof Error && error.name === name;
}

/** One to three lines: what failed and why, then what to try. */
export function renderUserError(error: UserError): string {
  const why = error.why === undefined ? "" : `: ${error.why}`;
  const next = error.next.map((line) => `  Try: ${line}`);
  const what = why === "" ? error.message : error.message.replace(/[.!]$/, "");
  return [`${what}${why}   (${error.code})`, ...next].map(printable).join("\n");
}

export function isCancelled(error: unknown): boolean {
  return is<CancelledError>(error, "CancelledError") || (error instanceof Error && error.name === "AbortError");
}

function presentClientError(error: ClientError): UserError {
  const message = capitalized(error.message);
  const why = [error.detail, ...error.validations.map(validationText)]
    .filter((text) => text !== undefined && text !== "")
    .join("; ");
  const base = { why: why === "" ? undefined : why, code: error.code, cause: error };
  switch (error.code) {
    case "ERR_NOT_LOGGED_IN":
      return new UserError("You are not logged in", { ...base, next: ["coder login <url>"] });
    case "ERR_UNAUTHORIZED":
      return new UserError("The deployment refused the session token", {
        ...base,
        why: reasonOf(message, why),
        next: [SUSPENDED.test(message) ? "ask an owner of the deployment to activate the account" : "coder login"],
      });
    case "ERR_NOT_A_CODER_SERVER":
      return new UserError(message, {
        ...base,
        next: [
          error.retryable
            ? "try again in a moment; if the problem persists, open the URL in a browser: a network's login page, a load balancer or a maintenance page may be in front of it"
            : "check the URL: coder login <url>",
        ],
      });
    case "ERR_UPGRADE_STRIPPED":
      return new UserError(message, {
        ...base,
        next: [
          "make the reverse proxy in front of the deployment pass on the headers Upgrade and Connection, with HTTP/1.1",
        ],
      });
    case "ERR_ACCESS_ENDED":
      if (error.status === 409) return browserOnly(error, EXIT.connectionLost);
      return new UserError(message, {
        ...base,
        exit: EXIT.connectionLost,
        next: [error.status === 401 ? "coder login" : "coder list"],
      });
    case "ERR_BROWSER_ONLY":
      return browserOnly(error);
    case "ERR_NO_RELAY":
      return new UserError(message, {
        ...base,
        next: ["ask an administrator to enable the embedded relay or to give a relay map"],
      });
    case "ERR_UNKNOWN_RELAY":
      return new UserError(message, { ...base, exit: EXIT.usage, next: [KNOWN_REGION] });
    case "ERR_VERSION_MISMATCH":
      return new UserError(message, {
        ...base,
        next: ["coder update-cli", "or install the deployment's version with its /install.sh"],
      });
    case "ERR_WORKSPACE_STOPPED":
    case "ERR_WORKSPACE_NOT_STARTED":
    case "ERR_AGENT_OFF":
    case "ERR_AGENT_UNREACHABLE":
    case "ERR_FORBIDDEN":
    case "ERR_NOT_FOUND":
    case "ERR_CONFLICT":
    case "ERR_RATE_LIMITED":
    case "ERR_BAD_REQUEST":
    case "ERR_SERVER":
    case "ERR_RESUME_TOKEN":
    case "ERR_BAD_CONFIGURATION":
      return new UserError(message, base);
  }
}

/** Appends the server's own sentence to ours. */
function reasonOf(message: string, detail: string): string {
  return [message.replace(/[.!]$/, ""), ...(detail === "" ? [] : [detail])].join("; ");
}

/** The deployment's sentence unchanged, and where to go instead. */
function browserOnly(error: ClientError, exit: number = EXIT.failure): UserError {
  const { message, detail, code } = error;
  const next = detail === undefined ? [] : [detail.charAt(0).toLowerCase() + detail.slice(1)];
  return new UserError(message, { code, exit, next, cause: error });
}

function validationText({ field, detail }: ClientError["validations"][number]): string {
  return detail === "" ? `${field} is not valid` : `${field}: ${detail}`;
}

/** The next step for each network failure; undefined where the message says everything. */
function nextStep(code: ErrorCode): string | undefined {
  switch (code) {
    case "ERR_CONNECTION_REFUSED":
      return "check the URL and that the server runs";
    case "ERR_NAME_NOT_FOUND":
      return "check the host name in the URL, and your DNS or VPN";
    case "ERR_HOST_UNREACHABLE":
    case "ERR_NETWORK_UNREACHABLE":
    case "ERR_CONNECTION_TIMEOUT":
    case "ERR_TIMEOUT":
      return "check your network, VPN and firewall; a proxy is taken from HTTPS_PROXY";
    case "ERR_TLS_UNTRUSTED":
      return "if that authority is your organisation's, save it as a PEM file and pass it with --ca-file or CODER_CA_FILE, or add it to the system's store";
    case "ERR_TLS_NAME_MISMATCH":
      return "use the host name that the certificate carries, or ask an administrator to fix the certificate";
    case "ERR_TLS_EXPIRED":
      return "check this machine's clock; if it is right, the server's administrator must renew the certificate";
    case "ERR_RELAY_REFUSED":
      return "run with -v for details; an administrator can force WebSockets with --derp-force-websockets";
    case "ERR_ADDRESS_IN_USE":
      return "stop the other program or choose another port";
    case "ERR_PROXY_REFUSED": // each of its messages names the cause and the remedy
    case "ERR_TLS":
    case "ERR_CLOSED":
    case "ERR_ABORTED":
    case "ERR_CONNECTION_RESET":
    case "ERR_ADDRESS_NOT_AVAILABLE":
    case "ERR_PERMISSION_DENIED":
    case "ERR_RELAY_PROTOCOL":
    case "ERR_RELAY_GONE":
    case "ERR_NO_PATH":
    case "ERR_NO_PEER":
    case "ERR_HANDSHAKE_TIMEOUT":
    case "ERR_MESSAGE_TOO_LARGE":
    case "ERR_LIMIT":
    case "ERR_INVALID_ARGUMENT":
    case "ERR_PROTOCOL":
    case "ERR_UNSUPPORTED":
    case "ERR_IO":
      return undefined;
  }
}

function presentEngineError(error: EngineError): UserError {
  const next = wantsClientCertificate(error)
    ? "give a client certificate that the other side knows: --client-cert <pem> --client-key <pem>"
    : nextStep(error.code);
  return new UserError(capitalized(error.message), {
    code: error.code,
    cause: error,
    next: next === undefined ? undefined : [next],
  });
}

/** The TLS alerts by which the other side asks for a certificate or refuses ours (RFC 8446 §6.2). */
function wantsClientCertificate(error: EngineError): boolean {
  return (
    error.code === "ERR_TLS" &&
    /ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN)|UNKNOWN_CA|HANDSHAKE_FAILURE)/.test(
      error.message,
    )
  );
}

/** Capitalises the first letter, unless the text starts with an address or a flag. */
function capitalized(text: string): string {
  return /^[a-z]+(?![a-z]*:\/\/)\b/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}
