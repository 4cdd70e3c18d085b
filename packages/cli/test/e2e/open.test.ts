/** `coder open`: the URL passed to the opening program, and the output where there is none. */
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("coder open", () => {
  let deployment: TestDeployment;
  let path: string;
  let bare: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    await deployment.createWorkspace("demo");
    path = join(deployment.folder, "bin");
    bare = join(deployment.folder, "bare");
    for (const folder of [path, bare]) mkdirSync(folder);
    writeFileSync(join(path, "xdg-open"), `#!/bin/sh\nprintf %s "$1" > '${deployment.folder}/opened'\n`);
    chmodSync(join(path, "xdg-open"), 0o755);
    symlinkSync("/bin/sh", join(path, "sh"));
  });

  afterAll(async () => {
    await deployment?.close();
  });

  it("vscode passes the workspace on", async () => {
    const environment = { PATH: path };
    const done = await deployment.run(["open", "vscode", "demo", "/home/a b"], { environment });
    expect(done).toEqual({ code: 0, stdout: "", stderr: "Opening owner/demo in VS Code\n" });
    const uri = new URL(readFileSync(join(deployment.folder, "opened"), "utf8"));
    expect(uri.href.split("?")[0]).toBe("vscode://coder.coder-remote/open");
    expect(Object.fromEntries(uri.searchParams)).toEqual({
      owner: "owner",
      workspace: "demo",
      agent: "main",
      folder: "/home/a b",
      url: deployment.url,
    });
  });

  it("vscode prints the address where nothing opens it, with a token of its own on request", async () => {
    const environment = { PATH: bare };
    const done = await deployment.run(["open", "vscode", "--generate-token", "demo"], { environment });
    expect([done.code, done.stderr]).toEqual([0, expect.stringContaining("No program here can open addresses")]);
    const { token, openRecent } = Object.fromEntries(new URL(done.stdout.trim()).searchParams);
    expect(openRecent).toBe("true");
    const me = await fetch(`${deployment.url}/api/v2/users/me`, { headers: { "Coder-Session-Token": token! } });
    expect(me.status).toBe(200);
    expect(token).not.toBe(readFileSync(join(deployment.environment()["CODER_CONFIG_DIR"]!, "session"), "utf8").trim());
  });

  it("app lists the available ones", async () => {
    const list = await deployment.run(["open", "app", "demo"]);
    expect(list).toEqual({ code: 0, stdout: "", stderr: 'Workspace "demo" has no apps\n' });
    const named = await deployment.run(["open", "app", "demo", "code-server"]);
    expect([named.code, named.stderr]).toEqual([1, expect.stringContaining('has no app "code-server"')]);
    expect((await deployment.run(["open", "vscode", "no-such"])).code).toBe(1);
  });
});
