import type { PortKind } from "coder-protocol/rest/agents";
import type { PortShare } from "coder-protocol/rest/apps";
import { expect, test } from "vitest";
import { isAllowed } from "../share-levels.ts";
import { parsePort, portHref, portRows, shareProblem } from "./port-rows.ts";

const listening = (port: number, kind?: PortKind) => ({ process_name: "node", network: "tcp", port, kind });
const share = (port: number, protocol: "http" | "https" = "http") => ({ port, protocol }) as PortShare;

test("what listens and what is shared is one list by port", () => {
  const rows = portRows({ ports: [listening(8080), listening(3000, "http")], shares: [share(5000), share(3000)] });
  expect(rows).toEqual([
    { port: 3000, program: "node", listening: true, kind: "http", share: share(3000) },
    { port: 5000, program: "", listening: false, kind: undefined, share: share(5000) },
    { port: 8080, program: "node", listening: true, kind: undefined, share: undefined },
  ]);
});

test.each<[PortKind | undefined, "http" | "https" | undefined, string, string | undefined]>([
  [undefined, undefined, "3000", undefined],
  ["http", undefined, "3000", undefined],
  ["https", undefined, "3000s", undefined],
  [undefined, "https", "3000s", undefined],
  ["http", "http", "3000", undefined],
  ["http", "https", "3000", "Shared as https; it speaks http"],
  ["https", "http", "3000s", "Shared as http; it speaks https"],
  ["other", "http", "3000", "The program speaks neither http nor https"],
])("a program that speaks %s and is shared as %s is opened at %s", (kind, protocol, label, problem) => {
  const shares = protocol === undefined ? [] : [share(3000, protocol)];
  const [row] = portRows({ ports: [listening(3000, kind)], shares });
  const address = "https://{{port}}--main--dev--ada.apps.example.com";
  expect(portHref(address, row!)).toBe(`https://${label}--main--dev--ada.apps.example.com/`);
  expect(portHref("", row!)).toBeUndefined();
  expect(shareProblem(row!)).toBe(problem);
});

test("a shared port without a program says so", () => {
  expect(shareProblem(portRows({ ports: [], shares: [share(3000)] })[0]!)).toBe("Nothing listens there");
});

test("ports that are served, as they are typed", () => {
  expect(["9", " 3000 ", "65535"].map(parsePort)).toEqual([9, 3000, 65_535]);
  for (const text of ["", "8", "65536", "080", "1e3", "-1", "3000s", "３０００"])
    expect([text, parsePort(text)]).toEqual([text, undefined]);
});

test("levels up to the administrator's are offered", () => {
  const levels = ["owner", "organization", "authenticated", "public"] as const;
  expect(levels.map((max) => levels.filter((level) => isAllowed(level, max)).length)).toEqual([1, 2, 3, 4]);
});
