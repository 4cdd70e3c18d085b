import { expect, test } from "vitest";
import { foreignCookies, headersToClient, headersToProgram, hostOnlyCookie } from "./headers.ts";
import { withoutOwnParameters } from "./names.ts";

const TOKEN = `${"a".repeat(10)}-${"b".repeat(22)}`;
const toProgram = (rawHeaders: string[], more: { programOrigin?: string; webSocket?: boolean } = {}) =>
  headersToProgram({
    rawHeaders,
    host: "a.apps.example.com:8443",
    scheme: "https",
    clientAddress: "192.0.2.7",
    webSocket: false,
    ...more,
  });
const OURS: [string, string][] = [
  ["Host", "a.apps.example.com:8443"],
  ["X-Forwarded-For", "192.0.2.7"],
  ["X-Forwarded-Host", "a.apps.example.com:8443"],
  ["X-Forwarded-Proto", "https"],
  ["X-Forwarded-Port", "8443"],
];

test("the order and the spelling of a client's headers are kept", () => {
  expect(toProgram(["Host", "a.apps.example.com:8443", "aCCept", "*/*", "X-Two", "1", "x-two", "2"])).toEqual([
    OURS[0],
    ["aCCept", "*/*"],
    ["X-Two", "1"],
    ["x-two", "2"],
    ...OURS.slice(1),
  ]);
});

test("security S4: no credential of the server reaches a program, in any spelling", () => {
  const secrets = [
    ["Coder-Session-Token", TOKEN],
    ["coder-SESSION-token", TOKEN],
    ["Authorization", `Bearer ${TOKEN}`],
    ["authorization", `bEARER   ${TOKEN} `],
    ["X-Coder-Username", "ada"],
    ["x-CODER-anything", "1"],
    // CGI and WSGI programs read this as the header with hyphens.
    ["X_Coder_Username", "ada"],
    ["x-coder_email", "ada@example.com"],
    ["X.Coder.User.Id", "1"],
    ["Coder_Session_Token", TOKEN],
    ["Cookie", `coder_session_token=${TOKEN}; __Host-coder_app_session=${TOKEN}`],
    [
      "cookie",
      ` \tCODER_SESSION_TOKEN = ${TOKEN};coder_app_state=${TOKEN};coder_subdomain_app_session_token_0a=${TOKEN}`,
    ],
    ["Cookie", `__host-CODER_session=${TOKEN}; __Secure-coder_session=${TOKEN}; coder_session_token`],
  ].flat();
  expect(toProgram(secrets)).toEqual(OURS);
});

test("security S4: a program keeps its own cookies, authorization and parameters", () => {
  expect(foreignCookies(`a=1; coder_session_token=${TOKEN}; session_token=2; a=3`)).toBe("a=1; session_token=2; a=3");
  expect(toProgram(["Authorization", "Bearer its-own-token", "Cookie", "x=coder_session_token"])).toEqual([
    OURS[0],
    ["Authorization", "Bearer its-own-token"],
    ["Cookie", "x=coder_session_token"],
    ...OURS.slice(1),
  ]);
});

test.each([
  ["/", "/"],
  ["/?", "/?"],
  ["/a?b=1&c=%2F&&d", "/a?b=1&c=%2F&&d"],
  ["/?coder_session_token=x", "/"],
  ["/?a=%41&coder_application_connect_api_key_35e783=x&b", "/?a=%41&b"],
  ["/?%63oder_session_token=x&a=1", "/?a=1"],
  ["/?coder+session_token=x", "/?coder+session_token=x"],
])("security S4: the target %s reaches a program as %s", (target, expected) => {
  expect(withoutOwnParameters(target)).toBe(expected);
});

test("security S16: what a client says about proxies never reaches a program", () => {
  const forged = [
    "X-Forwarded-For", "X-Forwarded-Host", "x-forwarded-proto", "X-Forwarded-Port", "X-Forwarded-Anything", "Forwarded",
    "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Original-URL", "X-Rewrite-URL", "Proxy-Authorization",
    "Proxy-Connection", "X_Forwarded_For", "x-forwarded_host", "X_Real_IP", "X_Original_URL", "Proxy_Authorization",
  ]; // biome-ignore format: a list of names
  expect(toProgram(["X_Own_Header", "1"])).toContainEqual(["X_Own_Header", "1"]);
  expect(toProgram(forged.flatMap((name) => [name, "198.51.100.1"]))).toEqual(OURS);
});

test("security S14: hop-by-hop headers end here, and those that Connection names, but not what frames the message", () => {
  const raw = [
    "Connection",
    "close, X-Mine,  content-length , cookie",
    "X-Mine",
    "1",
    "Keep-Alive",
    "timeout=5",
    "TE",
    "trailers",
  ];
  expect(
    toProgram([
      ...raw,
      "Content-Length",
      "5",
      "Cookie",
      "a=1",
      "Upgrade",
      "h2c",
      "HTTP2-Settings",
      "AAMA",
      "Expect",
      "100-continue",
    ]),
  ).toEqual([OURS[0], ["Content-Length", "5"], ["Cookie", "a=1"], ...OURS.slice(1)]);
  expect(toProgram(["Transfer-Encoding", "chunked"])).toEqual([...OURS, ["Transfer-Encoding", "chunked"]]);
});

test("a program that insists on localhost gets it as Host, and as the origin of its own pages in Origin and Referer", () => {
  const origin = "https://a.apps.example.com:8443";
  const headersOf = (own: string, raw: string[]) => toProgram(raw, { programOrigin: own }).slice(0, 1 + raw.length / 2);
  expect(headersOf("http://localhost:5173", ["Origin", origin, "Referer", `${origin}/x?y=${origin}`])).toEqual([
    ["Host", "localhost:5173"],
    ["Origin", "http://localhost:5173"],
    ["Referer", `http://localhost:5173/x?y=${origin}`],
  ]);
  expect(headersOf("https://localhost:5173", ["Origin", origin, "Referer", origin])).toEqual([
    ["Host", "localhost:5173"],
    ["Origin", "https://localhost:5173"],
    ["Referer", "https://localhost:5173"],
  ]);
  const names = toProgram([], { programOrigin: "http://localhost:5173" }).map(([name]) => name);
  expect(names).toEqual(["Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port"]);
  for (const other of ["https://b.apps.example.com", `${origin}0`, `${origin}.evil.example`, "null", `x${origin}`])
    expect(headersOf("http://localhost:5173", ["Origin", other, "Referer", `${other}/x`]).slice(1)).toEqual([
      ["Origin", other],
      ["Referer", `${other}/x`],
    ]);
});

test.each([
  ["http://localhost:5173/next?a=1", "https://a.apps.example.com:8443/next?a=1"],
  ["HTTPS://LOCALHOST:5173", "https://a.apps.example.com:8443"],
  ["/next", "/next"],
  ["next", "next"],
  ["http://localhost:5174/next", "http://localhost:5174/next"],
  ["http://localhost:51731/next", "http://localhost:51731/next"],
  ["http://localhost:5173@evil.example/", "http://localhost:5173@evil.example/"],
  ["//localhost:5173/next", "//localhost:5173/next"],
  ["https://example.com/?to=http://localhost:5173/", "https://example.com/?to=http://localhost:5173/"],
])("a program that insists on localhost and redirects to %s redirects the browser to %s", (location, expected) => {
  const [host, rawHeaders] = ["a.apps.example.com:8443", ["Location", location]];
  expect(toClient(rawHeaders, { host, programOrigin: "http://localhost:5173" })).toEqual([["Location", expected]]);
  expect(toClient(rawHeaders, { host })).toEqual([["Location", location]]);
});

test("a WebSocket keeps its headers in the spelling of the RFC", () => {
  const raw = [
    "upgrade",
    "websocket",
    "connection",
    "Upgrade",
    "sec-websocket-key",
    "k",
    "sec-websocket-version",
    "13",
  ];
  expect(toProgram(raw, { webSocket: true })).toEqual([
    OURS[0],
    ["Sec-WebSocket-Key", "k"],
    ["Sec-WebSocket-Version", "13"],
    ...OURS.slice(1),
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
  ]);
});

const toClient = (rawHeaders: string[], more: Partial<Parameters<typeof headersToClient>[0]> = {}) =>
  headersToClient({ rawHeaders, scheme: "https", relation: "own", origin: undefined, ...more }).headers;

test.each([
  ["a=1; Domain=example.com; Path=/", "a=1; Path=/"],
  ["a=1;domain=.example.com;DOMAIN=x", "a=1"],
  ["a=1; Path=/; HttpOnly", "a=1; Path=/; HttpOnly"],
  ["coder_session_token=evil", undefined],
  ["Coder_App_Session=evil; Path=/", undefined],
  ["__Host-coder_session=evil; Secure; Path=/", undefined],
  ["\tcoder_app_state =evil", undefined],
  ["=coder_app_session=evil", undefined],
  ["coder_app_session", undefined],
])("security S1: a program that sends Set-Cookie %j sets %j", (value, expected) =>
  expect(hostOnlyCookie(value)).toBe(expected),
);

test("security S1: nothing of a program reaches beyond its host", () => {
  const raw = [
    "Clear-Site-Data",
    '"*"',
    "Alt-Svc",
    "h3",
    "Public-Key-Pins",
    "x",
    "Strict-Transport-Security",
    "max-age=1",
  ];
  expect(toClient(raw, { scheme: "http" })).toEqual([]);
  expect(toClient(raw)).toEqual([["Strict-Transport-Security", "max-age=1"]]);
});

test("pages of the same owner's apps may read answers, and other pages may not", () => {
  const raw = ["Access-Control-Allow-Origin", "*", "access-control-allow-credentials", "true", "Vary", "Accept"];
  expect(toClient(raw)).toEqual([raw.slice(0, 2), raw.slice(2, 4), raw.slice(4)]);
  expect(toClient(raw, { relation: "foreign", origin: "https://evil.example" })).toEqual([["Vary", "Accept"]]);
  expect(toClient(raw, { relation: "sibling", origin: "https://b.example" })).toEqual([
    ["Vary", "Accept"],
    ["Access-Control-Allow-Origin", "https://b.example"],
    ["Access-Control-Allow-Credentials", "true"],
    ["Vary", "Origin"],
  ]);
});

test("event streams are not buffered by a proxy in front", () => {
  expect(toClient(["Content-Type", "text/event-stream; charset=utf-8"])).toEqual([
    ["Content-Type", "text/event-stream; charset=utf-8"],
    ["X-Accel-Buffering", "no"],
    ["Cache-Control", "no-cache"],
  ]);
  const chosen = ["Content-Type", "text/event-stream", "X-Accel-Buffering", "yes", "Cache-Control", "no-store"];
  expect(toClient(chosen).flat()).toEqual(chosen);
});

test("security 40: blanks inside a header of a client or a program cost no more than other characters", () => {
  const long = `a${" ".repeat(1_000_000)}b`; // at quadratic cost each would take a quarter of an hour
  expect(foreignCookies(`${long}=1; c=1`)).toBe(`${long}=1; c=1`);
  expect(hostOnlyCookie(`${long}=1; Path=/; ${long}=/`)).toBe(`${long}=1; Path=/; ${long}=/`);
  const answer = { scheme: "https", relation: "own", origin: undefined } as const;
  const { headers } = headersToClient({ ...answer, rawHeaders: ["Connection", `close, ${long}`, "X-A", "1"] });
  expect(headers).toEqual([["X-A", "1"]]);
});
