/** For a lean start whose text could not be written at once: by the stream of the process, which tells why and ends it so. */

import { EXIT } from "../errors/user-error.ts";
import { Ending } from "../ui/ending.ts";

export function endWith(text: string): void {
  const ending = new Ending({ service: false });
  process.stdout.write(text);
  ending.end(EXIT.ok).catch(() => process.exit(EXIT.bug));
}
