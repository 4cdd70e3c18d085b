import { expect, test } from "vitest";
import { updateLine } from "./deployment.ts";
import { packagedBy } from "./packaged-by.ts";

test("a program belongs to the package manager in whose folder it lies", () => {
  const cases: readonly [string, string | undefined][] = [
    ["/usr/bin/coder", "the system's package manager"],
    ["/opt/homebrew/Cellar/coder/2.26.0/bin/coder", "Homebrew"],
    ["/nix/store/abc-coder/bin/coder", "Nix"],
    ["/usr/lib/node_modules/@coder-network/cli/dist/coder.cjs", "npm"],
    ["/usr/local/bin/coder", undefined],
    ["/home/ada/.local/bin/coder", undefined],
    ["C:\\Users\\ada\\AppData\\Local\\Programs\\coder\\coder.exe", undefined],
  ];
  for (const [path, by] of cases) expect([path, packagedBy(path, "x64", false)?.by]).toEqual([path, by]);
});

test("packages of the system are updated by the file of a release, since there is no repository", () => {
  const next = (arch: string, isDebian: boolean) => packagedBy("/usr/bin/coder", arch, isDebian)?.next;
  expect(next("x64", true)).toContain("apt-get install ./coder_VERSION_amd64.deb");
  expect(next("arm64", true)).toContain("apt-get install ./coder_VERSION_arm64.deb");
  expect(next("x64", false)).toContain("dnf install ./coder-VERSION.x86_64.rpm");
  expect(next("arm64", false)).toContain("dnf install ./coder-VERSION.aarch64.rpm");
});

test("the warning about versions names the command that updates this very program", () => {
  const url = new URL("https://coder.example.com/");
  const line = (path: string, single: boolean, platform: NodeJS.Platform = "linux") =>
    updateLine(url, { path, single, platform });
  expect(line("/home/ada/.local/bin/coder", true)).toBe("coder update-cli");
  expect(line("/usr/bin/coder", true)).toMatch(/^(apt-get|dnf) install \.\/coder/);
  expect(line("/usr/lib/node_modules/@coder-network/cli/dist/coder.cjs", false)).toBe(
    "npm install -g @coder-network/cli@latest",
  );
  expect(line("/home/ada/coder/packages/cli/dist/coder.cjs", false)).toBe(
    "curl -fsSL https://coder.example.com/install.sh | sh",
  );
  expect(line("C:\\coder\\coder.cjs", false, "win32")).toBe("iwr -useb https://coder.example.com/install.ps1 | iex");
});
