// Generates packages/protocol/src/gen from packages/protocol/proto. With --check, compares instead of writing and fails
// on a difference. The generators are needed only here, so they are fetched into a temporary directory, not installed.
//
//     node scripts/generate-proto.mjs [--check]
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const BUF = "@bufbuild/buf@1.75.0";
const PROTOC_GEN_ES = "@bufbuild/protoc-gen-es@2.17.0";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const protoDirectory = join(root, "packages/protocol/proto");
const outDirectory = join(root, "packages/protocol/src/gen");
const check = process.argv.includes("--check");

const work = mkdtempSync(join(tmpdir(), "generate-proto-"));
try {
  const generated = generate();
  if (check) compare(generated);
  else write(generated);
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** File name to text, of everything that belongs into src/gen. */
function generate() {
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  run(npm, ["install", "--prefix", work, "--no-audit", "--no-fund", "--no-save", BUF, PROTOC_GEN_ES], work);
  const bin = join(work, "node_modules/.bin");
  const template = {
    version: "v2",
    plugins: [{ local: join(bin, "protoc-gen-es"), out: join(work, "out"), opt: ["target=ts", "import_extension=ts"] }],
  };
  const templatePath = join(work, "buf.gen.json");
  writeFileSync(templatePath, JSON.stringify(template));
  run(join(bin, "buf"), ["generate", "--template", templatePath, protoDirectory], work);
  const files = new Map();
  for (const name of readdirSync(join(work, "out")).sort()) {
    files.set(name, erasable(readFileSync(join(work, "out", name), "utf8")));
    // The spelling `coder-protocol/gen/x_pb.js`: the package maps every subpath to src/<subpath>.ts.
    files.set(name.replace(/\.ts$/, ".js.ts"), `export * from "./${name}";\n`);
  }
  return files;
}

/**
 * TypeScript enums need more than type erasure to run, so each becomes an object of constants and the union of its
 * values.
 */
function erasable(text) {
  return text.replace(/^export enum (\w+) \{\n([\s\S]*?)^\}\n/gm, (_, name, body) => {
    const members = body.replace(/^( {2}\w+) = (-?\d+),$/gm, "$1: $2,");
    return `export const ${name} = {\n${members}} as const;\nexport type ${name} = (typeof ${name})[keyof typeof ${name}];\n`;
  });
}

function compare(generated) {
  const committed = existsSync(outDirectory) ? readdirSync(outDirectory) : [];
  const differing = [...generated.keys(), ...committed.filter((name) => !generated.has(name))].filter((name) => {
    const path = join(outDirectory, name);
    return !existsSync(path) || readFileSync(path, "utf8") !== generated.get(name);
  });
  if (differing.length === 0) return;
  process.stderr.write(
    `not what ${relative(root, protoDirectory)} generates: ${differing.join(", ")}; run node scripts/generate-proto.mjs\n`,
  );
  process.exitCode = 1;
}

function write(generated) {
  rmSync(outDirectory, { recursive: true, force: true });
  mkdirSync(outDirectory, { recursive: true });
  for (const [name, text] of generated) writeFileSync(join(outDirectory, name), text);
  process.stdout.write(`wrote ${[...generated.keys()].join(", ")}\n`);
}

function run(command, args, cwd) {
  const done = spawnSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (done.error !== undefined) throw done.error;
  if (done.status !== 0) throw new Error(`${command} ${args[0]} failed:\n${done.stdout}${done.stderr}`);
}
