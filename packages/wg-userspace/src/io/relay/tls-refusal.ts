/** Why a TLS connection is not used; the message names the issuer of the certificate. */
import { type ConnectionOptions, checkServerIdentity, type PeerCertificate, type TLSSocket } from "node:tls";
import { EngineError } from "../../base/errors.ts";
import { toEngineError } from "../host/node-errors.ts";

/** Products that intercept TLS and present certificates of their own. */
const INSPECTION =
  /zscaler|netskope|forti(net|gate)|palo ?alto|blue ?coat|symantec web|umbrella|sophos|check ?point|skyhigh|mcafee web|forcepoint|websense|cloudflare.*gateway|gateway ca - cloudflare|mitmproxy|charles proxy|fiddler|kaspersky|avast|avg web|eset|bitdefender|barracuda|untangle|sonicwall|watchguard|squid|menlo|iboss|cato networks|burp|portswigger|(ssl|tls|https).{0,12}(inspect|intercept|decrypt|proxy)|(web|secure|forward) ?proxy|intercept/i;
/** Real chains are shorter. */
const MAX_CHAIN = 10;
const MAX_NAME_CHARS = 80;
const SELF_SIGNED = "DEPTH_ZERO_SELF_SIGNED_CERT";
const UNKNOWN_ISSUER: ReadonlySet<string> = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_UNTRUSTED",
  SELF_SIGNED,
]);

/**
 * Options that open a connection with any certificate: {@link tlsRefusal} judges it before a byte is sent or read. In this way an
 * error can name the issuer, which Node no longer knows once it has destroyed the socket itself.
 */
export function verifiedAfterwards(expectedName: string): ConnectionOptions {
  return {
    rejectUnauthorized: false,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(expectedName, certificate),
  };
}

/**
 * Why the connection must not be used; undefined if its certificate is valid.
 * @param where Quoted: `"host:443"`.
 */
export function tlsRefusal(socket: TLSSocket, where: string): EngineError | undefined {
  if (socket.authorized) return undefined;
  const reason: unknown = socket.authorizationError ?? "not authorized";
  const code = reason instanceof Error ? ((reason as NodeJS.ErrnoException).code ?? reason.message) : String(reason);
  const cause = reason instanceof Error ? reason : Object.assign(new Error(code), { code });
  if (UNKNOWN_ISSUER.has(code)) {
    const words = issuedBy(issuerOf(socket.getPeerCertificate(true)), code);
    return new EngineError("ERR_TLS_UNTRUSTED", `cannot trust ${where}: its certificate is ${words}`, { cause });
  }
  const error = toEngineError(cause, `cannot trust ${where}`);
  return error.code === "ERR_IO" ? new EngineError("ERR_TLS_UNTRUSTED", error.message, { cause }) : error;
}

function issuedBy(issuer: string, code: string): string {
  if (code === SELF_SIGNED) return issuer === "" ? "self-signed" : `self-signed, in the name of "${issuer}"`;
  if (issuer === "") return "not signed by an authority that this machine knows";
  const guess = INSPECTION.test(issuer)
    ? "looks like TLS inspection"
    : "an authority that this machine does not know, either the deployment's own or TLS inspection";
  return `issued by "${issuer}": ${guess}`;
}

/** The name of the authority at the end of the chain that was sent. */
function issuerOf(leaf: ReturnType<TLSSocket["getPeerCertificate"]>): string {
  let top = leaf as PeerCertificate & { issuerCertificate?: unknown };
  for (let depth = 0; depth < MAX_CHAIN; depth++) {
    const next = top.issuerCertificate as typeof top | undefined;
    if (next === undefined || next === null || next === top) break;
    top = next;
  }
  const { CN, O, OU } = top.issuer ?? {};
  const name = [CN, O, OU].flat().find((text) => typeof text === "string" && text !== "") ?? "";
  // The text comes from an intermediary, and it goes to a terminal.
  return name
    .replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, "")
    .replaceAll('"', "'")
    .slice(0, MAX_NAME_CHARS);
}
