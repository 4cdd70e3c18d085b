/** Whether the system of a platform will start an executable and load its native modules, as far as the files show it. */
import { newestGlibc } from "./elf.ts";
import { fuses, linuxProcessor, macProcessor, windowsFacts } from "./foreign-files.ts";
import { signatureFault } from "./mac-signature.ts";
import type { Platform } from "./platforms.ts";

/** Minor numbers of the oldest glibc 2: Debian 10 and RHEL 8, as Node itself. */
const OLDEST_GLIBC = 28;
/** RHEL 7: this module is loaded by any Node, also from the package for npm. */
const OLDEST_GLIBC_OF: Readonly<Record<string, number>> = { "udp-batch": 17 };

/**
 * @param modules Native modules in it, by name.
 * @returns the faults, as sentences without a full stop.
 */
export function executableFaults(
  { os, arch }: Pick<Platform, "os" | "arch">,
  executable: Buffer,
  modules: Readonly<Record<string, Buffer>>,
): string[] {
  const faults: string[] = [];
  const expect = (what: string, found: string, wanted: string): void => {
    if (found !== wanted) faults.push(`${what} is ${found}, not ${wanted}`);
  };
  // Where it is off, the file is plain Node and runs no program of ours.
  expect("the fuse of a single executable", fuses(executable).join() || "missing", "1");
  if (os === "win32") {
    const { machine, subsystem } = windowsFacts(executable);
    expect("its processor", machine, arch);
    expect("its subsystem", subsystem, "console");
  } else if (os === "darwin") {
    expect("its processor", macProcessor(executable), arch);
    const fault = signatureFault(executable);
    if (fault !== undefined) faults.push(`its signature does not hold: ${fault}`);
  } else {
    for (const [name, file] of Object.entries({ "the executable": executable, ...modules })) {
      expect(`the processor of ${name}`, linuxProcessor(file), arch);
      const [needed, oldest] = [newestGlibc(file), OLDEST_GLIBC_OF[name] ?? OLDEST_GLIBC];
      if (needed > oldest) faults.push(`${name} needs glibc 2.${needed}, and should run with 2.${oldest}`);
    }
  }
  return faults;
}
