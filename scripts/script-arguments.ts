import { type ParseArgsConfig, parseArgs } from "node:util";

/** Prints why the arguments of a script are wrong, and how it is called; exits with 2. */
export function exitWithUsage(usage: string, why?: string): never {
  process.stderr.write(`${why === undefined ? "" : `${why}\n`}usage: ${usage}\n`);
  process.exit(2);
}

/**
 * The arguments with which a script was started. `--help` prints `usage` and exits with 0, an argument that the script does not
 * take exits with 2.
 * @param usage Name of the script and what it takes, such as `soak [--minutes M]`.
 */
export function scriptArguments<const T extends ParseArgsConfig>(
  usage: string,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  if (process.argv.slice(2).some((word) => word === "--help" || word === "-h")) {
    process.stdout.write(`usage: ${usage}\n`);
    process.exit(0);
  }
  try {
    return parseArgs<T>(config);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return exitWithUsage(usage, error.message);
  }
}
