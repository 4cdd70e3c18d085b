/** The ad-hoc signature that macOS on arm64 requires of every executable, by the Go module quill. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { signatureFault } from "./mac-signature.ts";
import { run } from "./run.ts";

const IDENTIFIER = "coder";
const source = join(import.meta.dirname, "mac-signer");

/**
 * Signs in place, and verifies the signature.
 * @param work Folder for the signing program.
 * @returns why it failed.
 */
export async function signForMac(file: string, work: string): Promise<string | undefined> {
  const signer = join(work, "mac-signer");
  try {
    await run("go", ["build", "-trimpath", "-mod=readonly", "-o", signer, "."], { cwd: source });
    await run(signer, [file, IDENTIFIER]);
  } catch (error) {
    return (error as { cause?: { code?: unknown } }).cause?.code === "ENOENT"
      ? "Go, which builds the signing program, is not installed"
      : (error as Error).message;
  }
  return signatureFault(readFileSync(file));
}
