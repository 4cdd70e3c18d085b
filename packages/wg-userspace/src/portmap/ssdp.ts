/** The part of SSDP that finds an Internet gateway: the search and its answers (UPnP Device Architecture §1.3). */
import { utf8 } from "../base/bytes.ts";
import { ip } from "../base/ip.ts";
import { type HttpUrl, parseHttpUrl } from "./http-url.ts";

export const SSDP_PORT = 1900;
export const SSDP_GROUP = ip("239.255.255.250");
const GATEWAY_DEVICE = "urn:schemas-upnp-org:device:InternetGatewayDevice:";
const MAX_ANSWER_BYTES = 2_048;

/** Searches for gateways, one datagram for each version of the device type. */
export function encodeGatewaySearches(): Uint8Array[] {
  return [1, 2].map((version) =>
    utf8(
      "M-SEARCH * HTTP/1.1\r\n" +
        "HOST: 239.255.255.250:1900\r\n" +
        'MAN: "ssdp:discover"\r\n' +
        "MX: 1\r\n" +
        `ST: ${GATEWAY_DEVICE}${version}\r\n\r\n`,
    ),
  );
}

/** The URL of an answering gateway's description. Undefined for other devices, and for anything malformed. */
export function parseSearchAnswer(datagram: Uint8Array): HttpUrl | undefined {
  if (datagram.length > MAX_ANSWER_BYTES) return undefined;
  const lines = String.fromCharCode(...datagram).split(/\r?\n/);
  if (!/^HTTP\/1\.[01] 200(?: |$)/.test(lines[0]!)) return undefined;
  let isGateway = false;
  let location: HttpUrl | undefined;
  for (const line of lines.slice(1)) {
    if (line === "") break;
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const value = line.slice(colon + 1).trim();
    const name = line.slice(0, colon).trim().toUpperCase();
    if (name === "ST") isGateway = value.startsWith(GATEWAY_DEVICE);
    else if (name === "LOCATION") location = parseHttpUrl(value);
  }
  return isGateway ? location : undefined;
}
