/** The files that operators take from deploy/, and completions, read by the programs for which they are made. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { completionScript } from "../../src/help/completion.ts";
import { allCommandTexts } from "../../src/registry.ts";
import { find, without } from "./release.ts";

const run = promisify(execFile);
const repository = join(import.meta.dirname, "../../../..");
const deploy = join(repository, "deploy");
const missing = (...names: string[]): string[] => names.filter((name) => find(name) === undefined);

const noPromtool = missing("promtool");
describe.skipIf(noPromtool.length > 0)(`alerts${without(noPromtool)}`, () => {
  const cwd = join(deploy, "monitoring");

  it("are rules of Prometheus, and fire when they should", async () => {
    expect((await run("promtool", ["check", "rules", "alerts.yml"], { cwd })).stdout).toMatch(
      /SUCCESS: \d+ rules found/,
    );
    expect((await run("promtool", ["test", "rules", "alerts-test.yml"], { cwd })).stdout).toContain("SUCCESS");
  });
});

describe("completions", () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-completions-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.for([
    ["bash", "-n"],
    ["zsh", "-n"],
    ["fish", "--no-execute"],
  ] as const)("are parsed by %s, with %s (skipped without that shell)", async ([shell, option], { skip }) => {
    if (missing(shell).length > 0) skip(`without ${shell}`);
    const file = join(folder, shell);
    writeFileSync(file, completionScript(shell, await allCommandTexts())!);
    expect(await run(shell, [option, file])).toEqual({ stdout: "", stderr: "" });
    writeFileSync(file, "if true; then (");
    await expect(run(shell, [option, file])).rejects.toThrow();
  });
});

/** From PyPI; contains the schemas of every Kubernetes version. */
const VALIDATOR = "kubernetes-validate==1.37.0";
const validator = join(repository, ".build/kubernetes-validate");
const noPython = missing("python3");

describe.skipIf(noPython.length > 0)(`manifests of Kubernetes${without(noPython)}`, () => {
  const MANIFESTS = ["kubernetes.yaml", "cluster/kubernetes.yaml"];
  const python = (...words: string[]) => run("python3", words, { env: { ...process.env, PYTHONPATH: validator } });

  beforeAll(() => {
    const stamp = join(validator, "installed");
    if (existsSync(stamp) && readFileSync(stamp, "utf8") === VALIDATOR) return;
    rmSync(validator, { recursive: true, force: true });
    const flags = ["--quiet", "--no-compile", "--only-binary", ":all:", "--target", validator];
    execFileSync("python3", ["-m", "pip", "install", ...flags, VALIDATOR], { stdio: ["ignore", "ignore", "pipe"] });
    writeFileSync(stamp, VALIDATOR);
  });

  it.each(MANIFESTS)("%s follows the schemas, strictly", async (name) => {
    const { stdout, stderr } = await python("-m", "kubernetes_validate", "--strict", join(deploy, name));
    expect(`${stdout}${stderr}`).toContain("passed for resource deployment/coder");
    const broken = join(validator, "broken.yaml");
    writeFileSync(broken, readFileSync(join(deploy, name), "utf8").replace("readOnlyRootFilesystem", "readOnlyRoot"));
    const refused = await python("-m", "kubernetes_validate", "--strict", broken).catch((error) => error);
    expect(`${refused.stdout}${refused.stderr}`).toContain("'readOnlyRoot' was unexpected");
    expect(refused.code).toBe(1);
  });

  it.each(MANIFESTS)("%s has its state and its cache below the roots of volumes, and trusts a proxy", async (name) => {
    const script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    const documents = JSON.parse((await python("-c", script, join(deploy, name))).stdout) as Manifest[];
    const pod = documents.find(({ kind }) => kind === "Deployment")!.spec.template.spec;
    const [container] = pod.containers;
    const variables = Object.fromEntries(container!.env.map((variable) => [variable.name, variable.value]));
    const mounts = container!.volumeMounts.map(({ mountPath }) => mountPath);
    for (const variable of ["CODER_STATE_DIRECTORY", "XDG_CACHE_HOME"]) {
      const inside = mounts.filter((mount) => variables[variable]?.startsWith(`${mount}/`));
      expect([variable, inside]).toEqual([variable, [expect.any(String)]]);
    }
    expect(variables).toMatchObject({
      CODER_PROXY_TRUSTED_ORIGINS: expect.any(String),
      CODER_PROXY_TRUSTED_HEADERS: "X-Forwarded-For",
    });
    // The pod's group may read it, and no other user.
    for (const { secret } of pod.volumes) if (secret !== undefined) expect(secret.defaultMode).toBe(0o440);
  });
});

interface Manifest {
  readonly kind: string;
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly {
          readonly env: readonly { readonly name: string; readonly value?: string }[];
          readonly volumeMounts: readonly { readonly mountPath: string }[];
        }[];
        readonly volumes: readonly { readonly secret?: { readonly defaultMode?: number } }[];
      };
    };
  };
}
