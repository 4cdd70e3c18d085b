/** The system of the computer that a page is shown on, as its browser names it. */
export type System = "linux" | "darwin" | "windows";

/** Linux, which most machines run, for telephones and unknown systems. */
export function systemOf(userAgent: string): System {
  if (/Windows/.test(userAgent)) return "windows";
  // iPhones and iPads say "like Mac OS X".
  return /Macintosh/.test(userAgent) ? "darwin" : "linux";
}
