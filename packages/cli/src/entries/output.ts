/**
 * For a lean start whose text could not be written at once: the stream of the process writes it, reports why it cannot, and ends
 * the process.
 */

import { EXIT } from "../errors/user-error.ts";
import { Ending } from "../ui/ending.ts";

export function endWith(text: string): void {
  const ending = new Ending({ service: false });
  process.stdout.write(text);
  ending.end(EXIT.ok).catch(() => process.exit(EXIT.bug));
}
