/** Uses real files in a temporary folder and a systemctl that records its calls. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { servicePlaces } from "./places.ts";
import { type Installation, installService, uninstallService } from "./service.ts";
import { Systemctl } from "./systemctl.ts";

/** The unit is active once it was started; while a file `silent` exists, nothing answers. */
const SYSTEMCTL = `#!/bin/sh
cd "\${0%/*}"
echo "$*" >>asked
if [ -f silent ]; then echo "Failed to connect to bus: Host is down" >&2; exit 1; fi
for word; do
  case $word in
    is-active) [ -f active ]; exit ;;
    restart) [ ! -f broken ] || { echo "Job for coder-server.service failed." >&2; exit 1; }; touch active ;;
    disable) rm -f active ;;
    show) echo 0 ;;
  esac
done
`;

let root: string;
let path: string | undefined;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "coder-service-"));
  mkdirSync(join(root, "bin"));
  writeFileSync(join(root, "bin/systemctl"), SYSTEMCTL, { mode: 0o755 });
  path = process.env["PATH"];
  process.env["PATH"] = `${root}/bin:${path}`;
});
afterEach(() => {
  process.env["PATH"] = path;
  rmSync(root, { recursive: true, force: true });
});

function prepared(scope: "system" | "user") {
  const home = join(root, "home");
  const from = { root, configDir: join(home, "coderv2"), configHome: home };
  const places = servicePlaces("agent", scope, from);
  const installation: Installation = {
    service: "agent",
    unit: "[Unit]\n",
    settings: "TOKEN=secret\n",
    places,
    now: true,
  };
  return { places, installation, systemctl: new Systemctl(places) };
}

/** The calls of systemctl since the last time, without constant arguments. */
function asked(): string[] {
  const file = join(root, "bin/asked");
  const lines = readFileSync(file, "utf8").trim().split("\n");
  rmSync(file);
  return lines.map((line) => line.replace("--no-pager ", ""));
}

const mode = (file: string): number => statSync(file).mode & 0o777;

test("installs, does nothing twice, restarts after a change, and removes everything", async () => {
  const { places, installation, systemctl } = prepared("system");
  const first = await installService(installation, systemctl);
  expect(first.join(" ")).toContain("is enabled and started.");
  expect(first.join(" ")).not.toContain("secret");
  expect(asked()).toEqual([
    "daemon-reload",
    "enable --quiet coder-agent.service",
    "is-active --quiet coder-agent.service",
    "restart coder-agent.service",
  ]);
  expect([mode(places.environment), mode(places.unit)]).toEqual([0o600, 0o644]);
  expect(readdirSync(dirname(places.environment))).toEqual(["agent.env"]);

  expect((await installService(installation, systemctl)).join(" ")).toContain("already running");
  expect(asked().join("\n")).not.toContain("restart");
  chmodSync(places.environment, 0o644);
  const changed = await installService({ ...installation, settings: "TOKEN=new\n" }, systemctl);
  expect(changed.join(" ")).toContain("was restarted");
  expect([mode(places.environment), readFileSync(places.environment, "utf8")]).toEqual([0o600, "TOKEN=new\n"]);
  asked();

  await uninstallService("agent", places, true, systemctl);
  expect(asked()).toEqual(["disable --quiet --now coder-agent.service", "daemon-reload"]);
  expect([existsSync(places.unit), existsSync(places.environment)]).toEqual([false, false]);
  expect((await uninstallService("agent", places, true, systemctl)).join(" ")).toContain("nothing to do");
});

test("a user's own: in their folders, which are private, by systemctl --user", async () => {
  const { places, installation, systemctl } = prepared("user");
  const done = await installService({ ...installation, now: false }, systemctl);
  expect(done.join(" ")).toContain("it starts with your next login");
  expect(asked()).toEqual(["--user daemon-reload", "--user enable --quiet coder-agent.service"]);
  expect(mode(dirname(places.environment))).toBe(0o700);
  expect(mode(places.environment)).toBe(0o600);
  await uninstallService("agent", places, false, systemctl);
  expect([existsSync(places.unit), existsSync(places.environment)]).toEqual([false, true]);
});

test("a packaged unit is disabled, and stays", async () => {
  const { places, systemctl } = prepared("system");
  mkdirSync(dirname(places.packaged), { recursive: true });
  writeFileSync(places.packaged, "[Unit]\n");
  expect((await uninstallService("agent", places, true, systemctl)).join(" ")).toContain(
    "belongs to a package and stays",
  );
  expect(asked()).toContain("disable --quiet --now coder-agent.service");
  expect(existsSync(places.packaged)).toBe(true);
});

test("failures are explained: no manager, a service that does not start, a file that cannot be", async () => {
  const { places, installation, systemctl } = prepared("system");
  writeFileSync(join(root, "bin/silent"), "");
  await expect(systemctl.check("do it by hand")).rejects.toMatchObject({
    code: "ERR_NO_SYSTEMD",
    why: "Failed to connect to bus: Host is down",
    next: ["do it by hand"],
  });
  rmSync(join(root, "bin/silent"));
  await systemctl.check("");
  writeFileSync(join(root, "bin/broken"), "");
  await expect(installService(installation, systemctl)).rejects.toMatchObject({
    code: "ERR_SYSTEMD",
    message: '"systemctl restart coder-agent.service" failed',
    why: "Job for coder-server.service failed.",
  });
  rmSync(places.unit);
  mkdirSync(places.unit);
  await expect(installService(installation, systemctl)).rejects.toMatchObject({
    code: "ERR_SERVICE_FILE",
    why: "EISDIR",
  });
  process.env["PATH"] = "/nonexistent";
  await expect(systemctl.check("do it by hand")).rejects.toMatchObject({ why: "there is no systemctl" });
});
