/** The system of the computer that a page is shown on, as its browser names it. */
export type System = "linux" | "darwin" | "windows";

/** Telephones and whatever is not known: Linux, which most machines run. */
export function systemOf(userAgent: string): System {
  if (/Windows/.test(userAgent)) return "windows";
  // iPhones and iPads say "like Mac OS X".
  return /Macintosh/.test(userAgent) ? "darwin" : "linux";
}
