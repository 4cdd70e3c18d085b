/** Major and minor of a version, which programs of one deployment share; of anything else, the text itself. */
export function minorVersion(version: string): string {
  return /^v?(\d+\.\d+)/.exec(version)?.[1] ?? version;
}
