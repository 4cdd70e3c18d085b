// What launch.cjs starts for every npm script. Runs on the Node that npm runs on (20 or newer), installs what is missing with
// the pinned pnpm, then continues on the Node that the project brings along. Plain JavaScript: nothing is installed yet.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [name, ...args] = process.argv.slice(2);
const scripts = {
  start: "scripts/start.ts",
  test: "scripts/test.ts",
  "test:natlab": "scripts/test-tier.ts natlab",
  "test:interop": "scripts/test-tier.ts interop",
  "test:browser": "scripts/test-tier.ts browser",
  "test:postgres": "scripts/test-tier.ts postgres",
  "test:cluster": "scripts/test-tier.ts cluster",
  bench: "scripts/bench.ts",
  build: "scripts/build.ts",
  "build:native": "scripts/build-native.ts",
  ok: "scripts/ok.ts",
  fuzz: "scripts/fuzz.ts",
  mutate: "scripts/mutate.ts",
  soak: "scripts/soak.ts",
  release: "scripts/release.ts",
  pack: "scripts/pack.ts",
  "set-version": "scripts/set-version.ts",
  api: "scripts/api.ts",
};
const script = scripts[name ?? ""];
if (script === undefined) fail(`unknown script "${name}"; there are: ${Object.keys(scripts).join(", ")}`);

install();
const node = join(root, "node_modules/node/bin/node");
const child = spawn(existsSync(node) ? node : process.execPath, [...script.split(" "), ...args], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH ?? ""}` },
});
// The terminal delivers Ctrl-C to the child as well: it cleans up, and this process waits for it.
process.on("SIGINT", () => undefined);
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => fail(`cannot start ${script}: ${error.message}`));
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));

/** Installs unless the lockfile is the one that was installed last. */
function install() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "pnpm-lock.yaml")))
    .digest("hex");
  const stamp = join(root, "node_modules/.installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  process.stderr.write(`Installing dependencies with ${packageManager} …\n`);
  const npx = process.platform === "win32" ? "npx.cmd" : "npx";
  const done = spawnSync(npx, ["--yes", packageManager, "install", "--frozen-lockfile", "--reporter=append-only"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (done.status !== 0) {
    process.stderr.write(`${done.stdout ?? ""}${done.stderr ?? ""}`);
    fail(
      "installing the dependencies failed: see the lines above; a proxy or registry setting of npm is the usual cause",
    );
  }
  mkdirSync(join(root, "node_modules"), { recursive: true });
  writeFileSync(stamp, lock);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
