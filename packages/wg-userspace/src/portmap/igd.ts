/**
 * UPnP Internet Gateway Device, version 1 and 2: finding the service that maps ports in a device description, and the SOAP
 * calls on it (WANIPConnection:1 and :2, WANPPPConnection:1).
 */
import { formatIp, type IpAddress, ipEqual, parseIp } from "../base/ip.ts";
import { type HttpUrl, resolveHttpUrl } from "./http-url.ts";
import { childText, elementsNamed, parseXml } from "./xml.ts";

export interface IgdService {
  readonly type: string;
  readonly control: HttpUrl;
}

/** Most capable first. */
const SERVICE_TYPES = [
  "urn:schemas-upnp-org:service:WANIPConnection:2",
  "urn:schemas-upnp-org:service:WANIPConnection:1",
  "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/** Services of one gateway that are tried; further ones are ignored. */
export const MAX_SERVICES = 4;
/** Shown on the router's web page. */
const DESCRIPTION = "coder";

/**
 * The services of a description that map ports. Their control address must lie on the host that the description came
 * from: a router must not redirect us to another host.
 */
export function findIgdServices(description: string, location: HttpUrl): IgdService[] {
  const root = parseXml(description);
  if (root === undefined) return [];
  const baseText = childText(root, "URLBase");
  const base = baseText === undefined || baseText === "" ? location : resolveHttpUrl(location, baseText);
  if (base === undefined) return [];
  const services = elementsNamed(root, "service").flatMap((service) => {
    const type = childText(service, "serviceType") ?? "";
    const reference = childText(service, "controlURL") ?? "";
    const control = reference === "" ? undefined : resolveHttpUrl(base, reference);
    if (!SERVICE_TYPES.includes(type) || control === undefined) return [];
    return ipEqual(control.at.address, location.at.address) ? [{ type, control }] : [];
  });
  return services.sort((a, b) => SERVICE_TYPES.indexOf(a.type) - SERVICE_TYPES.indexOf(b.type)).slice(0, MAX_SERVICES);
}

/** One HTTP request for the shell; it follows no redirect and reads at most MAX_XML_CHARS. */
export interface HttpRequest {
  readonly url: HttpUrl;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function descriptionRequest(location: HttpUrl): HttpRequest {
  return { url: location, method: "GET", headers: {}, body: "" };
}

export function externalAddressRequest(service: IgdService): HttpRequest {
  return soapRequest(service, "GetExternalIPAddress", {});
}

export interface IgdMapping {
  readonly externalPort: number;
  readonly internalPort: number;
  readonly self: IpAddress;
  /** Seconds; 0 for a mapping that stays until it is deleted. */
  readonly lifetimeS: number;
}

export function addMappingRequest(service: IgdService, mapping: IgdMapping): HttpRequest {
  return soapRequest(service, "AddPortMapping", {
    NewRemoteHost: "",
    NewExternalPort: String(mapping.externalPort),
    NewProtocol: "UDP",
    NewInternalPort: String(mapping.internalPort),
    NewInternalClient: formatIp(mapping.self),
    NewEnabled: "1",
    NewPortMappingDescription: DESCRIPTION,
    NewLeaseDuration: String(mapping.lifetimeS),
  });
}

export function deleteMappingRequest(service: IgdService, externalPort: number): HttpRequest {
  return soapRequest(service, "DeletePortMapping", {
    NewRemoteHost: "",
    NewExternalPort: String(externalPort),
    NewProtocol: "UDP",
  });
}

export type SoapAnswer =
  | { readonly kind: "done" }
  | { readonly kind: "address"; readonly address: IpAddress }
  /** UPnP error code, such as 718 for a port that is taken; 0 when there is no number. */
  | { readonly kind: "fault"; readonly code: number };

/** Undefined for anything but a SOAP answer to that action. */
export function parseSoapAnswer(
  body: string,
  action: "GetExternalIPAddress" | "AddPortMapping",
): SoapAnswer | undefined {
  const envelope = parseXml(body);
  const content = envelope?.children.find(({ name }) => name === "Body")?.children[0];
  if (envelope?.name !== "Envelope" || content === undefined) return undefined;
  if (content.name === "Fault") {
    const code = elementsNamed(content, "errorCode")[0]?.text ?? "";
    return { kind: "fault", code: /^[0-9]{3}$/.test(code) ? Number(code) : 0 };
  }
  if (content.name !== `${action}Response`) return undefined;
  if (action === "AddPortMapping") return { kind: "done" };
  const address = parseIp(childText(content, "NewExternalIPAddress") ?? "");
  return address === undefined ? undefined : { kind: "address", address };
}

/** The arguments need no escaping: they are numbers, addresses and constants. */
function soapRequest(service: IgdService, action: string, args: Readonly<Record<string, string>>): HttpRequest {
  const fields = Object.entries(args).map(([name, value]) => `<${name}>${value}</${name}>`);
  return {
    url: service.control,
    method: "POST",
    headers: { "Content-Type": 'text/xml; charset="utf-8"', SOAPAction: `"${service.type}#${action}"` },
    body:
      '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
      's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>' +
      `<u:${action} xmlns:u="${service.type}">${fields.join("")}</u:${action}></s:Body></s:Envelope>\r\n`,
  };
}
