/** The ad-hoc signature without which macOS on arm64 starts nothing, by rcodesign of the crate apple-codesign. */
import { renameSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.ts";

const IDENTIFIER = "coder";
/** Compiled code in memory is what Node lives by, and unpacked native modules carry signatures of others. */
const entitlements = join(import.meta.dirname, "entitlements.plist");

/** Signs in place. @returns why it could not. */
export async function signForMac(file: string): Promise<string | undefined> {
  const program = process.env["CODER_RCODESIGN"] || "rcodesign";
  const signed = `${file}.signed`;
  try {
    const flags = ["--binary-identifier", IDENTIFIER, "--code-signature-flags", "runtime"];
    await run(program, ["sign", ...flags, "--entitlements-xml-file", entitlements, file, signed]);
    const said = await run(program, ["print-signature-info", signed]);
    if (!/ADHOC/i.test(said)) return "rcodesign made no ad-hoc signature";
  } catch (error) {
    return (error as { cause?: { code?: unknown } }).cause?.code === "ENOENT"
      ? 'rcodesign is not installed: run "cargo install apple-codesign@0.29.0 --locked", or name it in CODER_RCODESIGN'
      : (error as Error).message;
  }
  renameSync(signed, file);
  return undefined;
}
