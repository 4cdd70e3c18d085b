import { expect, test } from "vitest";
import { type ListedPort, PORT_COLUMNS } from "../ui/port-table.ts";
import { mergedPorts, shareAdvice } from "./agent-ports.ts";

const share = (port: number, fields: object = {}) => ({
  agent_name: "main",
  port,
  share_level: "public",
  effective_level: "authenticated",
  protocol: "http",
  label: "demo",
  expires_at: "2026-12-01T18:00:00Z",
  ...fields,
});

test("what listens and what is shared is one list by port", () => {
  const rows = mergedPorts(
    {
      ports: [
        { process_name: "node", network: "tcp", port: 8080, kind: "https" },
        { process_name: "python3", network: "tcp", port: 3000 },
        { port: "4000" },
        null,
      ],
      address: "https://{{port}}--main--dev--ada.apps.example.com",
    },
    { shares: [share(8080), share(5000, { protocol: "https" }), share(9000, { agent_name: "other" })] },
    "main",
  );
  const shown = rows.map((row) => Object.fromEntries(PORT_COLUMNS.map(({ name, value }) => [name, value(row)])));
  expect(shown).toEqual([
    {
      port: "3000",
      program: "python3",
      speaks: "",
      level: "owner",
      until: "",
      label: "",
      address: "https://3000--main--dev--ada.apps.example.com/",
    },
    {
      port: "5000",
      program: "(none listens)",
      speaks: "",
      level: "authenticated (lowered from public)",
      until: "2026-12-01T18:00:00Z",
      label: "demo",
      address: "https://5000s--main--dev--ada.apps.example.com/",
    },
    {
      port: "8080",
      program: "node",
      speaks: "https (shared as http)",
      level: "authenticated (lowered from public)",
      until: "2026-12-01T18:00:00Z",
      label: "demo",
      address: "https://8080s--main--dev--ada.apps.example.com/",
    },
  ]);
});

test("accepts servers that know less, and refuses malformed answers", () => {
  const stock = { agent_name: "main", port: 3000, share_level: "public", protocol: "http" };
  expect(mergedPorts({ ports: [] }, { shares: [stock] }, "main")).toEqual([
    {
      port: 3000,
      process_name: "",
      listening: false,
      kind: null,
      share_level: "public",
      effective_level: "public",
      protocol: "http",
      label: "",
      expires_at: null,
      address: "",
    },
  ]);
  for (const [listening, shared] of [
    [{}, { shares: [] }],
    [{ ports: [] }, null],
    ["", ""],
  ])
    expect(() => mergedPorts(listening, shared, "main")).toThrow("unexpected answer");
});

test.each<[Partial<ListedPort>, string[]]>([
  [{}, ["It is opened at https://a/"]],
  [{ address: "" }, []],
  [{ kind: "http" }, ["It is opened at https://a/"]],
  [{ listening: false }, ["It is opened at https://a/", "Nothing listens on port 3000 of the workspace yet"]],
  [{ address: "", kind: "other" }, ["The program that listens there speaks neither http nor https"]],
  [{ address: "", kind: "https" }, ["The program speaks https; share it as 3000s"]],
  [{ address: "", kind: "http", protocol: "https" }, ["The program speaks http; share it as 3000"]],
])("after a share of a port %o", (fields, lines) => {
  const [row] = mergedPorts({ ports: [{ port: 3000 }] }, { shares: [share(3000)] }, "main");
  expect(shareAdvice({ ...row!, address: "https://a/", ...fields })).toEqual(lines);
  expect(shareAdvice(undefined)).toEqual([]);
});
