/** The server's answer when a program did not answer. */
import { MAX_LABEL } from "../base/app-name.ts";
import { nodeErrorCode } from "../base/errors.ts";
import type { AppTarget } from "./decision.ts";
import type { AppAnswer } from "./pages.ts";

const REFUSED: ReadonlySet<string> = new Set(["ERR_CONNECTION_REFUSED", "ECONNREFUSED"]);
/** The end of a program resets its open connections, and those that waited to be accepted. */
const RESET = "ERR_CONNECTION_RESET";
const UNREACHABLE: ReadonlySet<string> = new Set([
  "ERR_AGENT_UNREACHABLE",
  "ERR_TIMEOUT",
  "ERR_CONNECTION_TIMEOUT",
  "ERR_HOST_UNREACHABLE",
  "ERR_NO_PEER",
  "ERR_NO_PATH",
  "ERR_HANDSHAKE_TIMEOUT",
]);

const RELOAD_SECONDS = 2;

export interface FailedRequest {
  readonly target: AppTarget;
  readonly origin: string;
  readonly path: string;
  /** Details for the owner of the workspace; undefined for any other visitor. */
  readonly forOwner: { readonly workspacePage: string; readonly listening: readonly number[] } | undefined;
}

/** Whether the connection failed because nothing listens on the program's port. */
export function isRefused(error: unknown): boolean {
  return REFUSED.has(nodeErrorCode(error) ?? "");
}

export function programFailure(error: unknown, { target, origin, path, forOwner }: FailedRequest): AppAnswer {
  const code = nodeErrorCode(error) ?? "";
  const retry = { href: path, text: "Try again" };
  if (isRefused(error)) {
    const next = forOwner === undefined ? "" : " Start the program in the workspace, and let it listen on localhost.";
    const ports = (forOwner?.listening ?? []).flatMap((port) => {
      const href = withProgram(origin, String(port));
      return href === undefined ? [] : [{ href: `${href}/`, text: `Port ${port}` }];
    });
    return {
      status: 502,
      title: `Nothing Listens on Port ${target.port}`,
      text: `No program of the workspace listens on port ${target.port}.${next}${ports.length === 0 ? "" : " Programs listen on:"}`,
      items: ports,
      links: [retry],
      reloadSeconds: RELOAD_SECONDS,
    };
  }
  if (UNREACHABLE.has(code) || (error instanceof Error && error.name === "TimeoutError")) {
    return {
      status: 504,
      title: "Workspace Unreachable",
      text: "The workspace did not answer through the tunnel in time.",
      links: [
        retry,
        ...(forOwner === undefined ? [] : [{ href: forOwner.workspacePage, text: "See how it is connected" }]),
      ],
    };
  }
  const other = withProgram(origin, `${target.port}${target.secure ? "" : "s"}`);
  const switched =
    other === undefined
      ? []
      : [{ href: `${other}${path}`, text: target.secure ? "Switch to HTTP" : "Switch to HTTPS" }];
  if (code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "HPE_INVALID_CONSTANT") {
    const change = other === undefined ? " The address of the app says which of them is meant." : "";
    return {
      status: 502,
      title: "Protocol Mismatch",
      text: target.secure
        ? `The program does not speak https.${change}`
        : `The program does not speak http; it may speak https.${change}`,
      links: [...switched, retry],
    };
  }
  if (code === RESET)
    return {
      status: 502,
      title: "The Program Broke off the Connection",
      text: "The program reset the connection before it answered; it may be ending or starting again.",
      links: [retry, ...switched],
      reloadSeconds: RELOAD_SECONDS,
    };
  if (code === "ECONNRESET" && !target.secure)
    return {
      status: 502,
      title: "Bad Gateway",
      text: "The program closed the connection without an answer. Programs that speak only https do so when they are addressed with http.",
      links: [retry, ...switched],
    };
  return {
    status: 502,
    title: "Bad Gateway",
    text: "The program closed the connection or did not answer with HTTP.",
    links: [retry],
  };
}

/** The origin of another port of the same agent; undefined if the current origin does not name a port. */
function withProgram(origin: string, program: string): string | undefined {
  const url = new URL(origin);
  const [label = "", ...rest] = url.host.split(".");
  const match = /^(?:[a-z0-9-]*---)?\d{1,5}s?(--.*)$/.exec(label);
  const other = `${program}${match?.[1]}`;
  return match === null || other.length > MAX_LABEL ? undefined : `${url.protocol}//${[other, ...rest].join(".")}`;
}
