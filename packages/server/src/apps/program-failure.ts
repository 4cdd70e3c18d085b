/** Why a program did not answer, as an answer of the server. */
import { nodeErrorCode } from "../base/errors.ts";
import type { AppTarget } from "./decision.ts";
import type { AppAnswer } from "./pages.ts";

const REFUSED: ReadonlySet<string> = new Set(["ERR_CONNECTION_REFUSED", "ECONNREFUSED"]);
const UNREACHABLE: ReadonlySet<string> = new Set([
  "ERR_AGENT_UNREACHABLE",
  "ERR_TIMEOUT",
  "ERR_CONNECTION_TIMEOUT",
  "ERR_HOST_UNREACHABLE",
  "ERR_NO_PEER",
  "ERR_NO_PATH",
  "ERR_HANDSHAKE_TIMEOUT",
]);

export function programFailure(
  error: unknown,
  request: { readonly target: AppTarget; readonly origin: string; readonly path: string; readonly owns: boolean },
): AppAnswer {
  const { target, origin, path, owns } = request;
  const code = nodeErrorCode(error) ?? "";
  const retry = { href: path, text: "Try again" };
  if (REFUSED.has(code)) {
    const next = owns ? " Start the program in the workspace, and let it listen on localhost." : "";
    return {
      status: 502,
      title: `Nothing Listens on Port ${target.port}`,
      text: `No program of the workspace listens on port ${target.port}.${next}`,
      links: [retry],
    };
  }
  if (UNREACHABLE.has(code) || (error instanceof Error && error.name === "TimeoutError")) {
    return {
      status: 504,
      title: "Workspace Unreachable",
      text: "The workspace did not answer through the tunnel in time.",
      links: [retry],
    };
  }
  if (code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "HPE_INVALID_CONSTANT") {
    const other = otherScheme(origin, target.secure);
    return {
      status: 502,
      title: "Protocol Mismatch",
      text: target.secure
        ? "The program does not speak https."
        : "The program does not speak http; it may speak https.",
      links: [{ href: `${other}${path}`, text: target.secure ? "Switch to HTTP" : "Switch to HTTPS" }, retry],
    };
  }
  return {
    status: 502,
    title: "Bad Gateway",
    text: "The program closed the connection or did not answer with HTTP.",
    links: [retry],
  };
}

/** The same app with or without the `s` after its port. */
function otherScheme(origin: string, secure: boolean): string {
  const url = new URL(origin);
  const [label = "", ...rest] = url.host.split(".");
  const swapped = secure
    ? label.replace(/(^|---)(\d{1,5})s--/, "$1$2--")
    : label.replace(/(^|---)(\d{1,5})--/, "$1$2s--");
  return `${url.protocol}//${[swapped, ...rest].join(".")}`;
}
