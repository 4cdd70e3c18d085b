/**
 * The packages as npm gets them: packed, installed into empty folders by npm and pnpm, and used from there by the oldest
 * supported Node and the newest. The code in the READMEs is compiled and run.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { cpSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";

const repository = join(import.meta.dirname, "../../../..");
const folder = mkdtempSync(join(tmpdir(), "coder-npm-"));
const packed = join(folder, "packed");
const TOO_OLD = "18.20.8";
const NODES = {
  "the oldest Node": join(repository, "node_modules/node-floor/bin/node"),
  "the newest Node": join(repository, "node_modules/node/bin/node"),
};
const tools = join(folder, "tools");
const oldNode = join(tools, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
const CONSUMERS = { npm: join(folder, "npm"), pnpm: join(folder, "pnpm") };
/** The combinations of compiler and runtime. */
const WAYS = [
  ["the oldest Node", "npm", "node16"],
  ["the newest Node", "pnpm", "bundler"],
] as const;
const PACKAGES = ["udp-batch", "wg-userspace", "protocol", "client", "cli"] as const;
const LIBRARIES = ["wg-userspace", "protocol", "client"] as const;

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly packageManager: string;
  readonly engines: { readonly node: string };
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly publishConfig?: unknown;
}

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const manifestOf = (path: string): Manifest => JSON.parse(readFileSync(join(path, "package.json"), "utf8"));

/** Nothing of the runner's environment, so that modules are found only through the installed packages. */
const bare = { PATH: process.env["PATH"], HOME: process.env["HOME"] };

function run(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
): Promise<Finished> {
  return new Promise((resolve) => {
    const child: ChildProcess = execFile(
      program,
      [...args],
      { cwd: options.cwd, env: { ...bare, ...options.env }, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
    );
    child.stdin!.on("error", () => undefined); // a program that reads nothing closes it
    child.stdin!.end(options.input ?? "");
  });
}

async function succeed(...args: Parameters<typeof run>): Promise<string> {
  const done = await run(...args);
  if (done.code !== 0) throw new Error(`${args[0]} ${args[1].join(" ")}: ${done.stdout}${done.stderr}`);
  return done.stdout;
}

beforeAll(async () => {
  await succeed(NODES["the newest Node"], [join(repository, "scripts/pack.ts"), "--output", packed], {
    cwd: repository,
    env: process.env,
  });
  mkdirSync(tools);
  const node = `node-${process.platform}-${process.arch}@${TOO_OLD}`;
  await Promise.all([installByNpm(), installByPnpm(), npmInstall(tools, [node, "publint@0.3.25"])]);
}, 600_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function tarballs(): string[] {
  return PACKAGES.map((name) => {
    const file = readdirSync(packed).find((file) => new RegExp(`-${name}-\\d[^/]*\\.tgz$`).test(file));
    return join(packed, file!);
  });
}

/** Packages that the snippets and examples need besides ours. */
function extras(): string[] {
  const { devDependencies } = manifestOf(repository);
  const { devDependencies: example } = manifestOf(join(repository, "packages/client"));
  const all: Readonly<Record<string, string>> = { ...devDependencies, ...example };
  return ["@types/node", "@types/ssh2", "ssh2"].map((name) => `${name}@${all[name]}`);
}

async function npmInstall(consumer: string, packages: readonly string[]): Promise<void> {
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ type: "module", private: true }));
  const flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
  await succeed("npm", ["install", ...flags, ...packages], { cwd: consumer, env: process.env });
}

async function installByNpm(): Promise<void> {
  mkdirSync(CONSUMERS.npm);
  await npmInstall(CONSUMERS.npm, [...tarballs(), ...extras()]);
}

async function installByPnpm(): Promise<void> {
  mkdirSync(CONSUMERS.pnpm);
  const files = tarballs().map((path) => `file:${path}`);
  const names = PACKAGES.map((name) => `@coder-network/${name}`);
  const extra = extras().map((text) => /^(.+)@(.+)$/.exec(text)!.slice(1) as [string, string]);
  const dependencies = Object.fromEntries([...names.map((name, i) => [name, files[i]!]), ...extra]);
  writeFileSync(join(CONSUMERS.pnpm, "package.json"), JSON.stringify({ type: "module", private: true, dependencies }));
  // They are not published yet, so a dependency on a sibling is replaced by the sibling packed with it.
  const overrides = names.map((name, i) => `  "${name}": "${files[i]}"\n`).join("");
  writeFileSync(join(CONSUMERS.pnpm, "pnpm-workspace.yaml"), `overrides:\n${overrides}`);
  const flags = ["--ignore-scripts", "--prefer-offline", "--reporter=append-only"];
  await succeed("npx", ["--yes", manifestOf(repository).packageManager, "install", ...flags], {
    cwd: CONSUMERS.pnpm,
    env: process.env, // it says how the registry is reached
  });
}

/** Every public entry point. */
function entries(): string[] {
  return LIBRARIES.flatMap((name) =>
    Object.keys(manifestOf(join(packed, "packages", name)).exports!)
      .filter((subpath) => subpath !== "./package.json" && !subpath.startsWith("./internal/"))
      .map((subpath) => `@coder-network/${name}${subpath.slice(1)}`),
  );
}

describe("the published packages", () => {
  it.each(PACKAGES)("%s is complete, and holds nothing else of the repository", (name) => {
    const at = join(packed, "packages", name);
    const manifest = manifestOf(at);
    expect(manifest).toMatchObject({
      version: manifestOf(repository).version,
      license: "Apache-2.0",
      engines: { node: ">=22.13" },
      publishConfig: { access: "public", provenance: true },
    });
    expect(manifest.devDependencies).toBeUndefined();
    const wanted = { ...manifest.dependencies, ...manifest.optionalDependencies };
    for (const version of Object.values(wanted)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(readFileSync(join(at, "LICENSE"), "utf8")).toContain("Apache License");
    const readme = readFileSync(join(at, "README.md"), "utf8");
    expect(readme).toMatch(new RegExp(`^# @coder-network/${name}\n`));
    expect(readme.length).toBeGreaterThan(800);
    expect(readme).not.toMatch(/\]\(\.\.\//); // no link leads outside the package
    const files = globSync("**/*", { cwd: at });
    expect(
      files.filter((file) => /\.test\.|(^|\/)test(s|ing)?\/|(?<!\.d)\.ts$/.test(file) && !/examples/.test(file)),
    ).toEqual([]);
    for (const file of globSync("dist/**/*.{js,cjs,d.ts}", { cwd: at })) {
      const text = readFileSync(join(at, file), "utf8");
      expect(text.match(/(?:from|import\()\s*"\.[^"]*\.ts"/)?.[0], file).toBeUndefined();
      expect(
        text.match(/(?:from|import\(|require\() ?"(?:coder-\w+|wg-userspace|udp-batch)["/]/)?.[0],
        file,
      ).toBeUndefined();
    }
  });

  it("names the native parts of each platform", () => {
    const built = globSync("prebuilds/**/*.node", { cwd: join(packed, "packages/udp-batch") }).sort();
    expect(built).toEqual(
      ["arm64", "x64"].flatMap((arch) =>
        ["glibc", "musl"].map((libc) => `prebuilds/linux-${arch}/udp_batch.${libc}.node`),
      ),
    );
  });

  it("offers what docs/api says: npm run api writes it", async () => {
    const check = [join(repository, "scripts/api.ts"), "--check"];
    const done = await run(NODES["the newest Node"], check, { cwd: repository, env: process.env });
    expect(done).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("is well-formed to publint", async () => {
    const publint = join(tools, "node_modules/.bin/publint");
    const judged = LIBRARIES.map((name) => run(publint, [join(packed, "packages", name), "--strict"]));
    for (const { stdout, stderr } of await Promise.all(judged)) expect(stdout + stderr).toContain("All good!");
  });
});

describe.each(Object.entries(CONSUMERS))("installed by %s", (_manager, consumer) => {
  it.each(Object.entries(NODES))("is imported by %s, every entry", async (_node, node) => {
    const script = `
      import { createRequire } from "node:module";
      const require = createRequire(process.cwd() + "/any.cjs");
      for (const name of ${JSON.stringify(entries())}) {
        const module = await import(name);
        if (Object.keys(module).length === 0) throw new Error(name + " exports nothing");
        if (require(name) !== module) throw new Error(name + " is another one to CommonJS");
      }
      process.stdout.write("all");`;
    expect(await succeed(node, ["--no-warnings", "--input-type=module", "-e", script], { cwd: consumer })).toBe("all");
  });

  it("gives the command its native parts", async () => {
    const stdout = await succeed(join(consumer, "node_modules/.bin/coder"), ["version", "-v"], { cwd: consumer });
    expect(stdout).toContain(`(TypeScript), Node ${process.version}`);
    if (process.platform === "linux") expect(stdout).toContain("UDP: native module udp-batch");
    expect(stdout).toContain("Terminals: by koffi, from ");
  });
});

describe("a Node that is too old", () => {
  const sentence = (name: string): string =>
    `${name} needs Node.js 22.13 or newer, and this is Node.js ${TOO_OLD}: install a newer one.`;

  it("is refused by the command, in one sentence", async () => {
    const command = join(CONSUMERS.npm, "node_modules/@coder-network/cli/dist/coder.cjs");
    for (const words of [["version"], ["ssh", "demo"], ["agent"], ["server"], ["ssh", "--stdio", "demo"]]) {
      const done = await run(oldNode, [command, ...words], { cwd: CONSUMERS.npm });
      expect(done).toEqual({ code: 1, stdout: "", stderr: `${sentence("coder")}\n` });
    }
  });

  it("is refused by every entry of the libraries", async () => {
    const script = `
      const heard = {};
      for (const name of ${JSON.stringify(entries())})
        await import(name).then(() => { heard[name] = "imported"; }, (error) => { heard[name] = error.stack; });
      process.stdout.write(JSON.stringify(heard));`;
    const heard = JSON.parse(await succeed(oldNode, ["--input-type=module", "-e", script], { cwd: CONSUMERS.npm }));
    expect(Object.keys(heard)).toEqual(entries());
    for (const [name, said] of Object.entries(heard)) {
      expect(said).toBe(`Error: ${sentence(name.split("/").slice(0, 2).join("/"))}`);
    }
  });
});

describe("the snippets of READMEs and the examples", () => {
  let deployment: TestDeployment;
  let web: Server;
  let port: number;
  let token: string;
  /** Paths relative to a consumer's folder `programs`, without extension. */
  let snippets: string[];

  beforeAll(async () => {
    web = createServer((request, response) => response.end(`you asked for ${request.url}\n`)).listen(0, "127.0.0.1");
    await once(web, "listening");
    port = (web.address() as AddressInfo).port;
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("dev"));
    expect((await deployment.run(["ssh", "dev", "--", "true"])).code).toBe(0);
    token = (await deployment.run(["tokens", "create"])).stdout.trim();
    for (const consumer of Object.values(CONSUMERS)) snippets = writePrograms(consumer);
  });
  afterAll(async () => {
    web?.close();
    await deployment?.close();
  });

  /** Writes them unchanged, except for the deployment, the port and the relay. */
  function writePrograms(consumer: string): string[] {
    const programs = join(consumer, "programs");
    mkdirSync(programs);
    const names = LIBRARIES.flatMap((name) =>
      fences(name, "ts").map((code, index) => {
        const file = `${name}-${index + 1}`;
        writeFileSync(join(programs, `${file}.ts`), here(code));
        return file;
      }),
    );
    cpSync(join(consumer, "node_modules/@coder-network/client/examples"), programs, { recursive: true });
    for (const resolution of ["node16", "bundler"]) {
      const compilerOptions = {
        strict: true,
        target: "ES2022",
        lib: ["ES2024", "ESNext.Disposable"],
        types: ["node"],
        skipLibCheck: false,
        module: resolution === "node16" ? "node16" : "esnext",
        moduleResolution: resolution,
        rootDir: "programs",
        outDir: `compiled-${resolution}`,
      };
      writeFileSync(
        join(consumer, `tsconfig.${resolution}.json`),
        JSON.stringify({ compilerOptions, include: ["programs"] }),
      );
    }
    return names;
  }

  function here(code: string): string {
    return code
      .replaceAll("https://coder.example.com", deployment.url)
      .replaceAll("relay.example.com", "127.0.0.1")
      .replaceAll("8080", String(port));
  }

  function program(
    consumer: string,
    resolution: string,
    node: string,
    name: string,
    args: readonly string[] = [],
    input = "",
  ): Promise<Finished> {
    return run(node, ["--no-warnings", join(consumer, `compiled-${resolution}`, `${name}.js`), ...args], {
      cwd: consumer,
      env: { CODER_URL: deployment.url, CODER_SESSION_TOKEN: token },
      input,
    });
  }

  it.each(WAYS)("type-checks: %s, installed by %s, moduleResolution %s", async (_node, manager, resolution) => {
    const tsc = join(repository, "node_modules/.bin/tsc");
    const done = await run(tsc, ["-p", `tsconfig.${resolution}.json`], { cwd: CONSUMERS[manager] });
    expect(done).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it.each(WAYS)("runs: %s, installed by %s, moduleResolution %s", async (node, manager, resolution) => {
    const start = (name: string, args?: readonly string[], input?: string): Promise<Finished> =>
      program(CONSUMERS[manager], resolution, NODES[node], name, args, input);
    const EXPECTED: Readonly<Record<string, RegExp>> = {
      "client-1": /^200 you asked for \/status\n\nHTTP\/1\.1 200 OK\r\n[\s\S]*you asked for \/\n$/,
      "client-2": /^there is no such workspace\n$/,
      "protocol-1": /^\{ owner: 'ada', workspace: 'dev', agent: 'main' \}\nfd7a:115c:[\da-f:]+\ntrue\n$/,
      "protocol-2": /^made just now\n$/,
      "wg-userspace-1": /^through the tunnel and back\n$/,
      "wg-userspace-2": /^(UDP works|no STUN server answered: the relay it is)\n$/,
    };
    expect(snippets.sort()).toEqual(Object.keys(EXPECTED));
    const done = await Promise.all([runExamples(start), ...snippets.map((name) => start(name))]);
    for (const [index, name] of snippets.entries()) {
      expect(done[index + 1], name).toMatchObject({ code: 0, stderr: "" });
      expect(done[index + 1]!.stdout, name).toMatch(EXPECTED[name]!);
    }
  });

  async function runExamples(
    example: (name: string, args: readonly string[], input?: string) => Promise<Finished>,
  ): Promise<void> {
    const echo = createTcpServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
    const echoDatagrams = createSocket("udp4", (text, from) =>
      echoDatagrams.send(`heard ${text}`, from.port, from.address),
    );
    echoDatagrams.bind(0, "127.0.0.1");
    await Promise.all([once(echo, "listening"), once(echoDatagrams, "listening")]);
    try {
      const echoPort = String((echo.address() as AddressInfo).port);
      const udpPort = String(echoDatagrams.address().port);
      const [viaPort, page, ssh, datagram] = await Promise.all([
        example("port", ["dev", echoPort], "there and back\n"),
        example("fetch", ["dev", String(port), "/a"]),
        example("ssh-exec", ["dev", "echo hello; exit 7"]),
        example("udp", ["dev", udpPort, "hello"]),
      ]);
      expect(viaPort).toEqual({ code: 0, stdout: "there and back\n", stderr: "" });
      expect([page.code, page.stdout]).toEqual([0, "200 you asked for /a\n\n"]);
      expect(ssh).toEqual({ code: 7, stdout: "hello\n", stderr: "" });
      expect(datagram).toEqual({ code: 0, stdout: "heard hello\n", stderr: "" });
    } finally {
      echo.close();
      echoDatagrams.close();
    }
  }

  it.each(Object.entries(CONSUMERS))(
    "is bundled for web pages, installed by %s, and works",
    async (_manager, consumer) => {
      const [page] = fences("client", "js");
      const source = join(consumer, "page.js");
      const bundle = join(consumer, "page-bundled.js");
      writeFileSync(source, here(page!).replace("dial(22)", `dial(${port})`));
      // Fails if a module of Node slipped in.
      await build({
        entryPoints: [source],
        outfile: bundle,
        bundle: true,
        platform: "browser",
        format: "esm",
        target: "es2024",
        logLevel: "silent",
      });
      const script = `
      globalThis.prompt = () => process.env.CODER_SESSION_TOKEN;
      globalThis.location = { origin: ${JSON.stringify(deployment.url)} };
      globalThis.document = { body: { set textContent(text) { process.stdout.write(text); } } };
      await import(${JSON.stringify(pathToFileURL(bundle).href)});
      process.exit(0);`;
      const done = await run(NODES["the newest Node"], ["--input-type=module", "-e", script], {
        env: { CODER_SESSION_TOKEN: token },
      });
      expect(done).toEqual({ code: 0, stdout: "you asked for /\n", stderr: "" });
    },
  );

  it.each(Object.entries(NODES))("the command is client and agent with terminals, on %s", async (name, node) => {
    const coder = join(CONSUMERS.npm, "node_modules/@coder-network/cli/dist/coder.cjs");
    const workspace = name.replaceAll(" ", "-").toLowerCase();
    const agent = spawn(node, [coder, "agent"], {
      env: {
        ...bare,
        HOME: deployment.folder,
        CODER_AGENT_URL: deployment.url,
        CODER_AGENT_TOKEN: await deployment.createWorkspace(workspace),
      },
      stdio: "ignore",
    });
    try {
      const npx = (...words: readonly string[]): Promise<Finished> =>
        run("npx", ["--no-install", "@coder-network/cli", ...words], {
          cwd: CONSUMERS.npm,
          env: { ...deployment.environment(), PATH: `${join(node, "..")}:${process.env["PATH"]}` },
        });
      expect((await npx("version")).stdout).toContain(node.includes("floor") ? "Node v22.13" : "Node v26");
      expect(await npx("ssh", workspace, "--", "echo there; exit 3")).toMatchObject({ code: 3, stdout: "there\n" });
      expect((await npx("ssh", "-t", workspace, "--", "tty")).stdout).toMatch(/\/dev\/pts\/\d+/);
    } finally {
      agent.kill();
      if (agent.exitCode === null && agent.signalCode === null) await once(agent, "exit");
    }
  });
});

/** The code blocks of a README in one language. */
function fences(library: string, language: string): string[] {
  const text = readFileSync(join(packed, "packages", library, "README.md"), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map((match) => match[1]!);
}
