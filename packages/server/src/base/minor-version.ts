/** Major and minor part of a version, which the programs of one deployment share; any other text is returned as it is. */
export function minorVersion(version: string): string {
  return /^v?(\d+\.\d+)/.exec(version)?.[1] ?? version;
}
