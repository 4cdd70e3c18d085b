import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
/** Comparisons that only test whether there is a value are fine. */
const HARMLESS = /^\s*(undefined|null|""|''|"string"|false|true)/;
const SECRET_NAME = String.raw`[\w.#]*(?:token|secret|mac[12]?|proof|digest|password|hash|cookie|psk|mesh_?key|private_?key)`;
/** The values named below are not secret, or are compared where no other party can measure. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  ".equals(directory.subarray(at, at + SHA256_BYTES))":
    "hashes of an executable's pages, which are in a public download",
  "entry.hash === hash &&": "the hash of a connection's addresses, which are in every packet",
  'if ("passwordHash" in grounds) return user.password_hash === grounds.passwordHash;':
    "both are hashes of the database, read at different times",
  'if ((await ask("Password again: ", { ...options, hidden: true, check: () => undefined })) === password)':
    "a person types the same password twice into their own process",
  "return found.isFile() && own && found.size === content.length && readFileSync(path).equals(content);":
    "what is compared is a part of a public download",
  "return bytesEqual(datagram.subarray(4, 8), COOKIE);": "STUN's magic cookie is a constant",
};

test("security 3: no package compares a secret with ===, nor its bytes by anything but a constant-time function", () => {
  const found = sources().flatMap(({ name, text }) => offencesIn(text).map((line) => ({ name, line })));
  expect(found.filter(({ line }) => !(line in EXCEPTIONS))).toEqual([]);
  expect([...new Set(found.map(({ line }) => line))].sort(), "exceptions that are needed").toEqual(
    Object.keys(EXCEPTIONS).sort(),
  );
});

test("the search covers every package and finds such comparisons", () => {
  const packages = new Set(sources().map(({ name }) => name.split("/").slice(0, 2).join("/")));
  for (const name of ["agent", "cli", "client", "protocol", "server", "wg-userspace"]) {
    expect(packages).toContain(`packages/${name}`);
  }
  expect(offencesIn("if (token === stored) return;")).toHaveLength(1);
  expect(offencesIn("if (given !== this.#secret) return;")).toHaveLength(1);
  expect(offencesIn("if (row.token_hash === hash) return;")).toHaveLength(1);
  expect(offencesIn("  if (message.mac2 !== wanted) return;")).toHaveLength(1);
  expect(offencesIn("if (info.meshKey === mine) return;")).toHaveLength(1);
  expect(offencesIn("if (!shown.equals(fake)) return;")).toHaveLength(1);
  expect(offencesIn("if (bytesEqual(given, this.#secret)) return;")).toHaveLength(1);
  expect(offencesIn('if (token === undefined || typeof secret === "string") return;')).toEqual([]);
});

function sources(): { name: string; text: string }[] {
  return globSync(["packages/*/src/**/*.ts", "packages/*/assembly/**/*.ts", "scripts/**/*.{ts,mjs}"], { cwd: root })
    .filter((name) => !name.endsWith(".test.ts") && !name.includes("/gen/"))
    .map((name) => ({ name, text: readFileSync(join(root, name), "utf8") }));
}

function offencesIn(text: string): string[] {
  const left = new RegExp(String.raw`\b${SECRET_NAME}\s*[!=]==(.*)$`, "i");
  const right = new RegExp(String.raw`^(.*?)[!=]==\s*${SECRET_NAME}\b(?![.(])`, "i");
  const bytes = new RegExp(String.raw`\.equals\(|(bytesEqual|compare)\(.*${SECRET_NAME}\b`, "i");
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => {
      if (bytes.test(line)) return true;
      const after = left.exec(line)?.[1];
      if (after !== undefined && !HARMLESS.test(after)) return true;
      const before = right.exec(line)?.[1];
      return before !== undefined && !/(undefined|null|"")\s*$/.test(before);
    });
}
