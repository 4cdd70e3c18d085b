/**
 * The first label of an app's host name:
 *
 *     [{prefix}---]{what}--{agent}--{workspace}--{owner}
 *     [{prefix}---]{what}--{alias}
 *
 * `what` is a port, a port followed by `s` for a program that expects TLS, or the slug of a declared app. The alias stands for
 * the agent, because the long form may exceed the 63 octets of a DNS label (RFC 1035 §2.3.4).
 */
import { LOWEST_APP_PORT } from "coder-protocol/app-addresses";
import { isAppAlias } from "../base/app-alias.ts";
import { MAX_LABEL } from "../base/app-name.ts";

const NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const MAX_NAME = 32;
const PORT = /^([0-9]{1,5})(s?)$/;

/** Identifies a program within its workspace. */
export type AppProgram =
  | { readonly kind: "port"; readonly port: number; readonly secure: boolean }
  | { readonly kind: "slug"; readonly slug: string };

/** Identifies an agent by names or by its alias, all in lower case. */
export type AppPlace =
  | { readonly agent: string; readonly workspace: string; readonly owner: string }
  | { readonly alias: string };

export interface AppLabel {
  /** Any text that keeps the cookies of several instances of one program apart; "" if there is none. */
  readonly prefix: string;
  readonly program: AppProgram;
  readonly place: AppPlace;
}

/** Parses the label of a host name, in any case; returns an error if it names no app. */
export function parseAppLabel(text: string): AppLabel | { readonly error: string; readonly status?: 404 } {
  const label = text.toLowerCase();
  if (label.length > MAX_LABEL) return { error: `a label has at most ${MAX_LABEL} characters` };
  const separator = label.lastIndexOf("---");
  const prefix = separator < 0 ? "" : label.slice(0, separator);
  if (separator >= 0 && !/^[a-z0-9-]*$/.test(prefix)) return { error: "the prefix must consist of letters and digits" };
  const parts = label.slice(separator < 0 ? 0 : separator + 3).split("--");
  const program = parseProgram(parts[0] ?? "");
  if ("error" in program) return program;
  if (parts.length === 2) {
    const alias = parts[1]!;
    return isAppAlias(alias) ? { prefix, program, place: { alias } } : { error: "the alias is malformed" };
  }
  if (parts.length !== 4) return { error: "it has to be APP--AGENT--WORKSPACE--OWNER" };
  const [, agent, workspace, owner] = parts as [string, string, string, string];
  if (![agent, workspace, owner].every((name) => NAME.test(name) && name.length <= MAX_NAME))
    return { error: "a name is malformed" };
  if (owner === "me") return { error: "Applications must be accessed with the full username, not @me.", status: 404 };
  return { prefix, program, place: { agent, workspace, owner } };
}

/** Parses a port, a port followed by `s`, or a slug. Text that reads as a port is never a slug. */
export function parseProgram(text: string): AppProgram | { readonly error: string } {
  const match = PORT.exec(text);
  if (match === null) {
    return NAME.test(text) && text.length <= MAX_NAME
      ? { kind: "slug", slug: text }
      : { error: "the app is malformed" };
  }
  const [, digits = "", secure = ""] = match;
  const port = Number(digits);
  if (digits.startsWith("0") || port > 65_535) return { error: `${digits} is not a port` };
  if (port < LOWEST_APP_PORT)
    return { error: `Application port ${port} is not permitted. Ports below ${LOWEST_APP_PORT} are reserved.` };
  return { kind: "port", port, secure: secure === "s" };
}
