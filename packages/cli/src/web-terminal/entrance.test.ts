import { describe, expect, it } from "vitest";
import { Entrance } from "./entrance.ts";

const entrance = new Entrance(4711);
const OWN = "http://127.0.0.1:4711";

function secretOf({ address }: Entrance): string {
  return new URL(address).hash.slice(1);
}

type Headers = Readonly<Record<string, string | readonly string[]>>;

/** A request as Node reads it. */
function request(headers: Headers, url = "/x") {
  const distinct = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value].flat()]));
  const first = Object.fromEntries(Object.entries(distinct).map(([name, values]) => [name, values[0]!]));
  return { headers: first, headersDistinct: distinct, url };
}

describe("the secret of the address", () => {
  it("is 256 random bits in the fragment, which browsers send to no server", () => {
    const url = new URL(entrance.address);
    expect([url.origin, url.pathname, url.search]).toEqual([OWN, "/", ""]);
    expect(Buffer.from(secretOf(entrance), "base64url")).toHaveLength(32);
    expect(secretOf(new Entrance(4711))).not.toBe(secretOf(entrance));
  });

  it("buys one cookie, once; a wrong one buys none and uses nothing up", () => {
    const door = new Entrance(4711);
    for (const wrong of ["", "x", secretOf(entrance), `${secretOf(door)}x`, secretOf(door).slice(1)])
      expect(door.exchange(wrong)).toBeUndefined();
    expect(door.exchange(secretOf(door))).toMatch(/^coder_local_4711=[\w-]{43}; HttpOnly; SameSite=Strict; Path=\/$/);
    expect(door.exchange(secretOf(door))).toBeUndefined();
  });

  it("is not the value of the cookie", () => {
    const door = new Entrance(4711);
    expect(door.exchange(secretOf(door))).not.toContain(secretOf(door));
  });
});

describe("the cookie", () => {
  const door = new Entrance(4711);
  const cookie = door.exchange(secretOf(door))!.split(";")[0]!;
  const knows = (text: string | undefined): boolean =>
    door.knows({ headers: text === undefined ? {} : { cookie: text } });

  it("counts among others, and only once", () => {
    expect(knows(cookie)).toBe(true);
    expect(knows(`a=b; ${cookie}; c=d`)).toBe(true);
    expect(knows(`${cookie}; ${cookie}`)).toBe(false);
    expect(knows(`coder_local_4711=x; ${cookie}`)).toBe(false);
  });

  it.each([
    undefined,
    "",
    "coder_local_4711",
    "coder_local_4711=",
    cookie.slice(0, -1),
    `${cookie}x`,
    cookie.replace("4711", "4712"),
    `\u00a0${cookie}`,
    cookie.toUpperCase(),
  ])("is none of %j", (text) => {
    expect(knows(text)).toBe(false);
  });
});

describe("a request", () => {
  const status = (headers: Headers, acts = false, url = "/x") =>
    entrance.refusal(request(headers, url), acts)?.status ?? 200;
  const host = "127.0.0.1:4711";

  it.each([
    "localhost:4711",
    "127.0.0.1",
    "127.0.0.1:4712",
    "[::1]:4711",
    "127.1:4711",
    "attacker.example:4711",
    "127.0.0.1:4711.attacker.example",
    "127.0.0.1:4711 ",
    "",
  ])("to the host %j is refused: DNS rebinding reaches this address under another name", (name) => {
    expect(status({ host: name })).toBe(421);
  });

  it("with two hosts or none is refused, and one with a whole URL", () => {
    expect(status({ host: [host, host] })).toBe(421);
    expect(status({})).toBe(421);
    expect(status({ host }, false, "http://attacker.example/x")).toBe(400);
  });

  it("that acts needs the page's own origin; one that reads may have none", () => {
    expect(status({ host }, true)).toBe(403);
    expect(status({ host })).toBe(200);
    for (const acts of [true, false]) {
      expect(status({ host, origin: OWN }, acts)).toBe(200);
      for (const origin of ["null", "", "http://127.0.0.1:3000", "http://localhost:4711", "https://127.0.0.1:4711"])
        expect([origin, status({ host, origin }, acts)]).toEqual([origin, 403]);
    }
  });

  it("of another page is refused, unless a person follows a link", () => {
    for (const site of ["cross-site", "same-site"]) {
      for (const destination of ["empty", "image", "script", "iframe", "style"])
        expect(status({ host, "sec-fetch-site": site, "sec-fetch-dest": destination })).toBe(403);
      expect(status({ host, "sec-fetch-site": site, "sec-fetch-dest": "document" })).toBe(200);
      expect(status({ host, "sec-fetch-site": site })).toBe(403);
    }
    for (const site of ["same-origin", "none"]) expect(status({ host, "sec-fetch-site": site })).toBe(200);
  });
});
