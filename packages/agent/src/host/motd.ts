/**
 * The message of the day, from the file that the deployment's manifest names. Shown by the SSH service to login shells.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { Logger } from "wg-userspace/base/ports";

const MAX_MOTD_BYTES = 64 * 1024;

/**
 * The file's text, at most 64 KiB; undefined when there is no readable regular file.
 * @param answers Whether the file system of an absolute path answers.
 */
export async function readMotd(
  path: string,
  home: string,
  logger: Logger,
  answers: (path: string) => Promise<boolean>,
): Promise<string | undefined> {
  if (path === "") return undefined;
  const expanded = path.replace(/^~(?=$|\/)/, home);
  const file = isAbsolute(expanded) ? expanded : join(home, expanded);
  if (!(await answers(file))) {
    logger.log("warn", "the message of the day cannot be read: its file system does not answer", { file });
    return undefined;
  }
  try {
    // Opening a FIFO would wait for its writer.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await handle.stat()).isFile()) return undefined;
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(MAX_MOTD_BYTES), 0, MAX_MOTD_BYTES, 0);
      return new TextDecoder().decode(buffer.subarray(0, bytesRead), { stream: true });
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      logger.log("warn", "the message of the day cannot be read", { file, error: String(error) });
    return undefined;
  }
}
