import type { IncomingHttpHeaders } from "node:http";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { parseUserToken } from "../auth/tokens.ts";

/**
 * The deployment's token in a header, which a page of another origin cannot send. Bearer tokens of another form belong to the
 * program.
 */
export function headerToken(headers: IncomingHttpHeaders): string | undefined {
  const own = headers[SESSION_TOKEN_HEADER.toLowerCase()];
  if (typeof own === "string" && own !== "") return own;
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1];
  return bearer !== undefined && parseUserToken(bearer) !== undefined ? bearer : undefined;
}
