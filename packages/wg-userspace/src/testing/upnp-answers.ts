/** Answers of a UPnP gateway, for tests. */
const TYPES = "urn:schemas-upnp-org:service:";

export function searchAnswer(location: string): string {
  return (
    "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n" +
    "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n" +
    `USN: uuid:1::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\nLOCATION: ${location}\r\n\r\n`
  );
}

/** @param services Type without its first words, and control address. */
export function descriptionXml(services: readonly (readonly [string, string])[]): string {
  const list = services.map(
    ([type, control]) =>
      `<service><serviceType>${TYPES}${type}</serviceType><serviceId>x</serviceId><controlURL>${control}</controlURL></service>`,
  );
  return (
    '<?xml version="1.0"?>\n<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceList><device>' +
    `<serviceList>${list.join("\n")}</serviceList></device></deviceList></device></root>`
  );
}

export function soapAnswer(action: string, fields: Readonly<Record<string, string>>): string {
  const inside = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`);
  return envelope(`<u:${action}Response xmlns:u="${TYPES}WANIPConnection:1">${inside.join("")}</u:${action}Response>`);
}

export function soapFault(code: number): string {
  return envelope(
    "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>" +
      `<UPnPError><errorCode>${code}</errorCode><errorDescription>no</errorDescription></UPnPError></detail></s:Fault>`,
  );
}

function envelope(body: string): string {
  return `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>${body}</s:Body></s:Envelope>`;
}
