/** The ad-hoc signature without which macOS on arm64 starts nothing, by the Go module quill. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { signatureFault } from "./mac-signature.ts";
import { run } from "./run.ts";

const IDENTIFIER = "coder";
const source = join(import.meta.dirname, "mac-signer");

/**
 * Signs in place, and reads the signature again.
 * @param work Folder for the program that signs.
 * @returns why it could not.
 */
export async function signForMac(file: string, work: string): Promise<string | undefined> {
  const signer = join(work, "mac-signer");
  try {
    await run("go", ["build", "-trimpath", "-mod=readonly", "-o", signer, "."], { cwd: source });
    await run(signer, [file, IDENTIFIER]);
  } catch (error) {
    return (error as { cause?: { code?: unknown } }).cause?.code === "ENOENT"
      ? "Go is not installed, which builds the program that signs"
      : (error as Error).message;
  }
  return signatureFault(readFileSync(file));
}
