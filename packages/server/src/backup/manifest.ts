import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { nodeErrorCode, ServerError } from "../base/errors.ts";

/** The contents of a backup: the two files that a deployment needs. */
export const BACKUP_FILES = ["coder.db", "keys.json"] as const;
/** Lists the backup's files and their hashes. It is written last, so a folder that has it is complete. */
export const MANIFEST = "backup.json";

const fileEntry = z.object({ bytes: z.number().int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) });
const manifestSchema = z.object({
  format: z.literal(1),
  created_at: z.iso.datetime(),
  /** The release that wrote the backup. */
  release: z.string(),
  schema_version: z.number().int().positive(),
  deployment_id: z.string(),
  files: z.object({ "coder.db": fileEntry, "keys.json": fileEntry }),
});

export type BackupManifest = z.infer<typeof manifestSchema>;

/** In bytes; a real manifest is far smaller. */
const MAX_MANIFEST_BYTES = 65_536;

/** Reads a backup's manifest. Throws ServerError ERR_BACKUP. */
export async function readManifest(folder: string): Promise<BackupManifest> {
  const path = join(folder, MANIFEST);
  let content: unknown;
  try {
    if ((await stat(path)).size > MAX_MANIFEST_BYTES) throw notABackup(folder, `its ${MANIFEST} is too large`);
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error instanceof ServerError) throw error;
    const why =
      nodeErrorCode(error) === "ENOENT"
        ? `it has no ${MANIFEST}`
        : `its ${MANIFEST} cannot be read (${nodeErrorCode(error) ?? "it is not JSON"})`;
    throw notABackup(folder, why, error);
  }
  const parsed = manifestSchema.safeParse(content);
  if (!parsed.success) throw notABackup(folder, `its ${MANIFEST} is of a form that this release does not know`);
  return parsed.data;
}

/** Size and hash of a file, read in pieces. */
export async function describeFile(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

export function notABackup(folder: string, why: string, cause?: unknown): ServerError {
  return new ServerError("ERR_BACKUP", `"${folder}" cannot be restored`, {
    why,
    nextSteps: ['name a folder that "coder server backup" wrote'],
    cause,
  });
}
