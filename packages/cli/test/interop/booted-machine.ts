/**
 * A machine with a real systemd that runs one script and ends: this machine's own files below an overlay in memory, without a
 * network.
 */
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { find } from "./release.ts";

/** Booting takes a few seconds; the rest is for the script. */
const LIMIT_MS = 400_000;
const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

const NEEDED = ["systemd-nspawn", "systemctl", "unshare", "mount"];

/** Missing requirements, or the reason why it does not boot here. */
export async function machineMissing(): Promise<string[]> {
  const absent = NEEDED.filter((name) => find(name) === undefined);
  if (process.getuid?.() !== 0) absent.push("root");
  // Detects containers that may not mount overlays, before anything boots.
  if (absent.length === 0 && spawnSync("unshare", ["--mount", "true"], { env }).status !== 0)
    absent.push("name spaces");
  if (absent.length > 0) return absent;
  return (await runBooted("echo booted").catch(String)) === "booted\n" ? [] : ["a systemd that boots"];
}

/**
 * @param files Files to put into the machine's root, by their names there.
 * @returns The output of the script.
 */
export async function runBooted(script: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "coder-machine-"));
  try {
    for (const name of ["layer", "root", "out"]) mkdirSync(join(folder, name));
    const units = `${folder}/root/etc/systemd/system`;
    writeFileSync(join(folder, "script.sh"), script);
    writeFileSync(join(folder, "run.target"), "[Unit]\nRequires=run.service basic.target\nAfter=run.service\n");
    const service = [
      "Type=oneshot",
      "ExecStart=/bin/sh /script.sh",
      "StandardOutput=file:/out/said",
      "StandardError=file:/out/said",
    ];
    const last = "ExecStopPost=/bin/systemctl poweroff --force";
    writeFileSync(
      join(folder, "run.service"),
      `[Unit]\nRequires=basic.target\nAfter=basic.target\n[Service]\n${[...service, last].join("\n")}\n`,
    );
    const steps = [
      // Keeps nspawn's own files out of this machine's /run.
      "mount -t tmpfs none /run",
      `mount -t tmpfs none ${folder}/layer`,
      `mkdir ${folder}/layer/upper ${folder}/layer/work`,
      `mount -t overlay none -o lowerdir=/,upperdir=${folder}/layer/upper,workdir=${folder}/layer/work ${folder}/root`,
      `mkdir -p ${units} ${folder}/root/out`,
      `cp ${folder}/run.target ${folder}/run.service ${units}`,
      `cp ${folder}/script.sh ${folder}/root/script.sh`,
      ...Object.entries(files).map(([name, file]) => `cp '${file}' ${folder}/root/${name}`),
      // A separate machine id, for a separate journal.
      `: >${folder}/root/etc/machine-id`,
      `systemd-nspawn --boot --quiet --directory=${folder}/root --machine=coder-test --bind=${folder}/out:/out --private-network --register=no --keep-unit --console=pipe systemd.unit=run.target </dev/null`,
    ];
    const space = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-eu", "-c", steps.join("\n")];
    const options = { env, timeout: LIMIT_MS, killSignal: "SIGKILL", maxBuffer: 1 << 24 } as const;
    const failure = await promisify(execFile)("unshare", space, options).then(
      () => undefined,
      (error: Error) => error,
    );
    try {
      return readFileSync(join(folder, "out/said"), "utf8");
    } catch {
      throw failure ?? new Error("the machine ended before its script began");
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
