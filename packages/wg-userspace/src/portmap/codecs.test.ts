import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexDecode, hexEncode, utf8 } from "../base/bytes.ts";
import { formatAddrPort, formatIp, ip } from "../base/ip.ts";
import { descriptionXml, searchAnswer, soapAnswer, soapFault } from "../testing/upnp-answers.ts";
import { isPublicIpv4 } from "./external-address.ts";
import { parseHttpUrl, resolveHttpUrl } from "./http-url.ts";
import { addMappingRequest, findIgdServices, parseSoapAnswer } from "./igd.ts";
import { encodePmpAddressRequest, encodePmpMappingRequest, parsePmpResponse } from "./nat-pmp.ts";
import { encodePcpAnnounce, encodePcpMapRequest, parsePcpResponse } from "./pcp.ts";
import { encodeGatewaySearches, parseSearchAnswer } from "./ssdp.ts";
import { elementsNamed, MAX_XML_CHARS, parseXml } from "./xml.ts";

const SELF = ip("192.168.1.7");
const port = fc.integer({ min: 0, max: 65_535 });
const lifetime = fc.integer({ min: 0, max: 0xffffffff });

describe("NAT-PMP", () => {
  it("lays out its requests as RFC 6886 §3.2 and §3.3 draw them", () => {
    expect(hexEncode(encodePmpAddressRequest())).toBe("0000");
    const request = encodePmpMappingRequest({ internalPort: 0xabcd, externalPort: 0x1234, lifetimeS: 7200 });
    expect(hexEncode(request)).toBe("0001" + "0000" + "abcd" + "1234" + "00001c20");
  });

  it("reads both responses", () => {
    expect(parsePmpResponse(hexDecode("0080" + "0000" + "00000010" + "c6336401"))).toEqual({
      kind: "address",
      result: 0,
      address: ip("198.51.100.1"),
    });
    expect(parsePmpResponse(hexDecode("0081" + "0002" + "00000010" + "abcd" + "1234" + "00001c20"))).toEqual({
      kind: "mapping",
      result: 2,
      internalPort: 0xabcd,
      externalPort: 0x1234,
      lifetimeS: 7200,
    });
  });

  it("does not accept requests, mappings of TCP, other versions or other lengths", () => {
    for (const hex of ["0000", "0082000000000010abcd123400001c20", "01800000000000100a000001", "0080000000000010"])
      expect(parsePmpResponse(hexDecode(hex))).toBeUndefined();
  });

  it("survives any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void parsePmpResponse(bytes)));
  });
});

describe("PCP", () => {
  it("lays out its requests as RFC 6887 §7.1 and §11.1 draw them", () => {
    expect(hexEncode(encodePcpAnnounce(SELF))).toBe("02000000" + "00000000" + "00000000000000000000ffffc0a80107");
    const nonce = hexDecode("000102030405060708090a0b");
    const request = encodePcpMapRequest(SELF, { nonce, internalPort: 0xabcd, externalPort: 0x1234, lifetimeS: 7200 });
    expect(hexEncode(request)).toBe(
      "02010000" +
        "00001c20" +
        "00000000000000000000ffffc0a80107" +
        "000102030405060708090a0b" +
        "11000000" +
        "abcd" +
        "1234" +
        "00000000000000000000ffff00000000",
    );
  });

  it("reads the response that a server derives from a request", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        port,
        port,
        lifetime,
        (nonce, inside, outside, s) => {
          const fields = { nonce, internalPort: inside, externalPort: outside, lifetimeS: s };
          const response = encodePcpMapRequest(SELF, fields);
          response[1]! |= 0x80;
          response.set([198, 51, 100, 1], 56);
          const read = parsePcpResponse(response);
          expect(read).toEqual({ kind: "mapping", result: 0, external: ip("198.51.100.1"), ...fields });
        },
      ),
    );
  });

  it("does not accept requests, other protocols or truncated messages", () => {
    const request = encodePcpMapRequest(SELF, {
      nonce: new Uint8Array(12),
      internalPort: 1,
      externalPort: 2,
      lifetimeS: 3,
    });
    expect(parsePcpResponse(request)).toBeUndefined();
    request[1] = 0x81;
    expect(parsePcpResponse(request.subarray(0, 56))).toBeUndefined();
    request[36] = 6;
    expect(parsePcpResponse(request)).toBeUndefined();
  });

  it("survives any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void parsePcpResponse(bytes)));
  });
});

describe("addresses of gateways", () => {
  it.each([
    ["198.51.100.1", true],
    ["8.8.8.8", true],
    ["10.1.2.3", false],
    ["172.31.0.1", false],
    ["172.32.0.1", true],
    ["192.168.0.1", false],
    ["100.64.0.1", false],
    ["100.127.255.255", false],
    ["100.128.0.1", true],
    ["0.0.0.0", false],
    ["127.0.0.1", false],
    ["169.254.9.9", false],
    ["224.0.0.1", false],
    ["255.255.255.255", false],
    ["2001:db8::1", false],
  ])("%s is public: %s", (text, expected) => {
    expect(isPublicIpv4(ip(text))).toBe(expected);
  });

  it.each([
    ["http://192.168.1.1:5000/root.xml", "192.168.1.1:5000 /root.xml"],
    ["HTTP://192.168.1.1", "192.168.1.1:80 /"],
    ["http://192.168.1.1:80?x", "none"],
    ["https://192.168.1.1/", "none"],
    ["http://router/", "none"],
    ["http://user@192.168.1.1/", "none"],
    ["http://192.168.1.1:0/", "none"],
    ["http://192.168.1.1:65536/", "none"],
    ["http://192.168.1.1/a b", "none"],
    ["http://192.168.1.1/a\r\nX: y", "none"],
    ["http://[::1]/", "none"],
    [`http://192.168.1.1/${"a".repeat(512)}`, "none"],
  ])("URL %j is %s", (text, expected) => {
    const url = parseHttpUrl(text);
    expect(url === undefined ? "none" : `${formatAddrPort(url.at)} ${url.path}`).toBe(expected);
  });

  it.each([
    ["/ctl", "192.168.1.1:5000 /ctl"],
    ["ctl?a=1", "192.168.1.1:5000 /dev/ctl?a=1"],
    ["http://192.168.1.1:6000/ctl", "192.168.1.1:6000 /ctl"],
    ["//192.168.1.9/ctl", "none"],
    ["file:///etc/passwd", "none"],
  ])("reference %j leads to %s", (reference, expected) => {
    const url = resolveHttpUrl(parseHttpUrl("http://192.168.1.1:5000/dev/root.xml?q=/x/")!, reference);
    expect(url === undefined ? "none" : `${formatAddrPort(url.at)} ${url.path}`).toBe(expected);
  });
});

describe("SSDP", () => {
  it("asks for gateways of both versions", () => {
    const searches = encodeGatewaySearches().map((packet) => String.fromCharCode(...packet));
    expect(searches[0]).toMatch(/^M-SEARCH \* HTTP\/1\.1\r\n(.+\r\n)+\r\n$/);
    expect(searches.map((text) => /^ST: (.*)\r$/m.exec(text)![1])).toEqual([
      "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
      "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    ]);
  });

  it("reads where a gateway describes itself, however the header is spelt", () => {
    const answer = searchAnswer("http://192.168.1.1:5000/root.xml");
    expect(parseSearchAnswer(utf8(answer))?.path).toBe("/root.xml");
    expect(parseSearchAnswer(utf8(answer.replace("LOCATION: ", "Location:")))?.path).toBe("/root.xml");
  });

  it.each([
    ["another device", searchAnswer("http://192.168.1.1/").replace("InternetGatewayDevice", "MediaServer")],
    ["a notification", searchAnswer("http://192.168.1.1/").replace("HTTP/1.1 200 OK", "NOTIFY * HTTP/1.1")],
    ["an error", searchAnswer("http://192.168.1.1/").replace("200 OK", "404 Not Found")],
    ["a name", searchAnswer("http://router.example/")],
    ["no location", searchAnswer("http://192.168.1.1/").replace("LOCATION", "X")],
    ["too much", searchAnswer("http://192.168.1.1/") + "x".repeat(4000)],
    ["nothing", ""],
  ])("accepts no answer from %s", (_case, text) => {
    expect(parseSearchAnswer(utf8(text))).toBeUndefined();
  });
});

describe("XML", () => {
  it("reads elements, whatever their prefix, and skips attributes, comments and declarations", () => {
    const root = parseXml(
      '\ufeff<?xml version="1.0"?>\n<!-- <a> --><x:a b="c"><y:d> 1 </y:d><d/><!-- - --><d>2</d></x:a>\n',
    );
    expect(elementsNamed(root!, "d").map(({ text }) => text)).toEqual(["1", "", "2"]);
  });

  it.each([
    ["a document type", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'],
    ["CDATA", "<a><![CDATA[<b>]]></a>"],
    ["a wrong end", "<a><b></a></b>"],
    ["no end", "<a><b></b>"],
    ["an end too many", "<a></a></a>"],
    ["two roots", "<a/><b/>"],
    ["text outside", "<a/>b"],
    ["no name", "< a></ a>"],
    ["depth", "<a>".repeat(40) + "</a>".repeat(40)],
    ["many elements", `<a>${"<b/>".repeat(5000)}</a>`],
    ["length", `<a>${" ".repeat(MAX_XML_CHARS)}</a>`],
    ["nothing", ""],
  ])("refuses a document with %s", (_case, text) => {
    expect(parseXml(text)).toBeUndefined();
  });

  it("does not decode references: such text counts as unknown", () => {
    expect(parseXml("<a>1&amp;2</a>")?.text).toBeUndefined();
  });

  it("survives any text made of its own marks", () => {
    const pieces = fc.constantFrom(
      "<",
      ">",
      "/",
      "a",
      "<a>",
      "</a>",
      "<!--",
      "-->",
      "<?",
      "?>",
      "&",
      " ",
      "<a/>",
      "b:a",
    );
    fc.assert(fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => void parseXml(parts.join(""))));
  });
});

describe("IGD", () => {
  const location = parseHttpUrl("http://192.168.1.1:5000/root.xml")!;
  const found = (description: string) =>
    findIgdServices(description, location).map(
      ({ type, control }) => `${type.split(":").slice(3).join(":")} ${formatAddrPort(control.at)}${control.path}`,
    );

  it("finds the services of both versions, the most capable first", () => {
    expect(
      found(
        descriptionXml([
          ["WANPPPConnection:1", "/ppp"],
          ["Layer3Forwarding:1", "/l3"],
          ["WANIPConnection:1", "ip"],
        ]),
      ),
    ).toEqual(["WANIPConnection:1 192.168.1.1:5000/ip", "WANPPPConnection:1 192.168.1.1:5000/ppp"]);
    expect(
      found(
        descriptionXml([
          ["WANIPConnection:1", "/1"],
          ["WANIPConnection:2", "/2"],
        ]),
      )[0],
    ).toMatch(/^WANIPConnection:2 /);
  });

  it("follows URLBase on the same host", () => {
    const description = descriptionXml([["WANIPConnection:1", "/ctl"]]);
    const withBase = (base: string) => description.replace("<device>", `<URLBase>${base}</URLBase><device>`);
    expect(found(withBase("http://192.168.1.1:49152/"))).toEqual(["WANIPConnection:1 192.168.1.1:49152/ctl"]);
    expect(found(withBase("http://192.168.1.2:49152/"))).toEqual([]);
  });

  it("its requests go to no other host", () => {
    expect(found(descriptionXml([["WANIPConnection:1", "http://10.0.0.5/ctl"]]))).toEqual([]);
  });

  it("takes only the first few of very many", () => {
    expect(found(descriptionXml(Array.from({ length: 50 }, (_, i) => ["WANIPConnection:1", `/${i}`])))).toHaveLength(4);
  });

  it("requests a mapping in the standard's terms", () => {
    const service = findIgdServices(descriptionXml([["WANIPConnection:1", "/ctl"]]), location)[0]!;
    const request = addMappingRequest(service, { externalPort: 5, internalPort: 6, self: SELF, lifetimeS: 7200 });
    expect(request.headers["SOAPAction"]).toBe('"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping"');
    const fields = parseXml(request.body)!.children[0]!.children[0]!.children.map(
      ({ name, text }) => `${name}=${text}`,
    );
    expect(fields).toEqual([
      "NewRemoteHost=",
      "NewExternalPort=5",
      "NewProtocol=UDP",
      "NewInternalPort=6",
      "NewInternalClient=192.168.1.7",
      "NewEnabled=1",
      "NewPortMappingDescription=coder",
      "NewLeaseDuration=7200",
    ]);
  });

  it("reads answers and faults", () => {
    const address = soapAnswer("GetExternalIPAddress", { NewExternalIPAddress: "198.51.100.1" });
    const answer = parseSoapAnswer(address, "GetExternalIPAddress");
    expect(answer?.kind === "address" && formatIp(answer.address)).toBe("198.51.100.1");
    expect(parseSoapAnswer(soapAnswer("AddPortMapping", {}), "AddPortMapping")).toEqual({ kind: "done" });
    expect(parseSoapAnswer(soapFault(718), "AddPortMapping")).toEqual({ kind: "fault", code: 718 });
    expect(parseSoapAnswer(address, "AddPortMapping")).toBeUndefined();
    expect(parseSoapAnswer(address.replace("198.51.100.1", "router"), "GetExternalIPAddress")).toBeUndefined();
    expect(parseSoapAnswer("<html></html>", "AddPortMapping")).toBeUndefined();
  });
});
